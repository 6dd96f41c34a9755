package awsconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/signin"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/awsfiles"
	"github.com/ekskey/ekskey/internal/awsprofile"
	"github.com/ekskey/ekskey/internal/credprocess"
)

// read fills in what flags, the environment and AWS's files say. It does what the
// SDK's LoadDefaultConfig does, with the files as awsfiles has read them: the SDK's
// own reader passes over what it does not understand, and cannot be given a file
// that has been read already. A test holds the two against each other.
func (s *Session) read(ctx context.Context, c Config) error {
	env, err := environment()
	if err != nil {
		return awserr.Bad("", "the AWS configuration cannot be used: %s", awserr.OneLine(err.Error()))
	}
	var shared config.SharedConfig
	if !c.NoFiles {
		if err := c.readFiles(); err != nil {
			return err
		}
		s.profiles = awsprofile.Reader{Files: c.files}
		profile, ok := c.files.Profile(s.profile)
		if ok {
			shared, err = s.profiles.Settings(profile)
		} else if c.Profile != "" || env.SharedConfigProfile != "" {
			err = s.profiles.Missing(s.profile, nil)
		}
		if err != nil {
			return err
		}
	}
	s.configure(c, env, shared)
	switch {
	case c.Credentials != nil:
		s.cfg.Credentials = c.Credentials
	case c.NoFiles:
		s.cfg.Credentials = aws.AnonymousCredentials{}
	default:
		r := &resolver{session: s, ctx: ctx, config: c, env: env}
		if s.cfg.Credentials, err = r.resolve(); err != nil {
			return err
		}
	}
	if _, ok := s.cfg.Credentials.(*aws.CredentialsCache); !ok {
		s.cfg.Credentials = aws.NewCredentialsCache(s.cfg.Credentials)
	}
	s.endKeys(c.Getenv)
	return nil
}

// environment is the process's own, with what only the AWS CLI reads there.
func environment() (config.EnvConfig, error) {
	env, err := config.NewEnvConfig()
	env.CustomCABundle = awsfiles.Path(env.CustomCABundle)
	env.WebIdentityTokenFilePath = awsfiles.Path(env.WebIdentityTokenFilePath)
	env.Credentials.SessionToken = first(env.Credentials.SessionToken, os.Getenv("AWS_SECURITY_TOKEN"))
	return env, err
}

// configure makes the SDK's configuration, all but the credentials.
func (s *Session) configure(c Config, env config.EnvConfig, shared config.SharedConfig) {
	s.cfg = aws.Config{
		// For STS calls only: tokens are minted for the global host then, and EKS is
		// not called.
		Region:        first(c.Region, env.Region, shared.Region, identity.GlobalSTSRegion),
		ConfigSources: []any{config.LoadOptions{Region: c.Region}, env, shared},
		Logger:        sdkLogger{c.Log},
		// A token signed by a wrong clock is refused by every cluster, so a wrong clock
		// is an error, and is not made up for.
		DisableClockSkewCorrection: true,
		APIOptions:                 []func(*middleware.Stack) error{limits(callTimeout)},
		// "auto" would ask the instance metadata service, and all that the modes set are
		// timeouts, which are set here.
		DefaultsMode:          aws.DefaultsModeLegacy,
		AccountIDEndpointMode: aws.AccountIDEndpointModePreferred,
		AppID:                 first(env.AppID, shared.AppID),
		RetryMaxAttempts:      cmp.Or(env.RetryMaxAttempts, shared.RetryMaxAttempts),
		RetryMode:             cmp.Or(env.RetryMode, shared.RetryMode),
	}
	s.caFile = awsfiles.Path(first(s.caFile, env.CustomCABundle, shared.CustomCABundle))
	s.cfg.HTTPClient = newHTTPClient(s.caFile)
	ignore := cmp.Or(env.IgnoreConfiguredEndpoints, shared.IgnoreConfiguredEndpoints)
	if base := first(env.BaseEndpoint, shared.BaseEndpoint); base != "" && !aws.ToBool(ignore) {
		s.cfg.BaseEndpoint = &base
	}
	s.override(&s.cfg.BaseEndpoint)
}

// newHTTPClient is the client for AWS API calls. It reads the CA bundle when it first
// connects.
func newHTTPClient(caFile string) aws.HTTPClient {
	client := awshttp.NewBuildableClient().WithTimeout(attemptTimeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })
	if caFile == "" {
		return client
	}
	return &bundleClient{client: client, caFile: caFile}
}

