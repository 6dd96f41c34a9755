package token

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Minter mints tokens; a *Source is one. If it has an Invalidate method, the Keeper
// calls that after a server has refused the last token, so that the Minter loads other
// credentials.
type Minter interface {
	Token(ctx context.Context) (Token, error)
}

// KeeperConfig configures a Keeper.
type KeeperConfig struct {
	// Minter mints the tokens. Required.
	Minter Minter
	// MaxAge is the age up to which a token is used, for verifiers that accept only
	// younger tokens than EKS. Zero, and anything beyond Token.Expiry, means
	// Token.Expiry.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random returns numbers from 0 up to 1 for the jitter of renewals and retries, so
	// that many programs started together do not call AWS together. Nil means
	// math/rand/v2. It must be safe for concurrent use.
	Random func() float64
}

// A token is renewed at a random share of its lifetime between these.
const (
	renewFrom = 0.70
	renewTo   = 0.85
)

// The back-off after failures: it doubles each time, less a random part of up to half.
const (
	firstWait = time.Second
	longWait  = time.Minute
)

// leastUse is how long a token is used at the least, and endingUse the same for
// credentials that are about to expire (they are valid for Margin longer): they must
// not cause a new token for each request, nor a refresh every second.
const (
	leastUse  = time.Second
	endingUse = 5 * time.Second
)

// mintTimeout bounds one renewal, including that of its credentials: meanwhile nobody
// else renews.
const mintTimeout = 2 * time.Minute

// goodWait bounds a renewal for which a caller waits who already has a valid token.
const goodWait = 10 * time.Second

// reloadEvery is the minimum interval between two reloads of credentials after a
// refusal. One path may be refused for ever while all others work (a broken aggregated
// API server, an application behind the API server's proxy), and each reload may be a
// call to AWS.
const reloadEvery = 30 * time.Second

// Keeper holds one token and renews it: before it expires, or when a server has refused
// it, and never twice at once. While renewals fail, the last token is used as long as
// it is valid. A Keeper starts no goroutine: Run is for one of the caller's, and
// without one the first caller after the token is due renews it. It is safe for
// concurrent use.
type Keeper struct {
	minter Minter
	maxAge time.Duration
	now    func() time.Time
	random func() float64

	turn chan struct{} // has one element while somebody mints

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when the Minter has returned
	token    Token
	minted   int       // number of tokens minted
	mintedAt time.Time // when token was
	renewAt  time.Time // when token is due
	end      time.Time // when token is no longer returned
	worked   bool      // a server has accepted it
	running  int       // number of running Run
	attempts int       // number of calls of Minter that returned
	failures int       // in a row
	failed   error     // the last one
	retryAt  time.Time // not before, after failures
	refusals int       // consecutive, of tokens that never worked
	refuseAt time.Time // not before, after refusals
	reloadAt time.Time // credentials are not reloaded before
}

// NewKeeper returns a Keeper. It fails with *ConfigError and mints nothing.
func NewKeeper(c KeeperConfig) (*Keeper, error) {
	if c.Minter == nil {
		return nil, &ConfigError{Field: "Minter", Reason: "is required"}
	}
	if c.MaxAge < 0 {
		return nil, &ConfigError{Field: "MaxAge", Reason: "must not be negative"}
	}
	return newKeeper(c), nil
}

