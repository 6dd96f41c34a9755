package awsconf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/ekskey/ekskey/internal/awserr"
)

// provider is a source of credentials whose errors name a cause.
type provider struct {
	session *Session
	role    string // the role it assumes, if one of the chain
	cache   *aws.CredentialsCache
	stored  *stored // behind cache; nil if nothing is cached between processes

	mu   sync.Mutex
	last aws.Credentials // that cache gave
}

// Retrieve gets credentials, from memory while they last. Where new ones are wanted
// and AWS gives no answer, those of before are as good as they were.
func (p *provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := p.cache.Retrieve(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.last = creds
		return creds, nil
	}
	if p.last.HasKeys() && !p.last.Expired() && isAway(err) {
		return p.last, nil
	}
	return aws.Credentials{}, p.session.explainCredentials(ctx, err, p.role)
}

// isAway reports whether a service gave no answer, or one that says nothing of who
// asked.
func isAway(err error) bool {
	var done *failure
	if errors.As(err, &done) {
		return done.kind == failedAway
	}
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) && status.HTTPStatusCode() >= http.StatusInternalServerError {
		return true
	}
	var api *awserr.APIError
	var unreachable *awserr.UnreachableError
	err = awserr.Explain(err)
	return errors.As(err, &unreachable) || errors.As(err, &api) && api.Throttled()
}

// Invalidate makes the next Retrieve get new credentials.
func (p *provider) Invalidate() { p.cache.Invalidate() }

// ProviderSources says where the credentials come from, for the SDK's user agent.
func (p *provider) ProviderSources() []aws.CredentialSource { return p.cache.ProviderSources() }

// expirationVar is when session keys of the environment end. The SDK does not look
// at it; the AWS CLI does, and its export-credentials and aws-vault write it.
//
// Source: https://docs.aws.amazon.com/cli/latest/reference/configure/export-credentials.html
const expirationVar = "AWS_CREDENTIAL_EXPIRATION"

// expiringKeys are keys of the environment with the expiry that it states.
type expiringKeys struct {
	aws.CredentialsProvider
	expires time.Time
}

// Retrieve gives the keys, with their end.
func (e expiringKeys) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := e.CredentialsProvider.Retrieve(ctx)
	creds.CanExpire, creds.Expires = true, e.expires
	return creds, err
}

// ProviderSources says where the credentials come from, for the SDK's user agent.
func (e expiringKeys) ProviderSources() []aws.CredentialSource {
	return []aws.CredentialSource{aws.CredentialSourceEnvVars}
}

// endKeys notes the end of keys of the environment, if they are what the SDK
// found. One that is no time says nothing.
func (s *Session) endKeys(getenv func(string) string) {
	expires, err := time.Parse(time.RFC3339, getenv(expirationVar))
	if err != nil || getenv("AWS_SESSION_TOKEN") == "" {
		return
	}
	provider, ok := s.cfg.Credentials.(aws.CredentialProviderSource)
	if ok && slices.Equal(provider.ProviderSources(), []aws.CredentialSource{aws.CredentialSourceEnvVars}) {
		s.cfg.Credentials = expiringKeys{s.cfg.Credentials, expires}
	}
}

// metadataTimeout bounds one question to the instance metadata service, which
// answers within milliseconds where there is one.
const metadataTimeout = time.Second

// maxMetadata is more than any answer about credentials has, in bytes.
const maxMetadata = 64 << 10

// shortMetadata is the SDK's client of the instance metadata service with one
// short attempt. It is made when first asked, because only then the
// configuration it takes its endpoint from is complete. The SDK itself keeps to
// AWS_EC2_METADATA_DISABLED.
type shortMetadata struct {
	cfg    *aws.Config
	once   sync.Once
	client *imds.Client
}

// GetMetadata asks once.
func (m *shortMetadata) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, opts ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	m.once.Do(func() {
		m.client = imds.NewFromConfig(*m.cfg, func(o *imds.Options) { o.Retryer = aws.NopRetryer{} })
	})
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	out, err := m.client.GetMetadata(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	defer out.Content.Close()
	body, err := io.ReadAll(io.LimitReader(out.Content, maxMetadata))
	if err != nil {
		return nil, err
	}
	out.Content = io.NopCloser(bytes.NewReader(body))
	return out, nil
}

// Source says in a few words where the credentials come from.
func (s *Session) Source() string {
	words := s.baseSource()
	if s.credentials.role != "" {
		return "role " + s.credentials.role + ", assumed with: " + words
	}
	return words
}

// baseSource is the Source of what the SDK found.
func (s *Session) baseSource() string {
	if provider, ok := s.cfg.Credentials.(aws.CredentialProviderSource); ok {
		for _, source := range provider.ProviderSources() {
			if w := s.sourceWords(source); w != "" {
				return w
			}
		}
	}
	return "unknown source"
}

// SigningProfile is the profile that the credentials come from, before any role by
// flag. It is empty if they come from somewhere else: the environment, which goes before
// AWS_PROFILE, a container, an instance.
func (s *Session) SigningProfile() string {
	if strings.HasPrefix(s.baseSource(), "profile ") {
		return s.profile
	}
	return ""
}

// sourceWords describes a source by its name in the SDK. The first one of a chain of
// them is the one that the user configured.
func (s *Session) sourceWords(source aws.CredentialSource) string {
	switch source {
	case aws.CredentialSourceEnvVars:
		return "environment variables"
	case aws.CredentialSourceEnvVarsSTSWebIDToken:
		return "web identity token of the environment"
	case aws.CredentialSourceHTTP:
		return "container credentials endpoint"
	case aws.CredentialSourceIMDS:
		return "instance metadata service"
	}
	how := map[aws.CredentialSource]string{
		aws.CredentialSourceProfile:              "access key",
		aws.CredentialSourceProfileSourceProfile: "role over source_profile",
		aws.CredentialSourceProfileNamedProvider: "role over credential_source",
		aws.CredentialSourceProfileSTSWebIDToken: "web identity token",
		aws.CredentialSourceProfileSSO:           "sso",
		aws.CredentialSourceSSO:                  "sso",
		aws.CredentialSourceProfileSSOLegacy:     "sso",
		aws.CredentialSourceSSOLegacy:            "sso",
		aws.CredentialSourceProfileProcess:       "credential_process",
		aws.CredentialSourceProcess:              "credential_process",
		aws.CredentialSourceProfileLogin:         "aws login",
		aws.CredentialSourceLogin:                "aws login",
	}[source]
	if how == "" {
		return ""
	}
	return "profile " + s.profile + " (" + how + ")"
}