// resolver finds the credentials that a Config leads to, in the SDK's order.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
type resolver struct {
	session *Session
	ctx     context.Context // of Load, for questions to the user
	config  Config
	env     config.EnvConfig
}

func (r *resolver) resolve() (aws.CredentialsProvider, error) {
	if r.config.Profile != "" {
		return r.profile()
	}
	if err := r.halfKey(); err != nil {
		return nil, err
	}
	switch {
	case r.env.Credentials.HasKeys():
		return r.envKeys(aws.CredentialSourceEnvVars), nil
	case r.env.WebIdentityTokenFilePath == "":
		return r.profile()
	case r.config.ProfileRoleFirst && r.profileRoleWaits():
		return r.profile()
	case r.env.RoleARN == "":
		return nil, awserr.Bad("set AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not")
	}
	return r.webIdentity(r.env.WebIdentityTokenFilePath, r.env.RoleARN, r.env.RoleSessionName, "", []aws.CredentialSource{aws.CredentialSourceEnvVarsSTSWebIDToken}), nil
}

// profileRoleWaits reports whether the profile in use assumes a role, with credentials
// that its file names. To the AWS CLI it goes before a web identity of the
// environment.
//
// Source: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/credentials.html
func (r *resolver) profileRoleWaits() bool {
	p, ok := r.config.files.Profile(r.session.profile)
	return ok && p.Value(awsprofile.RoleARN) != "" && p.Value(awsprofile.SourceProfile)+p.Value(awsprofile.CredentialSource) != ""
}

// halfKey refuses half an access key in the environment, where the other half is
// most likely misspelt.
func (r *resolver) halfKey() error {
	get := r.config.Getenv
	id := first(get("AWS_ACCESS_KEY_ID"), get("AWS_ACCESS_KEY"))
	secret := first(get("AWS_SECRET_ACCESS_KEY"), get("AWS_SECRET_KEY"))
	have, missing := "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
	if id == "" {
		have, missing = missing, have
	}
	if (id == "") == (secret == "") {
		return nil
	}
	return awserr.Bad("set "+missing+" too, or unset "+have, "%s is set, and %s is not", have, missing)
}

func (r *resolver) envKeys(sources ...aws.CredentialSource) aws.CredentialsProvider {
	return credentials.StaticCredentialsProvider{Value: r.env.Credentials, Source: sources}
}

// profile gives the credentials of the profile in use.
func (r *resolver) profile() (aws.CredentialsProvider, error) {
	s := r.session
	c := config.SharedConfig{Profile: s.profile}
	if _, ok := r.config.files.Profile(s.profile); ok {
		var err error
		if c, err = s.profiles.Load(s.profile, nil); err != nil {
			return nil, err
		}
	}
	s.cfg.ConfigSources[len(s.cfg.ConfigSources)-1] = c
	p, _, err := r.of(&c, nil)
	return p, err
}

// of gives the credentials of a profile: those of its source, or of its role on top of
// them. It returns the sources that they pass through, roles left out, as in the SDK.
func (r *resolver) of(c *config.SharedConfig, sources []aws.CredentialSource) (aws.CredentialsProvider, []aws.CredentialSource, error) {
	source, sources, err := r.source(c, sources)
	if err != nil || c.RoleARN == "" || c.WebIdentityTokenFile != "" && c.Source == nil && !c.Credentials.HasKeys() {
		return source, sources, err
	}
	return r.role(c, source, sources), sources, nil
}

// source gives the credentials of a profile without its role.
func (r *resolver) source(c *config.SharedConfig, sources []aws.CredentialSource) (aws.CredentialsProvider, []aws.CredentialSource, error) {
	add := func(more ...aws.CredentialSource) []aws.CredentialSource {
		sources = append(sources, more...)
		return sources
	}
	switch {
	case c.Source != nil:
		return r.of(c.Source, add(aws.CredentialSourceProfileSourceProfile))
	case c.Credentials.HasKeys():
		return credentials.StaticCredentialsProvider{Value: c.Credentials, Source: add(aws.CredentialSourceProfile)}, sources, nil
	case c.CredentialSource != "":
		add(aws.CredentialSourceProfileNamedProvider)
		p, err := r.named(c, add)
		return p, sources, err
	case c.WebIdentityTokenFile != "":
		add(aws.CredentialSourceProfileSTSWebIDToken)
		return r.webIdentity(c.WebIdentityTokenFile, c.RoleARN, c.RoleSessionName, c.Profile, sources), sources, nil
	case awsprofile.HasSSO(*c):
		p, err := r.sso(c, add)
		return p, sources, err
	case c.LoginSession != "":
		p, err := r.login(c, add(aws.CredentialSourceProfileLogin, aws.CredentialSourceLogin))
		return p, sources, err
	case c.CredentialProcess != "":
		p := &credprocess.Provider{Command: c.CredentialProcess, Log: r.config.Log, Sources: add(aws.CredentialSourceProfileProcess, aws.CredentialSourceProcess)}
		return &namedSource{p, kindProcess, c.Profile, ""}, sources, nil
	case r.env.ContainerCredentialsRelativePath+r.env.ContainerCredentialsEndpoint != "":
		p, err := r.container(c.Profile, add(aws.CredentialSourceHTTP))
		return p, sources, err
	}
	return r.metadata(c.Profile, add(aws.CredentialSourceIMDS)), sources, nil
}

