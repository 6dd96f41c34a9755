package awsconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/credcache"
)

// DefaultSessionName names the sessions of assumed roles where nothing else
// does. It does not change from call to call, so that a Kubernetes username made
// of it does not either.
const DefaultSessionName = "ekskey"

// roleDuration is how long an assumed role's credentials live: STS's own
// default, which every role allows, chained ones included.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const roleDuration = time.Hour

// Role is one hop of a chain.
type Role struct {
	ARN string
	// ExternalID is asked for by some trust policies; empty sends none.
	ExternalID string
	// SourceARN is for whom a service assumes the role, and goes into the headers
	// x-amz-source-arn and x-amz-source-account; empty sends none.
	//
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
	SourceARN string
	// SessionName is the session's name; empty means AWS_ROLE_SESSION_NAME, else
	// DefaultSessionName.
	SessionName string
	// MFASerial is the serial number or ARN of an MFA device; empty means none.
	MFASerial string
	// Duration is how long the credentials shall live. Zero means an hour, which is
	// STS's own default and the most that a role gets from another role's session.
	Duration time.Duration
}

// assume puts the chain of roles on top of what the SDK found.
func (s *Session) assume(ctx context.Context, c Config) {
	base := s.cfg.Credentials
	if s.cache != nil || s.ssoToken != nil {
		base = s.firstSource(base, c.Getenv)
	}
	s.base = &provider{session: s}
	if s.cache != nil && s.cache.keep == keepAll {
		s.base.stored = &stored{session: s, next: base, about: s.about(c, 0), key: func(context.Context) (credcache.Key, error) {
			return s.cache.fingerprint.after(c, 0), nil
		}}
		base = s.base.stored
	}
	cache, ok := base.(*aws.CredentialsCache)
	if !ok {
		cache = aws.NewCredentialsCache(base)
	}
	s.base.cache = cache
	s.credentials = s.base
	forwarded := s.forwardedName(c)
	for i, r := range c.Roles {
		before := s.credentials
		hop := &hop{session: s, config: c, role: r, client: s.assumingSTS(r), before: before, forwarded: forwarded, ctx: ctx}
		next := &provider{session: s, role: r.ARN}
		var source aws.CredentialsProvider = hop
		if s.cache != nil {
			next.stored = &stored{session: s, next: hop, before: before.stored, role: r.ARN, about: s.about(c, i+1), key: s.hopKey(c, i, before)}
			hop.usedCode = func() { next.stored.usedCode.Store(true) }
			source = next.stored
		}
		next.cache = aws.NewCredentialsCache(source)
		s.credentials = next
	}
}

// assumingSTS is STS, with headers that say for whom the role is assumed.
func (s *Session) assumingSTS(r Role) *sts.Client {
	if r.SourceARN == "" {
		return s.STS()
	}
	headers := map[string]string{"X-Amz-Source-Arn": r.SourceARN}
	if arn, err := identity.ParseARN(r.SourceARN); err == nil {
		headers["X-Amz-Source-Account"] = arn.Account
	}
	return sts.NewFromConfig(s.signing(), s.toOverride, func(o *sts.Options) {
		for name, value := range headers {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(name, value))
		}
	})
}

// hop assumes a role of the chain.
type hop struct {
	session   *Session
	config    Config
	role      Role
	client    *sts.Client // signs with before
	before    *provider
	forwarded func(context.Context) (string, error)
	usedCode  func()          // nil if nobody wants to know
	ctx       context.Context // of Load: the SDK hides from the code's prompt that the context ended
}

// Retrieve assumes the role. Where AWS refuses the credentials before, and they were
// cached, it gets new ones once.
func (h *hop) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := h.assume(ctx)
	var api *awserr.APIError
	if err != nil && errors.As(awserr.Explain(err), &api) && refusedBySTS(api) && h.before.refused() {
		return h.assume(ctx)
	}
	return creds, err
}

func (h *hop) assume(ctx context.Context) (aws.Credentials, error) {
	// First the hop before, or it would be the last one that asks for a code first.
	if _, err := h.before.Retrieve(ctx); err != nil {
		return aws.Credentials{}, err
	}
	r := h.role
	name := r.SessionName
	if name == "" {
		var err error
		if name, err = h.forwarded(ctx); err != nil {
			return aws.Credentials{}, err
		}
	}
	return stscreds.NewAssumeRoleProvider(h.client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = first(name, h.config.Getenv("AWS_ROLE_SESSION_NAME"), DefaultSessionName)
		o.Duration = cmp.Or(r.Duration, roleDuration)
		if r.ExternalID != "" {
			o.ExternalID = &r.ExternalID
		}
		if r.MFASerial != "" {
			o.SerialNumber = &r.MFASerial
			o.TokenProvider = func() (string, error) {
				if h.usedCode != nil {
					h.usedCode()
				}
				return h.config.mfaCode(h.ctx, r.MFASerial)
			}
		}
	}).Retrieve(ctx)
}

// hopKey is the key of a hop's credentials: what the first credentials depend on, and
// the hops up to this one. Where the state of the first ones' source is not seen, the
// hop depends on these credentials themselves.
func (s *Session) hopKey(c Config, hop int, before *provider) func(context.Context) (credcache.Key, error) {
	return func(ctx context.Context) (credcache.Key, error) {
		chain := s.cache.fingerprint.after(c, hop+1)
		if s.cache.keep != keepHops {
			return chain, nil
		}
		creds, err := before.Retrieve(ctx)
		if err != nil {
			return credcache.Key{}, err
		}
		h := credcache.NewHash("chain over credentials")
		h.Add("chain", chain.String())
		h.Add("key", creds.AccessKeyID)
		h.Add("secret", creds.SecretAccessKey)
		h.Add("session", creds.SessionToken)
		return h.Sum(), nil
	}
}

// about describes the credentials after so many hops, for a list of what is cached.
func (s *Session) about(c Config, hops int) credcache.About {
	a := credcache.About{Profile: s.profile, Source: s.baseSource()}
	for _, r := range c.Roles[:hops] {
		a.Roles = append(a.Roles, r.ARN)
	}
	return a
}

// forwardedName gives the session name of whoever assumes the first role; empty
// where that is not asked for, or where the caller is no session.
func (s *Session) forwardedName(c Config) func(context.Context) (string, error) {
	if !c.ForwardSessionName || len(c.Roles) == 0 {
		return func(context.Context) (string, error) { return "", nil }
	}
	client := s.STS()
	return func(ctx context.Context) (string, error) {
		out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		caller, err := identity.ParsePrincipal(aws.ToString(out.Arn))
		if err != nil {
			return "", fmt.Errorf("reading the caller's identity: %w", err)
		}
		return caller.SessionName, nil
	}
}

func (c *Config) mfaCode(ctx context.Context, serial string) (string, error) {
	if c.MFACode == nil {
		return "", ownError{&awserr.CredentialsError{
			Cause: "the role requires an MFA code (" + serial + ") and there is no terminal to prompt on",
			Hint:  "run the command on a terminal once, or give --mfa-command a command that prints the code",
		}}
	}
	code, err := c.MFACode(ctx, serial)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", ownError{&awserr.CredentialsError{
			Cause: "the MFA code could not be read: " + err.Error(),
			Hint:  "give the six digits that the device " + serial + " shows now", Err: err,
		}}
	}
	return code, nil
}
