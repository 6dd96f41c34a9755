// Package awsconf is the only place that loads AWS configuration: region,
// credentials, endpoints and certificates, from flags, the environment and
// AWS's own files, by the rules of aws-sdk-go-v2.
//
// What it adds to the SDK are chains of roles, a second factor that is asked
// for once, one short attempt at the instance metadata service instead of
// several long ones, and errors that name a cause and a remedy in place of the
// SDK's nested ones. It never hands on text that a credentials source printed,
// because that may be the credentials.
package awsconf

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/credcache"
)

// globalRegion is the SDKs' name for "no region"; somebody may set it.
const globalRegion = "aws-global"

// dialTimeout bounds the way to one connection.
const dialTimeout = 5 * time.Second

// Config says what to load. The zero value is what the environment and AWS's
// files say.
type Config struct {
	// Profile is a profile by name. Unlike AWS_PROFILE, it goes before keys in the
	// environment, as with the AWS CLI.
	Profile string
	// ProfileRoleFirst has a role that a profile assumes go before a web identity of
	// the environment, as the AWS CLI has it, and the SDK does not.
	ProfileRoleFirst bool
	// Region goes before all other sources of the region.
	Region string
	// EndpointURL receives all AWS API calls. Tokens are not minted for it.
	EndpointURL string
	// CABundle is a PEM file of the only CAs to trust for AWS API calls.
	CABundle string
	// Credentials go in place of those that the environment and AWS's files hold. Nil
	// means none.
	Credentials aws.CredentialsProvider
	// Roles are assumed one after the other, each with the credentials of the one
	// before.
	Roles []Role
	// MFACode asks for the code of the second factor with this serial number. Nil
	// means that nobody can be asked.
	MFACode func(ctx context.Context, serial string) (string, error)
	// ForwardSessionName gives the session name of the caller to the sessions of
	// Roles that name none of their own.
	ForwardSessionName bool
	// Store caches credentials between processes. Nil caches none.
	Store *credcache.Store
	// Fingerprint is what NewFingerprint made of this Config. Nil means that Load
	// takes it, where there is a Store.
	Fingerprint *Fingerprint
	// CacheOpaque also caches what comes from sources with a state of their own that is
	// not seen here: credential_process, and the endpoints of containers and instances.
	CacheOpaque bool
	// EnvironmentOnly loads nothing but the environment and its keys, for callers who
	// only sign, where Static says that no more is needed.
	EnvironmentOnly bool
	// NoFiles leaves AWS's files and all profiles alone, for callers who need no
	// credentials: the Session has none.
	NoFiles bool
	// Connections are shared with other Sessions, for the calls of STS and EKS. Nil
	// means that each client has its own.
	Connections *Connections
	// Log gets the SDK's few messages, at debug level. Nil means none.
	Log *slog.Logger
	// Getenv reads the environment where the SDK does not do so itself, which
	// reads the process's own. Nil means os.Getenv.
	Getenv func(string) string
}

// Session is loaded configuration. Loading asks no service and runs no program;
// credentials are looked for at their first use. It is safe for concurrent use.
type Session struct {
	cfg         aws.Config
	files       files
	profile     string
	region      string // empty if nothing names one
	endpointURL string
	caFile      string
	shared      aws.HTTPClient // nil if connections are not shared
	cache       *caching       // nil if nothing may be cached
	ssoToken    *ssoToken      // nil if the profile has no SSO session
	baseCode    atomic.Bool    // the first credentials needed the code of a second factor
	base        *provider      // what the SDK found
	credentials *provider      // base, or the last role on top of it
}

