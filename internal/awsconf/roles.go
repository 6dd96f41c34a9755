package awsconf

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
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
}

// assume puts the chain of roles on top of what the SDK found.
func (s *Session) assume(ctx context.Context, c Config) {
	cache, ok := s.cfg.Credentials.(*aws.CredentialsCache)
	if !ok {
		cache = aws.NewCredentialsCache(s.cfg.Credentials)
	}
	s.base = &provider{session: s, cache: cache}
	s.credentials = s.base
	for _, r := range c.Roles {
		hop := stscreds.NewAssumeRoleProvider(s.STS(), r.ARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = first(r.SessionName, c.Getenv("AWS_ROLE_SESSION_NAME"), DefaultSessionName)
			o.Duration = roleDuration
			if r.ExternalID != "" {
				o.ExternalID = &r.ExternalID
			}
			if r.MFASerial != "" {
				o.SerialNumber = &r.MFASerial
				o.TokenProvider = func() (string, error) { return c.mfaCode(ctx, r.MFASerial) }
			}
		})
		s.credentials = &provider{session: s, role: r.ARN, cache: aws.NewCredentialsCache(hop)}
	}
}

func (c *Config) mfaCode(ctx context.Context, serial string) (string, error) {
	if c.MFACode == nil {
		return "", &CredentialsError{
			Cause: "the role wants a second factor (" + serial + ") and there is no terminal to ask for its code",
			Hint:  "run the command on a terminal once",
		}
	}
	code, err := c.MFACode(ctx, serial)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", &CredentialsError{Cause: "the code of the second factor could not be read: " + err.Error(), Err: err}
	}
	return code, nil
}

// lateSTS is the STS client of a role in a profile, which the SDK makes before it
// knows the endpoint override. Its own is made when it is first called.
type lateSTS struct {
	session *Session
	options sts.Options // the SDK's client's, with the credentials to sign with
}

// AssumeRole calls STS at the address that all other calls go to.
func (l *lateSTS) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, opts ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	final := sts.NewFromConfig(l.session.cfg, l.session.toOverride).Options()
	client := sts.New(l.options, func(o *sts.Options) { o.BaseEndpoint = final.BaseEndpoint })
	return client.AssumeRole(ctx, in, opts...)
}

// AssumeRoleWithWebIdentity calls STS at the address that all other calls go to.
// The call is not signed.
func (l *lateSTS) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, opts ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return sts.NewFromConfig(l.session.cfg, l.session.toOverride).AssumeRoleWithWebIdentity(ctx, in, opts...)
}
