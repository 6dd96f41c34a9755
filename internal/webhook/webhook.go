// Package webhook is the http.Handler of a TokenReview webhook for kube-apiserver. It
// has no listener.
//
// The form of a denial matters, because kube-apiserver caches a denial without an error
// for as long as a success (two minutes), and does not cache an error:
//
//	a token that can never become good     200, authenticated false, no error
//	one that may be good soon              200, authenticated false, "not authorized"
//	overload here, throttling at STS       429 without Retry-After
//	STS unreachable, slow or odd           503 with Retry-After 5
//	a mapping source that cannot be read   the same
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/audit"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/review"
	"github.com/ekskey/ekskey/token"
)

// Path is the path at which the Handler must be mounted.
const Path = "/authenticate"

// maxRequest is the maximum size of a TokenReview, in bytes: the longest token that
// rule V01 accepts, some longer ones, and the rest of the document.
const maxRequest = 128 << 10

// DefaultMaxInFlight is the maximum number of concurrent TokenReviews. Further ones get
// a 429.
const DefaultMaxInFlight = 512

const tooMany = "too many requests"

// Verifier verifies tokens; *verify.Verifier is one.
type Verifier interface {
	Check(raw string) (*token.Parsed, error)
	Ask(ctx context.Context, p *token.Parsed) (identity.Identity, error)
	Allow(id identity.Identity) error
}

// Config configures a Handler. Verifier and Mapper are required.
type Config struct {
	Verifier Verifier
	// Mapper maps an identity to a Kubernetes user. It is called for each request.
	Mapper mapping.Mapper
	// Audiences are those that the tokens are valid for. Empty means the API server's
	// own, whatever they are.
	Audiences []string
	// ScrubbedAccounts are accounts whose ARNs and access key IDs are not logged, and
	// whose users have no extras and a UID that does not name the account.
	ScrubbedAccounts []string
	// MaxInFlight bounds the concurrent TokenReviews. Zero means DefaultMaxInFlight.
	MaxInFlight int
	// CacheSize bounds the cached identities. Zero means DefaultCacheSize, a negative
	// number no cache.
	CacheSize int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives one line for each decision. Nil means no log.
	Log *slog.Logger
	// Metrics are the counters; nil means none.
	Metrics *Metrics
	// Audit receives a record of each answer to a TokenReview. Nil means none.
	Audit *audit.Log
}

// Handler answers TokenReviews. It is safe for concurrent use.
type Handler struct {
	verifier  Verifier
	mapper    mapping.Mapper
	audiences []string
	scrubbed  []string
	slots     chan struct{}
	verified  *verifiedCache
	now       func() time.Time
	log       *slog.Logger
	lines     lineLimit
	metrics   *Metrics
	audit     *audit.Log
	run       string // random, for the ids of requests
	requests  atomic.Uint64
}

// New returns a Handler.
func New(c Config) *Handler {
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	run := make([]byte, 6)
	_, _ = rand.Read(run) // never fails
	return &Handler{
		verifier: c.Verifier, mapper: c.Mapper, audiences: c.Audiences, scrubbed: c.ScrubbedAccounts,
		slots:    make(chan struct{}, c.MaxInFlight),
		verified: newVerifiedCache(c.CacheSize, newHosts(c.MaxInFlight, c.Now, c.Metrics), c.Now, c.Metrics),
		now:      c.Now, log: c.Log, metrics: c.Metrics, audit: c.Audit, run: hex.EncodeToString(run),
	}
}

// Ready fails with *STSError while no STS host that was called lately answers. Nobody
// having called one is no failure.
func (h *Handler) Ready() error { return h.verified.hosts.ready() }

