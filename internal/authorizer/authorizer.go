package authorizer

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	kjson "sigs.k8s.io/json"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/review"
)

// Path is where the Handler expects to be mounted.
const Path = "/authorize"

// maxRequest is the longest SubjectAccessReview that is read, in bytes.
const maxRequest = 128 << 10

const (
	apiVersion = "authorization.k8s.io/v1"
	kind       = "SubjectAccessReview"
)

// Entry is an access entry as it applies to one identity.
type Entry struct {
	// PrincipalARN is the entry's own ARN, for people and audit logs.
	PrincipalARN string
	// PrincipalID is the unique id (AIDA…, AROA…) that the entry is pinned to. An entry
	// without one allows nothing.
	PrincipalID string
	// Username and Groups are what the entry's templates give for the identity, as the
	// TokenReview webhook gives them. A group that only access entries give, and nobody
	// may impersonate, keeps impersonators out (see the package comment).
	Username string
	Groups   []string
	// Policies is what the entry's associated policies grant; nil grants nothing.
	Policies *accesspolicy.Set
}

// ErrNoEntry is what Entries answers about an identity that no access entry maps.
var ErrNoEntry = errors.New("no access entry")

// Entries finds access entries. It must be safe for concurrent use.
type Entries interface {
	// Entry returns the access entry that maps an identity. It fails with an error for
	// which errors.Is(err, ErrNoEntry) holds where there is none, and also where another
	// backend (aws-auth, a file) maps the identity before the access entries are asked:
	// the user is then not the entry's. Any other error means that this cannot be told
	// now. Entry is called once for each review, so it must answer from memory. The
	// identity has no access key id.
	Entry(ctx context.Context, id identity.Identity) (Entry, error)
}

// Config is what a Handler is made of. Entries is needed.
type Config struct {
	Entries Entries
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets a line at debug level for each review. kube-apiserver's audit log has the
	// reason of what is allowed. Nil means none.
	Log *slog.Logger
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

// Handler answers SubjectAccessReviews. It is safe for concurrent use.
type Handler struct{ cfg Config }

// New makes a Handler.
func New(c Config) *Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg: c}
}

// ServeHTTP answers one SubjectAccessReview.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := h.cfg.Now()
	outcome := h.serve(w, r)
	h.cfg.Metrics.count(outcome, h.cfg.Now().Sub(begin))
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) outcome {
	spec, status, problem := decode(r)
	if problem != "" {
		http.Error(w, problem, status)
		return outcomeMalformed
	}
	v, err := h.decide(r.Context(), spec)
	if err != nil {
		h.cfg.Log.DebugContext(r.Context(), "access entries are not available", "username", spec.User, "reason", err)
		http.Error(w, "access entries are not available", http.StatusServiceUnavailable)
		return outcomeUnavailable
	}
	h.cfg.Log.DebugContext(r.Context(), "access reviewed", "username", spec.User, "allowed", v.status.Allowed, "why", v.why)
	review.Write(w, apiVersion, kind, v.status)
	if v.status.Allowed {
		return outcomeAllowed
	}
	return outcomeNoOpinion
}

// decode reads the request. A key that is there twice is refused: two readers could
// take different values.
func decode(r *http.Request) (spec *authzv1.SubjectAccessReviewSpec, status int, problem string) {
	body, status, problem := review.Body(r, maxRequest)
	if problem != "" {
		return nil, status, problem
	}
	var sar authzv1.SubjectAccessReview
	twice, err := kjson.UnmarshalStrict(body, &sar, kjson.DisallowDuplicateFields)
	switch {
	case err != nil:
		return nil, http.StatusBadRequest, "the body is not a SubjectAccessReview"
	case len(twice) > 0:
		return nil, http.StatusBadRequest, "the body has a key twice"
	case sar.APIVersion != apiVersion || sar.Kind != kind:
		return nil, http.StatusBadRequest, "the body is not a SubjectAccessReview of " + apiVersion
	}
	return &sar.Spec, 0, ""
}

