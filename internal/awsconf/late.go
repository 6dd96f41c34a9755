package awsconf

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// lateSTS is the STS client of a role in a profile, which the SDK makes before it
// knows the endpoint override, and that a wrong clock is to be told. Its own is
// made when it is first called.
type lateSTS struct {
	session *Session
	options sts.Options // the SDK's client's, with the credentials to sign with
}

// AssumeRole calls STS at the address that all other calls go to.
func (l *lateSTS) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, opts ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	final := sts.NewFromConfig(l.session.cfg, l.session.toOverride).Options()
	client := sts.New(l.options, func(o *sts.Options) {
		o.BaseEndpoint, o.DisableClockSkewCorrection = final.BaseEndpoint, final.DisableClockSkewCorrection
	})
	return client.AssumeRole(ctx, in, opts...)
}

// AssumeRoleWithWebIdentity calls STS at the address that all other calls go to.
// The call is not signed.
func (l *lateSTS) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, opts ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return sts.NewFromConfig(l.session.cfg, l.session.toOverride).AssumeRoleWithWebIdentity(ctx, in, opts...)
}

// lateSSO is the client of the SSO portal, which the SDK makes as early.
type lateSSO struct {
	session *Session
	options sso.Options
}

// GetRoleCredentials asks at the address that all other calls go to. The call is
// not signed.
func (l *lateSSO) GetRoleCredentials(ctx context.Context, in *sso.GetRoleCredentialsInput, opts ...func(*sso.Options)) (*sso.GetRoleCredentialsOutput, error) {
	final := sso.NewFromConfig(l.session.cfg, func(o *sso.Options) { l.session.override(&o.BaseEndpoint) }).Options()
	return sso.New(l.options, func(o *sso.Options) { o.BaseEndpoint = final.BaseEndpoint }).GetRoleCredentials(ctx, in, opts...)
}

// lateOIDC is the client that refreshes SSO sessions, which the SDK makes as early.
type lateOIDC struct {
	session *Session
	options ssooidc.Options
}

// CreateToken asks at the address that all other calls go to. The call is not
// signed.
func (l *lateOIDC) CreateToken(ctx context.Context, in *ssooidc.CreateTokenInput, opts ...func(*ssooidc.Options)) (*ssooidc.CreateTokenOutput, error) {
	final := ssooidc.NewFromConfig(l.session.cfg, func(o *ssooidc.Options) { l.session.override(&o.BaseEndpoint) }).Options()
	return ssooidc.New(l.options, func(o *ssooidc.Options) { o.BaseEndpoint = final.BaseEndpoint }).CreateToken(ctx, in, opts...)
}

// override puts the address that the Config names in place of another.
func (s *Session) override(base **string) {
	if s.endpointURL != "" {
		*base = &s.endpointURL
	}
}
