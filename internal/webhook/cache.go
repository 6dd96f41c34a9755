package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// DefaultCacheSize is the maximum number of cached identities.
const DefaultCacheSize = 10_000

const (
	// rememberFor is how long an identity is cached.
	rememberFor = 60 * time.Second
	// denyFor is how long a denial is: long enough for replays of one bad token, short
	// enough for a key that has just been made.
	denyFor = 5 * time.Second
	// deniedSize is the maximum number of cached denials. They are kept apart, so that
	// bad tokens do not evict good ones.
	deniedSize = 1024
)

// lasting are the codes of STS's denials that are cached: they are about the signature
// itself. Source: as verify's list of denials.
var lasting = map[string]bool{
	"SignatureDoesNotMatch": true, "IncompleteSignature": true, "InvalidSignatureException": true,
	"InvalidClientTokenId": true, "UnrecognizedClientException": true, "ExpiredToken": true, "ExpiredTokenException": true,
}

// tokenKey identifies a token: it covers everything that is sent to STS, so that no two
// tokens share an identity, and a token has one key in every spelling. It is a digest,
// so that a memory dump of the cache contains no tokens.
type tokenKey [sha256.Size]byte

// answer is what STS said about a token, or why it said nothing.
type answer struct {
	identity identity.Identity
	err      error
	until    time.Time // when a cached one is no longer valid
}

// call is a call of STS in flight, and who waits for it.
type call struct {
	done   chan struct{}
	answer answer // set before done is closed
}

// verifiedCache caches what STS said, with one call for concurrent requests of one
// token. It caches nothing that the configuration decides.
type verifiedCache struct {
	now     func() time.Time
	metrics *Metrics
	hosts   *hosts

	mu     sync.Mutex
	good   ring
	denied ring
	flight map[tokenKey]*call
}

func newVerifiedCache(size int, hosts *hosts, now func() time.Time, metrics *Metrics) *verifiedCache {
	switch {
	case size == 0:
		size = DefaultCacheSize
	case size < 0:
		size = 0
	}
	return &verifiedCache{
		now: now, metrics: metrics, hosts: hosts, flight: map[tokenKey]*call{},
		good: newRing(size), denied: newRing(min(size, deniedSize)),
	}
}

// identify returns the identity of a checked token, from the cache or from STS. The
// first request of a token calls STS itself, to the end even if its client leaves,
// because others may wait for the answer.
func (c *verifiedCache) identify(ctx context.Context, v Verifier, p *token.Parsed) (identity.Identity, error) {
	key := tokenKey(p.Digest())
	if key == (tokenKey{}) {
		return identity.Identity{}, errUnchecked
	}
	c.mu.Lock()
	a, ok := c.good.get(key, c.now())
	if !ok {
		a, ok = c.denied.get(key, c.now())
	}
	if ok {
		c.mu.Unlock()
		c.metrics.remembered()
		return a.identity, a.err
	}
	if other := c.flight[key]; other != nil {
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return identity.Identity{}, ctx.Err()
		case <-other.done:
			return other.answer.identity, other.answer.err
		}
	}
	mine := &call{done: make(chan struct{})}
	c.flight[key] = mine
	c.mu.Unlock()

	begin := c.now()
	mine.answer = c.ask(context.WithoutCancel(ctx), v, p)
	c.metrics.asked(mine.answer.err, c.now().Sub(begin))
	c.mu.Lock()
	delete(c.flight, key)
	c.remember(key, p, begin, &mine.answer)
	c.mu.Unlock()
	close(mine.done)
	return mine.answer.identity, mine.answer.err
}

// remember caches an answer that may be.
func (c *verifiedCache) remember(key tokenKey, p *token.Parsed, asked time.Time, a *answer) {
	var denied *verify.DeniedError
	switch {
	case a.err == nil:
		a.until = asked.Add(rememberFor)
		if end := p.End(); end.Before(a.until) {
			a.until = end
		}
		c.good.put(key, *a, asked)
	case errors.As(a.err, &denied) && lasting[denied.Code]:
		a.until = asked.Add(denyFor)
		c.denied.put(key, *a, asked)
	}
}

var (
	errUnchecked = errors.New("the token was not checked")
	errOverload  = errors.New("too many sts calls are in flight")
)

// ask makes one STS call, in a slot of the token's host.
func (c *verifiedCache) ask(ctx context.Context, v Verifier, p *token.Parsed) (a answer) {
	h, err := c.hosts.enter(p.Host)
	if err != nil {
		return answer{err: err}
	}
	defer func() {
		// Others wait for this answer, and a response of STS must not end more than its
		// own review.
		if recover() != nil {
			a = answer{err: &verify.UnavailableError{Status: http.StatusOK, Reason: "parsing the response panicked"}}
		}
		c.hosts.leave(h, a.err)
	}()
	a.identity, a.err = v.Ask(ctx, p)
	return a
}

// ring is a bounded cache that evicts the oldest entry. All entries of one live about
// equally long, so the oldest is also the first to expire.
type ring struct {
	entries map[tokenKey]answer
	order   []tokenKey // a circular buffer
	first   int
	length  int
}

func newRing(size int) ring {
	return ring{entries: make(map[tokenKey]answer), order: make([]tokenKey, size)}
}

// get returns an entry that is still valid.
func (r *ring) get(key tokenKey, now time.Time) (answer, bool) {
	a, ok := r.entries[key]
	return a, ok && now.Before(a.until)
}

// put adds an entry, and drops those in front that are no longer valid.
func (r *ring) put(key tokenKey, a answer, now time.Time) {
	if len(r.order) == 0 {
		return
	}
	if _, ok := r.entries[key]; ok {
		r.entries[key] = a // its place is that of the older one: it may go a little early
		return
	}
	for r.length > 0 && (r.length == len(r.order) || !now.Before(r.entries[r.order[r.first]].until)) {
		delete(r.entries, r.order[r.first])
		r.first = (r.first + 1) % len(r.order)
		r.length--
	}
	r.order[(r.first+r.length)%len(r.order)] = key
	r.length++
	r.entries[key] = a
}