func newKeeper(c KeeperConfig) *Keeper {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64 // #nosec G404 -- spreads calls, hides nothing
	}
	clock := c.Now
	return &Keeper{
		// Round(0) drops the monotonic clock, which stands still while a machine sleeps
		// or a function is frozen; tokens expire all the same.
		now:    func() time.Time { return clock().Round(0) },
		minter: c.Minter, maxAge: c.MaxAge, random: c.Random,
		turn: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Token returns a valid token. It waits for one if there is none. If no Run is running,
// one caller at a time renews a token that is due, and waits at most ten seconds. It
// fails with the error of the Minter, which is not called again during the back-off, or
// with the context's error.
func (k *Keeper) Token(ctx context.Context) (Token, error) {
	k.mu.Lock()
	tok, good, due, err := k.look()
	k.mu.Unlock()
	switch {
	case good && !due:
		return tok, nil
	case good:
		// A renewal is needed, but this caller need not wait for it.
		select {
		case k.turn <- struct{}{}:
			defer func() { <-k.turn }()
			return k.renewOr(ctx)
		default:
			return tok, nil
		}
	case err != nil:
		return Token{}, err
	}
	return k.first(ctx)
}

// look returns the token, whether it is valid, whether the caller should renew it and,
// without a valid token, the failure during whose back-off no new one is minted.
func (k *Keeper) look() (tok Token, good, due bool, err error) {
	now := k.now()
	good = k.good(now)
	waiting := k.failures > 0 && early(now, k.retryAt)
	due = good && k.running == 0 && !waiting && k.isDue(now)
	if !good && waiting {
		err = k.failed
	}
	return k.token, good, due, err
}

// good reports whether the token may be returned. The lock is held.
func (k *Keeper) good(now time.Time) bool { return k.token.value != nil && now.Before(k.end) }

// isDue reports whether the token must be renewed. That includes a clock that was set
// back since the token was signed: verifiers refuse it until that time comes again. The
// lock is held.
func (k *Keeper) isDue(now time.Time) bool {
	return !now.Before(k.renewAt) || now.Before(k.mintedAt)
}

// renewOr renews while holding the turn, and falls back to the current token.
func (k *Keeper) renewOr(ctx context.Context) (Token, error) {
	k.mu.Lock()
	tok, good, due, _ := k.look()
	k.mu.Unlock()
	if good && !due { // another caller renewed it
		return tok, nil
	}
	newer, err := k.mint(ctx, goodWait)
	if err == nil {
		return newer, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.good(k.now()) {
		return k.token, nil
	}
	return Token{}, err
}

// first mints a token if there is no valid one. Callers that waited while another
// failed share its failure, or each would wait for a failure of its own.
func (k *Keeper) first(ctx context.Context) (Token, error) {
	k.mu.Lock()
	before := k.attempts
	k.mu.Unlock()
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return Token{}, context.Cause(ctx)
	}
	k.mu.Lock()
	tok, good, _, err := k.look()
	if !good && k.attempts != before && k.failures > 0 {
		err = k.failed
	}
	k.mu.Unlock()
	if good || err != nil {
		return tok, err
	}
	return k.mint(ctx, mintTimeout)
}

// mint mints a token within a timeout and stores it. The caller holds the turn.
func (k *Keeper) mint(ctx context.Context, limit time.Duration) (Token, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tok, err := k.minter.Token(bounded)
	if err == nil && tok.value == nil {
		err = errors.New("the minter returned no token")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return Token{}, err // the caller gave up; the Minter did not fail
	}
	close(k.changed)
	k.changed = make(chan struct{})
	k.attempts++
	if err != nil {
		k.failed = err
		k.retryAt = k.now().Add(k.spread(k.failures))
		k.failures++
		return Token{}, err
	}
	k.failures, k.failed = 0, nil
	if k.token.Value() != tok.Value() {
		k.worked = false
	}
	now := k.now()
	k.token, k.end, k.mintedAt = tok, tok.Expiry, now
	k.minted++
	if least := now.Add(endingUse); k.end.Before(least) {
		k.end = least
	}
	if end := tok.SignedAt.Add(k.maxAge); k.maxAge > 0 && end.Before(k.end) {
		k.end = end
	}
	if least := now.Add(leastUse); k.end.Before(least) {
		k.end = least
	}
	life := k.end.Sub(now)
	k.renewAt = now.Add(time.Duration(float64(life) * (renewFrom + (renewTo-renewFrom)*k.random())))
	return tok, nil
}

// spread is the back-off after this many earlier failures.
func (k *Keeper) spread(failures int) time.Duration {
	wait := longWait
	if failures < 6 {
		wait = firstWait << failures
	}
	return wait - time.Duration(float64(wait/2)*k.random())
}

// early reports whether the back-off still lasts. It is never longer than longWait:
// else the clock was set back.
func early(now, until time.Time) bool {
	wait := until.Sub(now)
	return wait > 0 && wait <= longWait
}