// verdict is the answer to one review. Without a reason in the status, why says in
// the log what spoke against.
type verdict struct {
	status authzv1.SubjectAccessReviewStatus
	why    string
}

// decide fails only where the entries do not answer.
func (h *Handler) decide(ctx context.Context, spec *authzv1.SubjectAccessReviewSpec) (verdict, error) {
	id, ok := subject(spec.Extra)
	if !ok {
		return verdict{why: "the extras name no user or role of AWS"}, nil
	}
	q, ok := request(spec)
	if !ok {
		return verdict{why: "the review is about neither a resource nor a path, or about both"}, nil
	}
	entry, err := h.cfg.Entries.Entry(ctx, id)
	switch {
	case errors.Is(err, ErrNoEntry):
		return verdict{why: "no access entry maps the principal"}, nil
	case err != nil:
		return verdict{}, err
	case entry.PrincipalID != id.PrincipalID:
		return verdict{why: "the access entry is pinned to another unique id"}, nil
	case entry.Username == "" || entry.Username != spec.User:
		return verdict{why: "the access entry gives another username"}, nil
	}
	for _, group := range entry.Groups {
		if !slices.Contains(spec.Groups, group) {
			return verdict{why: "the user lacks a group of the access entry"}, nil
		}
	}
	if d := entry.Policies.Decide(q); d.Allowed() {
		reason := reasonPrefix + "allowed by " + d.String() + ", of access entry " + entry.PrincipalARN
		return verdict{status: authzv1.SubjectAccessReviewStatus{Allowed: true, Reason: reason}, why: reason}, nil
	}
	if unpublished := entry.Policies.Unpublished(q); len(unpublished) > 0 {
		reason := reasonPrefix + "the rules of " + unpublished[0].Name() + " are unpublished"
		return verdict{status: authzv1.SubjectAccessReviewStatus{Reason: reason}, why: reason}, nil
	}
	return verdict{why: "no associated policy allows it"}, nil
}

// reasonPrefix begins the reasons in EKS's audit log too, so that what searches the
// log for it finds both.
const reasonPrefix = "EKS Access Policy: "

// subject makes the identity that the webhook's extras describe. They are checked
// by the rules for a response of STS, and the result must equal the extras.
func subject(extra map[string]authzv1.ExtraValue) (identity.Identity, bool) {
	arn, ok := single(extra, "canonicalArn")
	userID, ok2 := single(extra, "principalId")
	if !ok || !ok2 {
		return identity.Identity{}, false
	}
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		return identity.Identity{}, false
	}
	canonical := arn
	switch p.Kind {
	case identity.KindUser:
	case identity.KindRole:
		session, ok := single(extra, "sessionName")
		if !ok {
			return identity.Identity{}, false
		}
		p.Kind, p.Path, p.SessionName = identity.KindAssumedRole, "", session
		arn, userID = p.String(), userID+":"+session
	default: // no access entry names a root or a federated user
		return identity.Identity{}, false
	}
	id, err := identity.New(arn, p.Account, userID)
	return id, err == nil && id.CanonicalARN == canonical
}

// single gives the value of an extra that has exactly one.
func single(extra map[string]authzv1.ExtraValue, key string) (string, bool) {
	if v := extra[key]; len(v) == 1 {
		return v[0], true
	}
	return "", false
}

// request is what the review is about. Selectors only narrow a request, so they do
// not matter.
func request(spec *authzv1.SubjectAccessReviewSpec) (q accesspolicy.Request, ok bool) {
	r, n := spec.ResourceAttributes, spec.NonResourceAttributes
	switch {
	case r != nil && n == nil:
		return accesspolicy.Request{
			Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace,
		}, true
	case n != nil && r == nil:
		return accesspolicy.Request{Verb: n.Verb, Path: n.Path}, true
	}
	return q, false
}
