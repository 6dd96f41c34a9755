package webhook

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/audit"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// notAuthorized is the only reason that a client gets.
const notAuthorized = "not authorized"

// soon are the rules that a token may break now and satisfy later: the clock advances,
// a deny list changes, STS is called again.
var soon = []token.Code{"V16", "V22", "V31", "V32", "V33", "V34"}

// refuse converts an error to the answer that the package comment describes.
func refuse(v verdict, err error) verdict {
	v.err = err
	v.status = status{User: &userInfo{}}
	var broken *token.RuleError
	var unavailable *verify.UnavailableError
	switch {
	case errors.Is(err, errOverload):
		v.outcome = outcomeOverload
	case errors.As(err, &unavailable) && unavailable.Throttled:
		v.outcome = outcomeThrottled
	case errors.As(err, &unavailable):
		v.outcome = outcomeUnavailable
	case errors.As(err, &broken) && !slices.Contains(soon, broken.Code):
		v.outcome = outcomeRejected
	case errors.Is(err, context.Canceled):
		v.outcome = outcomeCanceled
	case errors.Is(err, errPanic), errors.Is(err, context.DeadlineExceeded), mapping.Temporary(err):
		v.outcome = outcomeUnavailable
	default:
		v.outcome = outcomeDenied
		v.status.Error = notAuthorized
	}
	return v
}

// userInfo has the UID and the extras of aws-iam-authenticator and EKS, because audit
// policies and admission rules rely on them. As there, a user of a scrubbed account has
// no extras, and a UID that does not tell the account.
func (h *Handler) userInfo(id identity.Identity, m mapping.Mapping) *userInfo {
	if slices.Contains(h.scrubbed, id.AccountID) {
		return &userInfo{Username: m.Username, UID: "aws-iam-authenticator:administrative:" + m.Username, Groups: m.Groups}
	}
	return &userInfo{
		Username: m.Username,
		UID:      uid(id),
		Groups:   m.Groups,
		Extra: &extra{
			AccessKeyID: [1]string{id.AccessKeyID}, ARN: [1]string{id.ARN}, CanonicalARN: [1]string{id.CanonicalARN},
			PrincipalID: [1]string{id.PrincipalID}, SessionName: [1]string{id.SessionName}, Principal: [1]string{id.PrincipalID},
		},
	}
}

func uid(id identity.Identity) string {
	return "aws-iam-authenticator:" + id.AccountID + ":" + id.PrincipalID
}

// status is authv1.TokenReviewStatus, and userInfo authv1.UserInfo, with the extras as
// fields: encoding/json sorts the keys of a map by reflection for each answer.
type status struct {
	Authenticated bool      `json:"authenticated,omitempty"`
	User          *userInfo `json:"user"`
	Audiences     []string  `json:"audiences,omitempty"`
	Error         string    `json:"error,omitempty"`
}

