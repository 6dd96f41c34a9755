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

// DefaultCacheSize is how many verified identities are remembered.
const DefaultCacheSize = 10_000

// rememberFor is how long STS's word is taken before it is asked again.
const rememberFor = 60 * time.Second

// tokenKey stands for a token: for all that STS is sent of it, so that no two
// share an identity and one token has one key however it is spelt; as a digest,
// so that no memory dump of the cache holds tokens.
type tokenKey [sha256.Size]byte

type remembered struct {
	identity identity.Identity
	until    time.Time
}

// verifiedCache remembers what STS said of a token, and asks once for one token
// that is asked about many times at once. It remembers successes only, and
// nothing that a configuration decides.
type verifiedCache struct {
	entries *otter.Cache[tokenKey, remembered] // nil where nothing is remembered
	flight  singleflight.Group
	slots   chan struct{} // a slot for each question under way at STS
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

// identify gives the identity behind a checked token, from memory or from STS.
// A caller who goes away does not spoil the answer for the others who wait.
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
		// Somebody may have asked between the look above and now.
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

// recall gives what is remembered. Whether it is still good is for our own clock to
// say; otter's only tidies up.
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
	errOverload  = errors.New("too many questions to sts are under way")
)

// ask is one question to STS. Callers who went away no longer count as requests
// in flight, but their questions do.
func (c *verifiedCache) ask(ctx context.Context, v Verifier, p *token.Parsed) (id identity.Identity, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return identity.Identity{}, errOverload
	}
	// Here no http.Server stands above to catch a panic, and an answer of STS's
	// must not be able to end the process.
	defer func() {
		if recover() != nil {
			id, err = identity.Identity{}, &verify.UnavailableError{Reason: "reading the answer panicked"}
		}
	}()
	return v.Ask(ctx, p)
}
