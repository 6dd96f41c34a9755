package webhook

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// DefaultCacheSize is how many verified identities are remembered.
const DefaultCacheSize = 10_000

// rememberFor is how long STS's word is taken before it is asked again.
const rememberFor = 60 * time.Second

// tokenKey stands for a token: the whole of it, so that no two share an
// identity, and as a digest, so that no memory dump of the cache holds tokens.
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
	now     func() time.Time
	metrics *Metrics
}

func newVerifiedCache(size int, now func() time.Time, metrics *Metrics) *verifiedCache {
	c := &verifiedCache{now: now, metrics: metrics}
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
func (c *verifiedCache) identify(ctx context.Context, v Verifier, raw string, p *token.Parsed) (identity.Identity, error) {
	key := tokenKey(sha256.Sum256([]byte(raw)))
	if c.entries != nil {
		// Whether it is still good is for our own clock to say: otter's tidies up.
		if r, ok := c.entries.GetIfPresent(key); ok && c.now().Before(r.until) {
			c.metrics.remembered()
			return r.identity, nil
		}
	}
	result := c.flight.DoChan(string(key[:]), func() (any, error) {
		begin := c.now()
		id, err := v.Ask(context.WithoutCancel(ctx), p)
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