// named gives the credentials of a credential_source.
func (r *resolver) named(c *config.SharedConfig, add func(...aws.CredentialSource) []aws.CredentialSource) (aws.CredentialsProvider, error) {
	where := "profile " + c.Profile + " has credential_source = " + c.CredentialSource
	switch c.CredentialSource {
	case "Ec2InstanceMetadata":
		return r.metadata(c.Profile, add(aws.CredentialSourceIMDS)), nil
	case "Environment":
		if err := r.halfKey(); err != nil {
			return nil, err
		}
		if !r.env.Credentials.HasKeys() {
			return nil, awserr.Bad("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "%s, and the environment has no access key", where)
		}
		// The SDK's word for it.
		return r.envKeys(add(aws.CredentialSourceHTTP)...), nil
	case "EcsContainer":
		if r.env.ContainerCredentialsRelativePath+r.env.ContainerCredentialsEndpoint == "" {
			return nil, awserr.Bad("it works inside a container that has such an endpoint only",
				"%s, and neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set", where)
		}
		return r.container(c.Profile, add(aws.CredentialSourceHTTP))
	}
	return nil, awserr.Bad("credential_source is Environment, EcsContainer or Ec2InstanceMetadata", "profile %s has a credential_source that does not exist", c.Profile)
}

func (r *resolver) stsClient(signing aws.CredentialsProvider) *sts.Client {
	cfg := r.session.cfg.Copy()
	cfg.Credentials = signing
	return sts.NewFromConfig(cfg, r.session.toOverride)
}

// role assumes the role of a profile.
func (r *resolver) role(c *config.SharedConfig, signing aws.CredentialsProvider, sources []aws.CredentialSource) aws.CredentialsProvider {
	s := r.session
	p := stscreds.NewAssumeRoleProvider(r.stsClient(signing), c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = first(c.RoleSessionName, DefaultSessionName), roleDuration
		if d := aws.ToDuration(c.RoleDurationSeconds); d >= 15*time.Minute {
			o.Duration = d
		}
		if c.ExternalID != "" {
			o.ExternalID = &c.ExternalID
		}
		if c.MFASerial != "" {
			o.SerialNumber = &c.MFASerial
			o.TokenProvider = func() (string, error) {
				s.baseCode.Store(true)
				return r.config.mfaCode(r.ctx, c.MFASerial)
			}
		}
		o.CredentialSources = sources
	})
	return &namedSource{p, kindRole, c.Profile, ""}
}

func (r *resolver) webIdentity(path, role, session, profile string, sources []aws.CredentialSource) aws.CredentialsProvider {
	p := stscreds.NewWebIdentityRoleProvider(r.stsClient(nil), role, stscreds.IdentityTokenFile(path), func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = first(session, DefaultSessionName)
		o.CredentialSources = sources
	})
	return &namedSource{p, kindWebIdentity, profile, path}
}