// ServeHTTP answers one TokenReview.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := h.now()
	posted, status, problem := decode(r)
	if problem != "" {
		o := outcomeMalformed
		if status == http.StatusTooManyRequests {
			o = outcomeOverload
		}
		h.metrics.count(o, h.now().Sub(begin))
		http.Error(w, problem, status)
		return
	}
	// Only now, or a client that sends half a body would hold a slot. What bodies hold
	// until then is bounded by review.Body.
	var v verdict
	select {
	case h.slots <- struct{}{}:
		h.metrics.enter()
		defer func() {
			h.metrics.leave()
			<-h.slots
		}()
		v = h.review(r.Context(), posted)
	default:
		v = refuse(v, errOverload)
	}
	v.requestID = h.run + "-" + strconv.FormatUint(h.requests.Add(1), 10)
	took := h.now().Sub(begin)
	h.metrics.count(v.outcome, took)
	h.logVerdict(r.Context(), v)
	if h.audit != nil {
		h.audit.Write(h.record(v, begin, took))
	}
	switch v.outcome {
	case outcomeOverload:
		http.Error(w, tooMany, http.StatusTooManyRequests)
	case outcomeThrottled:
		http.Error(w, "sts throttles", http.StatusTooManyRequests)
	case outcomeUnavailable, outcomeCanceled:
		w.Header().Set("Retry-After", "5")
		what := "sts"
		if v.identity.AccountID != "" {
			what = "the mapping"
		}
		http.Error(w, what+" is not available", http.StatusServiceUnavailable)
	default:
		review.Write(w, posted.APIVersion, kind, v.status)
	}
}

// tokenReview is what is read of authv1.TokenReview; v1beta1 has the same fields.
type tokenReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences"`
	} `json:"spec"`
}

// decode reads the request.
func decode(r *http.Request) (posted tokenReview, status int, problem string) {
	body, release, status, problem := review.Body(r, maxRequest)
	defer release()
	if problem != "" {
		return posted, status, problem
	}
	if err := json.Unmarshal(body, &posted); err != nil {
		return posted, http.StatusBadRequest, "the body is not a TokenReview"
	}
	if posted.Kind != kind || !slices.Contains(apiVersions, posted.APIVersion) {
		return posted, http.StatusBadRequest, "the body is not a TokenReview of authentication.k8s.io/v1 or v1beta1"
	}
	return posted, 0, ""
}

const kind = "TokenReview"

var apiVersions = []string{"authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"}

// verdict is the result of one TokenReview.
type verdict struct {
	requestID string
	outcome   outcome
	status    status
	parsed    *token.Parsed
	identity  identity.Identity
	mapping   mapping.Mapping
	err       error
}

// review checks the rules, STS, the account rules and the mapping.
func (h *Handler) review(ctx context.Context, r tokenReview) (v verdict) {
	defer func() {
		// A panic must not be silent, nor end the connection with the reviews of others. Its
		// value may contain anything, so it is not logged.
		if recover() != nil {
			h.metrics.panicked()
			h.log.LogAttrs(ctx, slog.LevelError, "the review panicked", slog.String("stack", string(debug.Stack())))
			v = refuse(v, errPanic)
		}
	}()
	if len(h.audiences) > 0 {
		v.status.Audiences = h.audiences
		if asked := r.Spec.Audiences; len(asked) > 0 {
			v.status.Audiences = intersect(asked, h.audiences)
			if len(v.status.Audiences) == 0 {
				return refuse(v, errAudience)
			}
		}
	}
	if v.parsed, v.err = h.verifier.Check(r.Spec.Token); v.err != nil {
		return refuse(v, v.err)
	}
	if v.identity, v.err = h.verified.identify(ctx, h.verifier, v.parsed); v.err != nil {
		return refuse(v, v.err)
	}
	if v.err = h.verifier.Allow(v.identity); v.err != nil {
		return refuse(v, v.err)
	}
	if v.mapping, v.err = h.mapper.Map(ctx, v.identity); v.err != nil {
		return refuse(v, v.err)
	}
	v.outcome = outcomeAuthenticated
	v.status.Authenticated = true
	v.status.User = h.userInfo(v.identity, v.mapping)
	return v
}

var errPanic = errors.New("the review panicked")

var errAudience = errors.New("none of the requested audiences is valid here")

func intersect(asked, ours []string) []string {
	var out []string
	for _, a := range asked {
		if slices.Contains(ours, a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