// Load reads the configuration. It fails with *ConfigError (a setting that
// cannot be), *CredentialsError (a profile that does not exist or does not
// parse) or *CABundleError.
func Load(ctx context.Context, c Config) (*Session, error) {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Fingerprint == nil {
		// Before the SDK reads the files, or it may have read others.
		c.Fingerprint = c.fingerprint()
	}
	s := &Session{files: newFiles(c.Getenv), endpointURL: c.EndpointURL, caFile: first(c.CABundle, c.Getenv("AWS_CA_BUNDLE"))}
	s.profile = first(c.Profile, c.Getenv("AWS_PROFILE"), c.Getenv("AWS_DEFAULT_PROFILE"), "default")
	if err := s.read(ctx, c); err != nil {
		return nil, err
	}
	cfg := s.cfg
	s.region = regionOf(cfg.ConfigSources)
	if s.caFile == "" {
		s.caFile = profileCABundle(cfg.ConfigSources)
	}
	if r := s.region; r != "" {
		if _, err := identity.PartitionOfRegion(r); err != nil {
			return nil, &ConfigError{Setting: "region", Reason: err.Error()}
		}
	}
	if c.Connections != nil {
		s.shared = c.Connections.of(s.caFile, s.cfg.HTTPClient)
	}
	s.prepareCaching(c)
	s.assume(ctx, c)
	return s, nil
}

// read fills in what the SDK makes of the settings.
func (s *Session) read(ctx context.Context, c Config) error {
	var err error
	if c.NoFiles || c.EnvironmentOnly {
		s.cfg, err = environment(c.Region, !c.NoFiles)
	} else {
		var options []func(*config.LoadOptions) error
		if options, err = s.options(ctx, c); err != nil {
			return err
		}
		s.cfg, err = config.LoadDefaultConfig(ctx, options...)
		if err == nil && c.ProfileRoleFirst && s.profileRoleWaits() {
			if options, err = s.options(ctx, c); err != nil { // the CA bundle in the first ones has been read
				return err
			}
			s.cfg, err = config.LoadDefaultConfig(ctx, append(options, config.WithSharedConfigProfile(s.profile))...)
		}
	}
	if err != nil {
		return s.explainLoading(err)
	}
	s.endKeys(c.Getenv)
	return nil
}

func (c *Config) validate() error {
	if c.EndpointURL != "" {
		u, err := url.Parse(c.EndpointURL)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			return &ConfigError{Setting: "endpoint URL", Reason: "is not of the form https://host[:port]"}
		}
	}
	for _, r := range c.Roles {
		if p, err := identity.ParsePrincipal(r.ARN); err != nil {
			return &ConfigError{Setting: "role", Reason: err.Error()}
		} else if p.Kind != identity.KindRole {
			return &ConfigError{Setting: "role", Reason: "arn \"" + r.ARN + "\": is not one of a role"}
		}
	}
	return nil
}

func (s *Session) options(ctx context.Context, c Config) ([]func(*config.LoadOptions) error, error) {
	options := []func(*config.LoadOptions) error{
		// For STS calls only: tokens are minted for the global host then, and EKS is
		// not asked.
		config.WithDefaultRegion(identity.GlobalSTSRegion),
		config.WithLogger(sdkLogger{c.Log}),
		// A token signed by a wrong clock is refused by every cluster, so a wrong
		// clock must be told, not made up for.
		func(o *config.LoadOptions) error { o.DisableClockSkewCorrection = aws.Bool(true); return nil },
		config.WithHTTPClient(awshttp.NewBuildableClient().
			WithTimeout(attemptTimeout).
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })),
		config.WithAPIOptions([]func(*middleware.Stack) error{limits(callTimeout)}),
		// The default. "auto" would ask the instance metadata service, and all that
		// the modes set are timeouts, which are set here.
		config.WithDefaultsMode(aws.DefaultsModeLegacy),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) {
			o.APIOptions = []func(*middleware.Stack) error{limits(containerTimeout)}
		}),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = &shortMetadata{cfg: &s.cfg} }),
		config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = first(o.RoleSessionName, DefaultSessionName)
			if o.Duration == 0 {
				o.Duration = roleDuration
			}
			o.TokenProvider = func() (string, error) {
				s.baseCode.Store(true)
				return c.mfaCode(ctx, aws.ToString(o.SerialNumber))
			}
			if client, ok := o.Client.(*sts.Client); ok {
				o.Client = &lateSTS{session: s, options: client.Options()}
			}
		}),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = first(o.RoleSessionName, DefaultSessionName)
			o.Client = &lateSTS{session: s}
		}),
		config.WithSSOProviderOptions(func(o *ssocreds.Options) {
			if client, ok := o.Client.(*sso.Client); ok {
				o.Client = &lateSSO{session: s, options: client.Options()}
			}
		}),
		config.WithSSOTokenProviderOptions(func(o *ssocreds.SSOTokenProviderOptions) {
			if client, ok := o.Client.(*ssooidc.Client); ok {
				o.Client = &lateOIDC{session: s, options: client.Options()}
			}
			s.ssoToken = &ssoToken{ssocreds.NewSSOTokenProvider(o.Client, o.CachedTokenFilepath), o.CachedTokenFilepath}
		}),
	}
	if c.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.Profile))
	}
	if c.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(c.Credentials))
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if c.EndpointURL != "" {
		options = append(options, config.WithBaseEndpoint(c.EndpointURL))
	}
	if s.caFile != "" {
		// Read here and not by the SDK, so that an error names the file.
		pem, err := readCABundle(s.caFile)
		if err != nil {
			return nil, err
		}
		options = append(options, config.WithCustomCABundle(bytes.NewReader(pem)))
	}
	return options, nil
}

