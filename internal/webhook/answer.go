package webhook

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	authv1 "k8s.io/api/authentication/v1"

	"github.com/ekskey/ekskey/identity"
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
	v.status = authv1.TokenReviewStatus{}
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
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), mapping.Temporary(err):
		v.outcome = outcomeUnavailable
	default:
		v.outcome = outcomeDenied
		v.status.Error = notAuthorized
	}
	return v
}

// userInfo has the UID and the extras of aws-iam-authenticator and EKS, because audit
// policies and admission rules rely on them.
func (h *Handler) userInfo(id identity.Identity, m mapping.Mapping) authv1.UserInfo {
	extra := map[string]authv1.ExtraValue{
		"arn":          {id.ARN},
		"canonicalArn": {id.CanonicalARN},
		"sessionName":  {id.SessionName},
		"principalId":  {id.PrincipalID},
		"sigs.k8s.io/aws-iam-authenticator/principalId": {id.PrincipalID},
	}
	if !slices.Contains(h.scrubbed, id.AccountID) {
		extra["accessKeyId"] = authv1.ExtraValue{id.AccessKeyID}
	}
	return authv1.UserInfo{
		Username: m.Username,
		UID:      "aws-iam-authenticator:" + id.AccountID + ":" + id.PrincipalID,
		Groups:   m.Groups,
		Extra:    extra,
	}
}

// logVerdict logs one decision. If the account is scrubbed, or unknown, it logs neither
// the access key ID nor the ARN, nor a reason, which may contain them.
func (h *Handler) logVerdict(ctx context.Context, v verdict) {
	attrs := []slog.Attr{slog.String("outcome", string(v.outcome))}
	known := v.identity.AccountID != ""
	open := len(h.scrubbed) == 0 || known && !slices.Contains(h.scrubbed, v.identity.AccountID)
	if v.parsed != nil {
		attrs = append(attrs, slog.String("stsHost", v.parsed.Host))
		if open {
			attrs = append(attrs, slog.String("accessKeyId", v.parsed.AccessKeyID))
		}
	}
	if open && known {
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
