package awsconf

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/identity"
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
	// SessionName is the session's name; empty means AWS_ROLE_SESSION_NAME, else
	// DefaultSessionName.
	SessionName string
	// MFASerial is the serial number or ARN of a second factor; empty means none.
	MFASerial string
	// Duration is how long the credentials shall live. Zero means an hour, which is
	// STS's own default and the most that a role gets from another role's session.
	Duration time.Duration
}

// assume puts the chain of roles on top of what the SDK found.
func (s *Session) assume(ctx context.Context, c Config) {
	base := s.cfg.Credentials
	if s.keep == keepAll {
		base = &stored{session: s, next: base, about: s.about(c, 0), key: func(context.Context) (credcache.Key, bool) {
			return s.print.base, true
		}}
	}
	cache, ok := base.(*aws.CredentialsCache)
	if !ok {
		cache = aws.NewCredentialsCache(base)
	}
	s.base = &provider{session: s, cache: cache}
	s.credentials = s.base
	s.label = s.about(c, len(c.Roles))
	forwarded := s.forwardedName(c)
	for i, r := range c.Roles {
		client, before := s.STS(), s.credentials
		var hop aws.CredentialsProvider = aws.CredentialsProviderFunc(func(asked context.Context) (aws.Credentials, error) {
			// First the hop before, or it would be the last one that asks for a code first.
			if _, err := before.Retrieve(asked); err != nil {
				return aws.Credentials{}, err
			}
			name := r.SessionName
			if name == "" {
				var err error
				if name, err = forwarded(asked); err != nil {
					return aws.Credentials{}, err
				}
			}
			return stscreds.NewAssumeRoleProvider(client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = first(name, c.Getenv("AWS_ROLE_SESSION_NAME"), DefaultSessionName)
				o.Duration = cmp.Or(r.Duration, roleDuration)
				if r.ExternalID != "" {
					o.ExternalID = &r.ExternalID
				}
				if r.MFASerial != "" {
					o.SerialNumber = &r.MFASerial
					// The SDK hides from asked that the context ended.
					o.TokenProvider = func() (string, error) { return c.mfaCode(ctx, r.MFASerial) }
				}
			}).Retrieve(asked)
		})
		if s.print != nil {
			hop = &stored{session: s, next: hop, about: s.about(c, i+1), key: s.hopKey(c, i, before)}
		}
		s.credentials = &provider{session: s, role: r.ARN, cache: aws.NewCredentialsCache(hop)}
	}
}

// hopKey is the key of a hop's credentials: what the first credentials hang on,
// and the hops up to this one. Where the first ones' source cannot be seen, they
// themselves can: the hop hangs on those.
func (s *Session) hopKey(c Config, hop int, before *provider) func(context.Context) (credcache.Key, bool) {
	return func(ctx context.Context) (credcache.Key, bool) {
		chain := s.print.after(c, hop+1)
		if s.keep != keepNothing {
			return chain, true
		}
		creds, err := before.Retrieve(ctx)
		if err != nil {
			return credcache.Key{}, false // and so will the hop
		}
		h := credcache.NewHash("chain of unseen source")
		h.Add("chain", chain.String())
		h.Add("key", creds.AccessKeyID)
		h.Add("secret", creds.SecretAccessKey)
		h.Add("session", creds.SessionToken)
		return h.Sum(), true
	}
}

// about is what a list of what is kept shows of the credentials after so many
// hops.
func (s *Session) about(c Config, hops int) credcache.About {
	a := credcache.About{Region: s.region, Profile: s.profile, Source: s.baseSource()}
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
		return "", &CredentialsError{
			Cause: "the role wants a second factor (" + serial + ") and there is no terminal to ask for its code",
			Hint:  "run the command on a terminal once, or give --mfa-command a command that prints the code",
		}
	}
	code, err := c.MFACode(ctx, serial)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &CredentialsError{
			Cause: "the code of the second factor could not be read: " + err.Error(),
			Hint:  "give the six digits that the device " + serial + " shows now", Err: err,
		}
	}
	return code, nil
}
