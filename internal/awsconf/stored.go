package awsconf

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/credcache"
)

// caching is what a Session needs to cache its credentials.
type caching struct {
	store       *credcache.Store
	fingerprint *Fingerprint
	// connections and scope say with whom failures are shared, see
	// [credcache.Store.Lock]: who connects in the same way, and to the same STS host.
	connections, scope string
	keep               keeping
	settings           credcache.Settings
	// logins are the files that profiles name and that decide who signs.
	logins []string

	mu sync.Mutex
	// inputs are the digests of logins that the first credentials were got with.
	inputs []credcache.Input
}

func (c *caching) setInputs(inputs []credcache.Input) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inputs = inputs
}

// unchanged returns the inputs, if neither they nor AWS's files have changed since
// the Session was loaded.
func (c *caching) unchanged() ([]credcache.Input, bool) {
	c.mu.Lock()
	inputs := c.inputs
	c.mu.Unlock()
	return inputs, inputs != nil && c.fingerprint.unchanged() && sameFiles(inputs)
}

// keeping says which of a Session's credentials may be cached.
type keeping int

const (
	// keepHops: the first credentials come from a source with a state that is not
	// seen. A role's depend on the very credentials that it is assumed with.
	keepHops keeping = iota
	// keepRoles: the first credentials are long-lived keys, which are never cached.
	keepRoles
	// keepAll: the first credentials come from AWS, too.
	keepAll
)

// prepareCaching decides what may be cached. What prevents it is not an error.
func (s *Session) prepareCaching(c Config) {
	if c.Store == nil || c.Fingerprint == nil || c.NoFiles {
		return
	}
	paths, err := s.loginFiles(c.Getenv)
	var inputs []credcache.Input
	if err == nil {
		inputs, err = digests(paths)
	}
	if err != nil {
		c.debug("nothing is cached", err)
		return
	}
	connections := connectionScope(c.Getenv)
	s.cache = &caching{
		store: c.Store, fingerprint: c.Fingerprint, keep: s.keeps(c),
		connections: connections, scope: fmt.Sprintf("%s %s %+v", connections, s.cfg.Region, s.STSVariant()),
		settings: profileSettings(s.cfg.ConfigSources), logins: paths, inputs: inputs,
	}
}

// keeps decides it by the SDK's list of the sources that the credentials pass
// through. What is unknown is not cached.
func (s *Session) keeps(c Config) keeping {
	provider, ok := s.cfg.Credentials.(aws.CredentialProviderSource)
	if !ok || c.Credentials != nil {
		return keepHops
	}
	result := keepHops
	for _, source := range provider.ProviderSources() {
		switch source {
		case aws.CredentialSourceEnvVars, aws.CredentialSourceProfile:
			result = max(result, keepRoles)
		case aws.CredentialSourceEnvVarsSTSWebIDToken, aws.CredentialSourceProfileSTSWebIDToken, aws.CredentialSourceSTSAssumeRoleWebID,
			aws.CredentialSourceProfileSourceProfile, aws.CredentialSourceProfileNamedProvider, aws.CredentialSourceSTSAssumeRole,
			aws.CredentialSourceProfileSSO, aws.CredentialSourceSSO, aws.CredentialSourceProfileSSOLegacy, aws.CredentialSourceSSOLegacy,
			aws.CredentialSourceProfileLogin, aws.CredentialSourceLogin:
			result = keepAll
		case aws.CredentialSourceProfileProcess, aws.CredentialSourceProcess, aws.CredentialSourceHTTP, aws.CredentialSourceIMDS:
			// The SDK calls credential_source = Environment so as well.
			if !c.CacheOpaque && (source != aws.CredentialSourceHTTP || !fromEnvironment(s.cfg.ConfigSources)) {
				return keepHops
			}
			result = keepAll
		default:
			return keepHops
		}
	}
	return result
}

// stored is a source of credentials whose results outlive the process. Of many
// processes that want the same at once, one asks the source, and the others wait for
// its answer.
type stored struct {
	session *Session
	next    aws.CredentialsProvider
	before  *stored // of the role before, nil if that is not cached
	role    string  // that next assumes; empty if it is the first source
	about   credcache.About
	key     func(context.Context) (credcache.Key, error)

	// usedCode says that the MFA code was needed for the credentials,
	// or for those before.
	usedCode atomic.Bool

	mu        sync.Mutex
	last      credcache.Key // of the last credentials; zero if they are not cached
	fromStore bool          // whether the last credentials were
	since     time.Time     // what is not younger is not served
}

