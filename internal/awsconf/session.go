// Package awsconf is the only place that loads AWS configuration: region,
// credentials, endpoints and certificates, from flags, the environment and
// AWS's own files, by the rules of aws-sdk-go-v2.
//
// What it adds to the SDK are chains of roles, an MFA device that is asked
// for once, one short attempt at the instance metadata service instead of
// several long ones, and errors that name a cause and a remedy in place of the
// SDK's nested ones. It never hands on text that a credentials source printed,
// because that may be the credentials.
package awsconf

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/awsfiles"
	"github.com/ekskey/ekskey/internal/awsprofile"
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
	// MFACode asks for the MFA code with this serial number. Nil
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

	opened *awsfiles.Files  // see openFiles
	files  *awsfiles.Config // see readFiles
}

// Session is loaded configuration. Loading asks no service and runs no program;
// credentials are looked for at their first use. It is safe for concurrent use.
type Session struct {
	cfg         aws.Config
	profiles    awsprofile.Reader // nothing in it with NoFiles
	profile     string
	region      string // empty if nothing names one
	endpointURL string
	caFile      string
	shared      aws.HTTPClient // nil if connections are not shared
	cache       *caching       // nil if nothing may be cached
	ssoToken    *ssoToken      // nil if the profile has no SSO session
	baseCode    atomic.Bool    // the first credentials needed the MFA code
	base        *provider      // what the SDK found
	credentials *provider      // base, or the last role on top of it
}

// Load reads the configuration. It fails with *awserr.ConfigError (a setting that
// cannot be), *awserr.CredentialsError (a profile that does not exist or does not
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
	s := &Session{endpointURL: c.EndpointURL, caFile: c.CABundle}
	s.profile = first(c.Profile, c.Getenv("AWS_PROFILE"), c.Getenv("AWS_DEFAULT_PROFILE"), "default")
	if err := s.read(ctx, c); err != nil {
		return nil, err
	}
	cfg := s.cfg
	s.region = regionOf(cfg.ConfigSources)
	if r := s.region; r != "" {
		if _, err := identity.PartitionOfRegion(r); err != nil {
			return nil, &awserr.ConfigError{Setting: "region", Reason: err.Error()}
		}
	}
	if c.Connections != nil {
		s.shared = c.Connections.of(s.caFile, s.cfg.HTTPClient)
	}
	s.prepareCaching(c)
	s.assume(ctx, c)
	return s, nil
}

func (c *Config) validate() error {
	if c.EndpointURL != "" {
		u, err := url.Parse(c.EndpointURL)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			return &awserr.ConfigError{Setting: "endpoint URL", Reason: "is not of the form https://host[:port]"}
		}
	}
	for _, r := range c.Roles {
		if p, err := identity.ParsePrincipal(r.ARN); err != nil {
			return &awserr.ConfigError{Setting: "role", Reason: err.Error()}
		} else if p.Kind != identity.KindRole {
			return &awserr.ConfigError{Setting: "role", Reason: "arn \"" + r.ARN + "\": is not one of a role"}
		}
	}
	return nil
}

// Region is the region that flags, the environment or a profile name; empty if
// none does.
func (s *Session) Region() string { return s.region }

// NeedRegion is Region for what cannot do without. It fails with *NoRegionError.
func (s *Session) NeedRegion() (string, error) {
	if s.region == "" {
		return "", &awserr.NoRegionError{}
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
// the environment where there is none. Retrieve fails with *awserr.CredentialsError or,
// if the context has ended, with its error. The provider caches, and has an
// Invalidate method.
func (s *Session) Credentials() aws.CredentialsProvider { return s.credentials }

// STS is a client for STS, signing with Credentials.
func (s *Session) STS() *sts.Client {
	return sts.NewFromConfig(s.signing(), s.toOverride)
}

func (s *Session) toOverride(o *sts.Options) { s.override(&o.BaseEndpoint) }

// override puts the address that the Config names in place of another.
func (s *Session) override(base **string) {
	if s.endpointURL != "" {
		*base = &s.endpointURL
	}
}

// EKS is a client for EKS in a region, signing with Credentials.
func (s *Session) EKS(region string) *eks.Client {
	cfg := s.signing()
	cfg.Region = region
	return eks.NewFromConfig(cfg, func(o *eks.Options) { s.override(&o.BaseEndpoint) })
}

// IAM is a client for IAM, signing with Credentials. The region decides the partition.
func (s *Session) IAM(region string) *iam.Client {
	cfg := s.signing()
	cfg.Region = region
	return iam.NewFromConfig(cfg, func(o *iam.Options) { s.override(&o.BaseEndpoint) })
}

// Config is the SDK's configuration for the client of another service, signing with
// Credentials.
func (s *Session) Config(region string) aws.Config {
	cfg := s.signing()
	cfg.Region = region
	return cfg
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