type userInfo struct {
	Username string   `json:"username,omitempty"`
	UID      string   `json:"uid,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Extra    *extra   `json:"extra,omitempty"`
}

type extra struct {
	AccessKeyID  [1]string `json:"accessKeyId"`
	ARN          [1]string `json:"arn"`
	CanonicalARN [1]string `json:"canonicalArn"`
	PrincipalID  [1]string `json:"principalId"`
	SessionName  [1]string `json:"sessionName"`
	Principal    [1]string `json:"sigs.k8s.io/aws-iam-authenticator/principalId"`
}

// maxLines bounds the lines about reviews without access, a second: whoever sends
// garbage must not fill the disk.
const maxLines = 100

// lineLimit counts the lines of the current second.
type lineLimit struct {
	mu      sync.Mutex
	second  int64
	lines   int
	dropped int
}

// allow reports whether a line may be written, and how many were dropped before it.
func (l *lineLimit) allow(now time.Time) (bool, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.lines = s, 0
	}
	if l.lines >= maxLines {
		l.dropped++
		return false, 0
	}
	l.lines++
	dropped := l.dropped
	l.dropped = 0
	return true, dropped
}

// open reports whether the account of a verdict may be told: if it is scrubbed, or
// unknown, neither its ARNs, key ids and entries, nor an error, which may contain them.
func (h *Handler) open(v verdict) bool {
	known := v.identity.AccountID != ""
	return len(h.scrubbed) == 0 || known && !slices.Contains(h.scrubbed, v.identity.AccountID)
}

// logVerdict logs one decision.
func (h *Handler) logVerdict(ctx context.Context, v verdict) {
	attrs := append(make([]slog.Attr, 0, 10), slog.String("outcome", string(v.outcome)), slog.String("requestID", v.requestID))
	if v.outcome != outcomeAuthenticated {
		ok, dropped := h.lines.allow(h.now())
		if !ok {
			return
		}
		if dropped > 0 {
			attrs = append(attrs, slog.Int("linesDroppedBefore", dropped))
		}
	}
	open := h.open(v)
	if v.parsed != nil {
		attrs = append(attrs, slog.String("stsHost", v.parsed.Host))
		if open {
			attrs = append(attrs, slog.String("accessKeyId", v.parsed.AccessKeyID))
		}
	}
	if open && v.identity.AccountID != "" {
		attrs = append(attrs, slog.String("arn", v.identity.ARN))
	}
	if v.outcome == outcomeAuthenticated {
		attrs = append(attrs, slog.String("username", v.mapping.Username), slog.Any("groups", v.mapping.Groups))
		if open {
			attrs = append(attrs, slog.String("entry", v.mapping.Source))
		}
		h.log.LogAttrs(ctx, slog.LevelInfo, "access granted", attrs...)
		return
	}
	var broken *token.RuleError
	switch {
	case open:
		attrs = append(attrs, slog.String("reason", v.err.Error()))
	case errors.As(v.err, &broken):
		attrs = append(attrs, slog.String("rule", string(broken.Code)))
	}
	h.log.LogAttrs(ctx, slog.LevelWarn, "access denied", attrs...)
}

// record is the audit record of one decision, without what [Handler.open] withholds.
func (h *Handler) record(v verdict, begin time.Time, took time.Duration) audit.Record {
	r := audit.Record{
		Time: begin.UTC(), Kind: kind, RequestID: v.requestID, Outcome: string(v.outcome), Duration: took.Seconds(),
		Backend: v.mapping.Backend,
	}
	if v.err != nil {
		r.Reason = reason(v.err)
	}
	if v.parsed != nil {
		r.STSHost = v.parsed.Host
	}
	if v.outcome == outcomeAuthenticated {
		r.Username, r.UID, r.Groups = v.mapping.Username, v.status.User.UID, v.mapping.Groups
	}
	if !h.open(v) {
		return r
	}
	r.Entry = v.mapping.Source
	if v.parsed != nil {
		r.AccessKeyID = v.parsed.AccessKeyID
	}
	if v.identity.AccountID != "" {
		r.CanonicalARN, r.UID = v.identity.CanonicalARN, uid(v.identity)
	}
	return r
}

// reason is the code of an error in the audit log. Codes are never reused.
func reason(err error) string {
	var broken *token.RuleError
	var denied *verify.DeniedError
	var unavailable *verify.UnavailableError
	switch {
	case errors.As(err, &broken):
		return string(broken.Code)
	case errors.As(err, &denied):
		return "sts-denied"
	case errors.As(err, &unavailable) && unavailable.Throttled:
		return "sts-throttled"
	case errors.Is(err, errOpen):
		return "sts-circuit-open"
	case errors.As(err, &unavailable):
		return "sts-unavailable"
	case errors.Is(err, errOverload):
		return "overload"
	case errors.Is(err, errPanic):
		return "panic"
	case errors.Is(err, errAudience):
		return "audience"
	case errors.Is(err, context.Canceled):
		return "client-left"
	case errors.Is(err, mapping.ErrNotMapped):
		return "not-mapped"
	case errors.Is(err, context.DeadlineExceeded), mapping.Temporary(err):
		return "mapping-unavailable"
	case errors.As(err, new(*mapping.PinError)):
		return "other-unique-id"
	case errors.As(err, new(*mapping.ReservedError)):
		return "username-reserved"
	}
	return "mapping-refused"
}