// Region is the region that flags, the environment or a profile name; empty if
// none does.
func (s *Session) Region() string { return s.region }

// NeedRegion is Region for what cannot do without. It fails with *NoRegionError.
func (s *Session) NeedRegion() (string, error) {
	if s.region == "" {
		return "", &NoRegionError{}
	}
	return s.region, nil
}

// STSVariant says which of a region's STS hosts the settings ask for.
func (s *Session) STSVariant() identity.STSVariant {
	return identity.STSVariant{
		FIPS:      setting(s.cfg.ConfigSources, fipsSetting) == aws.FIPSEndpointStateEnabled,
		DualStack: setting(s.cfg.ConfigSources, dualStackSetting) == aws.DualStackEndpointStateEnabled,
	}
}

// Credentials gives the credentials of the last role, or those of the profile or
// the environment where there is none. Retrieve fails with *CredentialsError or,
// if the context has ended, with its error. The provider caches, and has an
// Invalidate method.
func (s *Session) Credentials() aws.CredentialsProvider { return s.credentials }

// STS is a client for STS, signing with Credentials.
func (s *Session) STS() *sts.Client {
	return sts.NewFromConfig(s.signing(), s.toOverride)
}

func (s *Session) toOverride(o *sts.Options) {
	if s.endpointURL != "" {
		o.BaseEndpoint = &s.endpointURL
	}
}

// EKS is a client for EKS in a region, signing with Credentials.
func (s *Session) EKS(region string) *eks.Client {
	cfg := s.signing()
	cfg.Region = region
	return eks.NewFromConfig(cfg, func(o *eks.Options) {
		if s.endpointURL != "" {
			o.BaseEndpoint = &s.endpointURL
		}
	})
}

func (s *Session) signing() aws.Config {
	cfg := s.cfg.Copy()
	cfg.Credentials = s.credentials
	if s.shared != nil {
		cfg.HTTPClient = s.shared
	}
	return cfg
}

// STSOverride is the address to which settings send STS calls in place of AWS's
// own host. It reports false if none does.
func (s *Session) STSOverride() (*url.URL, bool) {
	base := s.STS().Options().BaseEndpoint
	if base == nil {
		return nil, false
	}
	u, err := url.Parse(*base)
	if err != nil || u.Host == "" {
		return nil, false
	}
	return u, true
}

// RootCAs are the CAs to trust for AWS API calls; nil means the system's. It
// fails with *CABundleError.
func (s *Session) RootCAs() (*x509.CertPool, error) {
	if s.caFile == "" {
		return nil, nil
	}
	pem, err := readCABundle(s.caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}
