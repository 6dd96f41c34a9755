package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// DefaultCacheSize is the maximum number of cached identities.
const DefaultCacheSize = 10_000

// rememberFor is how long an identity is cached.
const rememberFor = 60 * time.Second

// tokenKey identifies a token: it covers everything that is sent to STS, so that no two
// tokens share an identity, and a token has one key in every spelling. It is a digest,
// so that a memory dump of the cache contains no tokens.
type tokenKey [sha256.Size]byte

type remembered struct {
	identity identity.Identity
	until    time.Time
}

// verifiedCache caches verified identities, with one STS call for concurrent requests
// of one token. It caches only successes, and nothing that the configuration decides.
type verifiedCache struct {
	entries *otter.Cache[tokenKey, remembered] // nil without a cache
	flight  singleflight.Group
	slots   chan struct{} // a slot for each STS call in flight
	now     func() time.Time
	metrics *Metrics
}

func newVerifiedCache(size, maxInFlight int, now func() time.Time, metrics *Metrics) *verifiedCache {
	c := &verifiedCache{slots: make(chan struct{}, maxInFlight), now: now, metrics: metrics}
	if size == 0 {
		size = DefaultCacheSize
	}
	if size > 0 {
		c.entries = otter.Must(&otter.Options[tokenKey, remembered]{
			MaximumSize:      size,
			ExpiryCalculator: otter.ExpiryWriting[tokenKey, remembered](rememberFor),
		})
	}
	return c
}

// identify returns the identity of a checked token, from the cache or from STS. A
// caller that gives up does not cancel the call for the others that wait.
func (c *verifiedCache) identify(ctx context.Context, v Verifier, p *token.Parsed) (identity.Identity, error) {
	request := p.RequestURL()
	if request == "" {
		return identity.Identity{}, errUnchecked
	}
	key := tokenKey(sha256.Sum256([]byte(request)))
	if id, ok := c.recall(key); ok {
		return id, nil
	}
	result := c.flight.DoChan(string(key[:]), func() (any, error) {
		// Another caller may have cached it since the lookup above.
		if id, ok := c.recall(key); ok {
			return id, nil
		}
		begin := c.now()
		id, err := c.ask(context.WithoutCancel(ctx), v, p)
		c.metrics.asked(err, c.now().Sub(begin))
		if err == nil && c.entries != nil {
			until := begin.Add(rememberFor)
			if end := p.End(); end.Before(until) {
				until = end
			}
			c.entries.Set(key, remembered{identity: id, until: until})
		}
		return id, err
	})
	select {
	case <-ctx.Done():
		return identity.Identity{}, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return identity.Identity{}, r.Err
		}
		return r.Val.(identity.Identity), nil
	}
}

// recall returns a cached identity. Our own clock decides whether it is still valid;
// otter's only evicts.
func (c *verifiedCache) recall(key tokenKey) (identity.Identity, bool) {
	if c.entries == nil {
		return identity.Identity{}, false
	}
	r, ok := c.entries.GetIfPresent(key)
	if !ok || !c.now().Before(r.until) {
		return identity.Identity{}, false
	}
	c.metrics.remembered()
	return r.identity, true
}

var (
	errUnchecked = errors.New("the token was not checked")
	errOverload  = errors.New("too many sts calls are in flight")
)

// ask makes one STS call. Callers that gave up no longer count as requests in flight,
// but their STS calls do.
func (c *verifiedCache) ask(ctx context.Context, v Verifier, p *token.Parsed) (id identity.Identity, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return identity.Identity{}, errOverload
	}
	// Here is no http.Server that recovers a panic, and a response of STS must not be
	// able to end the process.
	defer func() {
		if recover() != nil {
			id, err = identity.Identity{}, &verify.UnavailableError{Reason: "parsing the response panicked"}
		}
	}()
	return v.Ask(ctx, p)
}