func (r *resolver) sso(c *config.SharedConfig, add func(...aws.CredentialSource) []aws.CredentialSource) (aws.CredentialsProvider, error) {
	s := r.session
	cfg := s.cfg.Copy()
	cfg.Credentials = nil
	cfg.Region = c.SSORegion
	var token *ssocreds.SSOTokenProvider
	var path string
	if c.SSOSession != nil {
		add(aws.CredentialSourceSSO, aws.CredentialSourceProfileSSO)
		cfg.Region = c.SSOSession.SSORegion
		var err error
		if path, err = ssocreds.StandardCachedTokenFilepath(c.SSOSession.Name); err != nil {
			return nil, err
		}
		client := ssooidc.NewFromConfig(cfg, func(o *ssooidc.Options) { s.override(&o.BaseEndpoint) })
		token = ssocreds.NewSSOTokenProvider(client, path)
		s.ssoToken = &ssoToken{token, path, c.Profile}
	} else {
		add(aws.CredentialSourceProfileSSOLegacy, aws.CredentialSourceSSOLegacy)
	}
	sources := add()
	client := sso.NewFromConfig(cfg, func(o *sso.Options) { s.override(&o.BaseEndpoint) })
	p := ssocreds.New(client, c.SSOAccountID, c.SSORoleName, c.SSOStartURL, func(o *ssocreds.Options) {
		o.CredentialSources = sources
		if token != nil {
			o.SSOTokenProvider, o.CachedTokenFilepath = token, path
		}
	})
	return &namedSource{p, kindSSO, c.Profile, ""}, nil
}

func (r *resolver) login(c *config.SharedConfig, sources []aws.CredentialSource) (aws.CredentialsProvider, error) {
	path, err := logincreds.StandardCachedTokenFilepath(c.LoginSession, awsfiles.Path(r.config.Getenv("AWS_LOGIN_CACHE_DIRECTORY")))
	if err != nil {
		return nil, err
	}
	p := logincreds.New(signin.NewFromConfig(r.session.cfg), path, func(o *logincreds.Options) { o.CredentialSources = sources })
	return &namedSource{p, kindLogin, c.Profile, ""}, nil
}

func (r *resolver) metadata(profile string, sources []aws.CredentialSource) aws.CredentialsProvider {
	p := ec2rolecreds.New(func(o *ec2rolecreds.Options) {
		o.Client, o.CredentialSources = &shortMetadata{cfg: &r.session.cfg}, sources
	})
	return &namedSource{p, kindMetadata, profile, ""}
}

// containerExpiry is how long before their end the SDK renews a container's
// credentials.
//
// Source: https://github.com/aws/aws-sdk-go-v2, config/resolve_credentials.go
const containerExpiry = 5 * time.Minute

// renewedEarly are credentials that count as expired some time before they do. It does
// not cache: of two caches, Invalidate would reach the outer one only.
type renewedEarly struct {
	*endpointcreds.Provider
	by time.Duration
}

// Retrieve gives the credentials with the earlier expiry.
func (e renewedEarly) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := e.Provider.Retrieve(ctx)
	if creds.CanExpire {
		creds.Expires = creds.Expires.Add(-e.by)
	}
	return creds, err
}

func (r *resolver) container(profile string, sources []aws.CredentialSource) (aws.CredentialsProvider, error) {
	address := "http://169.254.170.2" + r.env.ContainerCredentialsRelativePath
	if r.env.ContainerCredentialsRelativePath == "" {
		address = r.env.ContainerCredentialsEndpoint
		if err := checkContainer(address); err != nil {
			return nil, awserr.Bad("see https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html", "AWS_CONTAINER_CREDENTIALS_FULL_URI: %v", err)
		}
	}
	path := awsfiles.Path(r.config.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
	p := endpointcreds.New(address, func(o *endpointcreds.Options) {
		o.AuthorizationToken = r.env.ContainerAuthorizationToken
		if path != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				data, err := os.ReadFile(path) // #nosec G304 -- the user names the file in a variable
				return string(data), err
			})
		}
		o.APIOptions = []func(*middleware.Stack) error{limits(containerTimeout)}
		o.CredentialSources = sources
	})
	return &namedSource{renewedEarly{p, containerExpiry}, kindContainer, profile, path}, nil
}

// checkContainer allows plain HTTP to this computer and to the addresses of ECS and
// EKS only, as the SDK does: the request carries an authorization token.
func checkContainer(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return errors.New("is not a URL with a host")
	}
	if u.Scheme != "http" {
		return nil
	}
	addresses := []string{u.Hostname()}
	if net.ParseIP(u.Hostname()) == nil {
		if addresses, err = net.LookupHost(u.Hostname()); err != nil {
			return fmt.Errorf("host %q cannot be resolved", u.Hostname())
		}
	}
	for _, a := range addresses {
		switch ip := net.ParseIP(a); {
		case ip.IsLoopback(), ip.Equal(net.IPv4(169, 254, 170, 2)), ip.Equal(net.IPv4(169, 254, 170, 23)), ip.Equal(net.ParseIP("fd00:ec2::23")):
		default:
			return fmt.Errorf("host %q is neither this computer nor an address of ECS or EKS, and the URL is not https", u.Hostname())
		}
	}
	return nil
}
