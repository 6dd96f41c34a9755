package awsconf

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"

	"github.com/ekskey/ekskey/internal/credcache"
)

// stored is a source of credentials whose results outlive the process. Of many
// processes that want the same at once, one asks the source, and the others wait.
type stored struct {
	session *Session
	next    aws.CredentialsProvider
	about   credcache.About
	// key is false where nothing may be kept.
	key func(context.Context) (credcache.Key, bool)
}

// Retrieve gives what is kept, or asks the source and keeps its answer.
func (p *stored) Retrieve(ctx context.Context) (aws.Credentials, error) {
	key, ok := p.key(ctx)
	if !ok {
		return p.ask(ctx)
	}
	store := p.session.store
	if creds, ok := store.Credentials(key); ok {
		return creds, nil
	}
	unlock := store.Lock(ctx, key)
	defer unlock()
	if err := ctx.Err(); err != nil {
		return aws.Credentials{}, err
	}
	if creds, ok := store.Credentials(key); ok {
		return creds, nil
	}
	creds, err := p.ask(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if creds.CanExpire && unchanged(p.session.decided) {
		store.PutCredentials(key, creds, p.session.inputs(), p.about)
	}
	return creds, nil
}

// ask gets new credentials, though the source may remember old ones.
func (p *stored) ask(ctx context.Context) (aws.Credentials, error) {
	if cache, ok := p.next.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
	return p.next.Retrieve(ctx)
}

// ProviderSources says where the credentials come from, kept or not.
func (p *stored) ProviderSources() []aws.CredentialSource {
	if s, ok := p.next.(aws.CredentialProviderSource); ok {
		return s.ProviderSources()
	}
	return nil
}

// keeping says what may be kept of a Session's credentials.
type keeping int

const (
	// keepNothing: the source has a state that is not seen.
	keepNothing keeping = iota
	// keepTokens: the keys are at hand, and asking for them is free.
	keepTokens
	// keepAll: the credentials come from elsewhere.
	keepAll
)

// prepareStore decides what may be kept. What stands in the way is no error.
func (s *Session) prepareStore(c Config) {
	if c.Store == nil || c.Fingerprint == nil || c.NoFiles {
		return
	}
	s.print = c.Fingerprint
	if err := s.lookAtFiles(c); err != nil {
		c.debug("nothing is kept", err)
		s.print = nil
		return
	}
	s.store, s.keep = c.Store, s.keeps(c.CacheOpaque)
}

// keeps decides it from the SDK's list of the sources that the credentials pass
// through. What is not known is not kept.
func (s *Session) keeps(opaque bool) keeping {
	provider, ok := s.cfg.Credentials.(aws.CredentialProviderSource)
	if !ok {
		return keepNothing
	}
	result := keepNothing
	for _, source := range provider.ProviderSources() {
		switch source {
		case aws.CredentialSourceEnvVars, aws.CredentialSourceProfile:
			result = max(result, keepTokens)
		case aws.CredentialSourceEnvVarsSTSWebIDToken, aws.CredentialSourceProfileSTSWebIDToken, aws.CredentialSourceSTSAssumeRoleWebID,
			aws.CredentialSourceProfileSourceProfile, aws.CredentialSourceProfileNamedProvider, aws.CredentialSourceSTSAssumeRole,
			aws.CredentialSourceProfileSSO, aws.CredentialSourceSSO, aws.CredentialSourceProfileSSOLegacy, aws.CredentialSourceSSOLegacy,
			aws.CredentialSourceProfileLogin, aws.CredentialSourceLogin:
			result = keepAll
		case aws.CredentialSourceProfileProcess, aws.CredentialSourceProcess, aws.CredentialSourceHTTP, aws.CredentialSourceIMDS:
			// The SDK calls credential_source = Environment so as well.
			if !opaque && (source != aws.CredentialSourceHTTP || !fromEnvironment(s.cfg.ConfigSources)) {
				return keepNothing
			}
			result = keepAll
		default:
			return keepNothing
		}
	}
	return result
}

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
	// Which of a profile's sources the SDK takes is its affair: each one counts.
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
			errs[2] = add(logincreds.StandardCachedTokenFilepath(p.LoginSession, getenv("AWS_LOGIN_CACHE_DIRECTORY")))
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Logins stands for the files of logins that the profile names, as they are now:
// sessions of SSO and of aws login, and web identity tokens. It is another one once
// somebody has logged in anew, and whenever the SDK has refreshed a session. What the
// Session remembers may be another person's then. It fails where they cannot be seen.
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

// lookAtFiles takes the digest of the loginFiles. The SDK changes those of SSO and of
// aws login when it refreshes them: then nothing is kept that time.
func (s *Session) lookAtFiles(c Config) error {
	paths, err := s.loginFiles(c.Getenv)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			// It is another file from another folder, and the key does not say from which.
			return fmt.Errorf("%s is not an absolute path", path)
		}
		f, err := see(path)
		if err != nil {
			return err
		}
		s.named = append(s.named, f)
	}
	s.decided = append(s.decided, s.named...)
	return nil
}

// inputs are the files that a kept entry must find again as they were. Those of
// the Fingerprint are in its key.
func (s *Session) inputs() []credcache.Input {
	inputs := make([]credcache.Input, len(s.named))
	for i, f := range s.named {
		inputs[i] = f.Input
	}
	return inputs
}

// Keeps reports whether anything of the session may be kept: credentials or tokens.
func (s *Session) Keeps() bool {
	return s.print != nil && (s.keep != keepNothing || s.credentials != s.base)
}

// Keep reports whether a token signed with the session's credentials may be kept
// under a key of its Fingerprint, which files it hangs on besides, and what to say
// of it in a list.
func (s *Session) Keep() ([]credcache.Input, credcache.About, bool) {
	if s.print == nil || s.keep == keepNothing || !unchanged(s.decided) {
		return nil, credcache.About{}, false
	}
	return s.inputs(), s.label, true
}