// Retrieve returns cached credentials, or gets new ones and caches them.
func (p *stored) Retrieve(ctx context.Context) (aws.Credentials, error) {
	key, err := p.key(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	cache := p.session.cache
	since := p.minimum()
	kept, ok := cache.store.Get(key, since)
	if ok && !cache.store.Due(kept) {
		return p.serve(key, kept), nil
	}
	lease, shared := cache.store.Lock(ctx, key, cache.scope)
	defer lease.Release()
	if err := ctx.Err(); err != nil {
		return aws.Credentials{}, err
	}
	// This may have taken minutes.
	same := cache.fingerprint.unchanged()
	if ok = false; same {
		kept, ok = cache.store.Get(key, since)
	}
	if ok && !cache.store.Due(kept) {
		return p.serve(key, kept), nil
	}
	var creds aws.Credentials
	if shared != nil && same {
		err = newFailure(*shared)
	} else {
		shared = nil
		creds, err = p.next.Retrieve(ctx)
	}
	if err == nil {
		p.store(key, creds, lease)
		return creds, nil
	}
	failure := p.session.failureOf(ctx, err, p.role)
	if shared == nil && failure.kind != failedOwn {
		lease.Fail(failure.shared())
	}
	defer lease.Done()
	switch failure.kind {
	case failedAway, failedLogin:
		if ok {
			if shared == nil {
				cache.store.Defer(key, kept)
			}
			return p.serve(key, kept), nil
		}
	case failedDenied:
		if same {
			cache.store.Drop(key)
		}
	}
	return aws.Credentials{}, failure
}

// store caches new credentials, if nothing that they depend on has changed.
func (p *stored) store(key credcache.Key, creds aws.Credentials, lease *credcache.Lease) {
	cache := p.session.cache
	inputs, same := cache.unchanged()
	if p.role == "" && p.session.baseCode.Load() || p.before != nil && p.before.usedCode.Load() {
		p.usedCode.Store(true)
	}
	if !same || !creds.CanExpire {
		p.remember(credcache.Key{}, false)
		lease.Done()
		return
	}
	p.remember(key, false)
	cache.store.Put(key, credcache.Entry{
		Credentials: creds, Settings: cache.settings, NeededCode: p.usedCode.Load(), Inputs: inputs, About: p.about,
	})
}

// serve notes that cached credentials are used.
func (p *stored) serve(key credcache.Key, e credcache.Entry) aws.Credentials {
	p.remember(key, true)
	if e.NeededCode {
		p.usedCode.Store(true)
	}
	if p.role == "" {
		p.session.cache.setInputs(append([]credcache.Input{}, e.Inputs...)) // not nil
	}
	return e.Credentials
}

func (p *stored) remember(key credcache.Key, fromStore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.fromStore = key, fromStore
}

func (p *stored) minimum() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since
}

// refused removes the last credentials from the cache, because AWS has refused them,
// and serves nothing older from now on. It reports whether they came from the cache.
func (p *stored) refused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	store := p.session.cache.store
	if p.last != (credcache.Key{}) {
		store.Drop(p.last)
	}
	p.since = store.Now()
	return p.fromStore
}

// ProviderSources says where the credentials come from, cached or not.
func (p *stored) ProviderSources() []aws.CredentialSource {
	if s, ok := p.next.(aws.CredentialProviderSource); ok {
		return s.ProviderSources()
	}
	return nil
}

// DropRefused removes the session's credentials from the cache if err says that STS has
// refused them, or any service that they have expired, and reports whether another
// attempt makes sense: they came from the cache, and the next call gets new ones.
//
// What other services say is not enough: in a region that the account has not enabled
// they refuse the best credentials with the same words.
func (s *Session) DropRefused(err error) bool {
	var api *awserr.APIError
	if s.credentials == nil || !errors.As(awserr.Explain(err), &api) || !refusedBySTS(api) && !api.Expired() {
		return false
	}
	return s.credentials.refused()
}

func refusedBySTS(e *awserr.APIError) bool {
	return e.Service == "STS" && e.BadCredentials() && e.Skew == 0
}

// refused is that of the credentials that a provider gave last.
func (p *provider) refused() bool {
	if p.stored == nil {
		return false
	}
	p.cache.Invalidate()
	return p.stored.refused()
}
