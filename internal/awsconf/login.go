package awsconf

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"

	"github.com/ekskey/ekskey/internal/awsfiles"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/internal/safefile"
)

// fromEnvironment reports whether the profile's chain begins with
// credential_source = Environment.
func fromEnvironment(sources []any) bool {
	profiles := profileChain(sources)
	return len(profiles) > 0 && profiles[len(profiles)-1].CredentialSource == "Environment"
}

// profileChain is the profile in use and those that its source_profile leads to.
func profileChain(sources []any) []config.SharedConfig {
	var chain []config.SharedConfig
	for _, source := range sources {
		if c, ok := source.(config.SharedConfig); ok {
			chain = append(chain, c)
			for next := c.Source; next != nil; next = next.Source {
				chain = append(chain, *next)
			}
			break
		}
	}
	return chain
}

// loginFiles are the files that profiles name and that decide who signs: the sessions
// of SSO and of aws login, and web identity tokens.
func (s *Session) loginFiles(getenv func(string) string) ([]string, error) {
	var paths []string
	add := func(path string, err error) error {
		if err == nil {
			paths = append(paths, path)
		}
		return err
	}
	// Whichever of a profile's sources is used: each one counts.
	for _, p := range profileChain(s.cfg.ConfigSources) {
		var errs [3]error
		if p.WebIdentityTokenFile != "" {
			paths = append(paths, p.WebIdentityTokenFile)
		}
		if p.SSOSession != nil {
			errs[0] = add(ssocreds.StandardCachedTokenFilepath(p.SSOSession.Name))
		}
		if p.SSOStartURL != "" {
			errs[1] = add(ssocreds.StandardCachedTokenFilepath(p.SSOStartURL))
		}
		if p.LoginSession != "" {
			errs[2] = add(logincreds.StandardCachedTokenFilepath(p.LoginSession, awsfiles.Path(getenv("AWS_LOGIN_CACHE_DIRECTORY"))))
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Logins stands for the files of logins that the profile names, as they are now:
// sessions of SSO and of aws login, and web identity tokens. It changes when somebody
// logs in again, and whenever a session is refreshed. What the Session remembers may
// be another person's then. It fails where they cannot be read.
func (s *Session) Logins(getenv func(string) string) (credcache.Key, error) {
	paths, err := s.loginFiles(getenv)
	if err != nil {
		return credcache.Key{}, err
	}
	h := credcache.NewHash("logins")
	for _, path := range paths {
		in, err := digest(path)
		if err != nil {
			return credcache.Key{}, err
		}
		h.Add("file", in.Path)
		h.Add("digest", in.Digest)
	}
	return h.Sum(), nil
}

// ssoToken is the SDK's reader of an SSO session, which also refreshes it.
type ssoToken struct {
	*ssocreds.SSOTokenProvider
	path    string
	profile string
}

// firstSource is what the SDK found, asked for new credentials each time. If they
// come from an SSO or login session that has expired, that is refreshed first.
type firstSource struct {
	session *Session
	aws.CredentialsProvider
	login *login // nil if there is no session to refresh
}

// login is a session that one process refreshes for all.
type login struct {
	path  string
	renew func(context.Context) error // refreshes the session and writes its file
	over  error                       // says that a person has to log in again
	of    *namedSource                // whose session it is, for errors
}

func (s *Session) firstSource(source aws.CredentialsProvider, getenv func(string) string) *firstSource {
	f := &firstSource{session: s, CredentialsProvider: source}
	if s.ssoToken != nil {
		f.login = &login{path: s.ssoToken.path, of: &namedSource{kind: kindSSO, profile: s.ssoToken.profile}, over: &ssocreds.InvalidTokenError{}, renew: func(ctx context.Context) error {
			_, err := s.ssoToken.RetrieveBearerToken(ctx)
			return err
		}}
	}
	for _, p := range profileChain(s.cfg.ConfigSources) {
		if p.LoginSession == "" || !slices.Contains(f.ProviderSources(), aws.CredentialSourceProfileLogin) {
			continue
		}
		if path, err := logincreds.StandardCachedTokenFilepath(p.LoginSession, awsfiles.Path(getenv("AWS_LOGIN_CACHE_DIRECTORY"))); err == nil {
			f.login = &login{path: path, of: &namedSource{kind: kindLogin, profile: p.Profile}, over: errors.New("login session has expired"), renew: func(ctx context.Context) error {
				_, err := f.retrieve(ctx)
				return err
			}}
		}
	}
	return f
}

// Retrieve gets new credentials, and notes which login files they depend on.
func (f *firstSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if err := f.refresh(ctx); err != nil {
		return aws.Credentials{}, &sourceError{namedSource: f.login.of, err: err}
	}
	if cache := f.session.cache; cache != nil {
		inputs, err := digests(cache.logins)
		if err != nil {
			inputs = nil // nothing is cached then
		}
		cache.setInputs(inputs)
	}
	return f.retrieve(ctx)
}

// retrieve asks the source, though the SDK may remember what it said.
func (f *firstSource) retrieve(ctx context.Context) (aws.Credentials, error) {
	if cache, ok := f.CredentialsProvider.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
	return f.CredentialsProvider.Retrieve(ctx)
}

// ProviderSources says where the credentials come from.
func (f *firstSource) ProviderSources() []aws.CredentialSource {
	if s, ok := f.CredentialsProvider.(aws.CredentialProviderSource); ok {
		return s.ProviderSources()
	}
	return nil
}

// refresh refreshes the session if it has expired. Of many processes that find it so,
// whatever their profiles, one does: a refresh token works once.
func (f *firstSource) refresh(ctx context.Context) error {
	if f.login == nil || !loginExpired(f.login.path) {
		return nil
	}
	var lease *credcache.Lease
	if cache := f.session.cache; cache != nil {
		h := credcache.NewHash("login session")
		h.Add("file", f.login.path)
		var shared *credcache.Failure
		lease, shared = cache.store.Lock(ctx, h.Sum(), cache.connections)
		defer lease.Done()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !loginExpired(f.login.path):
			return nil // another process has refreshed it
		case shared != nil && failureKind(shared.Kind) == failedLogin:
			return f.login.over // in the words of this profile
		case shared != nil:
			return newFailure(*shared)
		}
	}
	err := f.login.renew(ctx)
	if err == nil || !loginExpired(f.login.path) {
		return nil // if two programs used one refresh token, the other was first
	}
	if failure := f.session.failureOf(ctx, &sourceError{namedSource: f.login.of, err: err}, ""); lease != nil && failure.kind != failedOwn {
		lease.Fail(failure.shared())
	}
	return err
}

// loginExpired reports whether the session in a file of SSO or of aws login has
// expired. What cannot be read has not: the SDK says what is wrong with it.
func loginExpired(path string) bool {
	data, err := safefile.Read(path, maxFile)
	if err != nil {
		return false
	}
	var file struct {
		ExpiresAt   string          `json:"expiresAt"`
		AccessToken json.RawMessage `json:"accessToken"`
	}
	var login struct {
		ExpiresAt string `json:"expiresAt"`
	}
	if json.Unmarshal(data, &file) != nil {
		return false
	}
	if file.ExpiresAt == "" && json.Unmarshal(file.AccessToken, &login) == nil {
		file.ExpiresAt = login.ExpiresAt
	}
	end, err := time.Parse(time.RFC3339, file.ExpiresAt)
	return err == nil && time.Now().After(end)
}
