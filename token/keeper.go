package token

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Minter makes tokens. A *Source is one. One that has an Invalidate method is told
// by it that a server refused its last token, so that it looks for other
// credentials.
type Minter interface {
	Token(ctx context.Context) (Token, error)
}

// KeeperConfig says what a Keeper keeps.
type KeeperConfig struct {
	// Minter makes the tokens. Needed.
	Minter Minter
	// MaxAge is the age at which a token is no longer used, for verifiers that take
	// younger ones only. Zero means what Token.Expiry says, and so does anything
	// later than that.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random gives numbers from 0 up to 1 that spread renewals and new attempts,
	// so that many programs started together do not call together. Nil means
	// math/rand/v2. It must be safe for concurrent use.
	Random func() float64
}

// When a token is renewed, as a share of its life: somewhere between these.
const (
	renewFrom = 0.70
	renewTo   = 0.85
)

// How long to wait after a failure: twice as long each time, less up to half.
const (
	firstWait = time.Second
	longWait  = time.Minute
)

// leastUse is how long a token is handed out at the least, and endingUse how long one
// of credentials that are about to end, which are good for Margin more: they must not
// mean a new token for each request, nor a question for newer ones every second.
const (
	leastUse  = time.Second
	endingUse = 5 * time.Second
)

// mintTimeout bounds one renewal, all that its credentials need included: while it
// lasts, nobody else renews.
const mintTimeout = 2 * time.Minute

// goodWait bounds a renewal for which a caller waits who has a good token already.
const goodWait = 10 * time.Second

// reloadEvery is how long after a refusal had credentials got anew none does so
// again. A path may be refused for ever while all others work (an aggregated API
// server that is broken, an application behind the API server's proxy), and each
// loading may be a call to AWS.
const reloadEvery = 30 * time.Second

// Keeper keeps one token and renews it: ahead of its end, or when a server has
// refused it, and never twice at once. What it holds while a renewal fails is
// handed out as long as it is good. It starts no goroutine: Run is for the
// caller's own, and without one the first caller after the token is due renews
// it. It is safe for concurrent use.
type Keeper struct {
	minter Minter
	maxAge time.Duration
	now    func() time.Time
	random func() float64

	turn chan struct{} // holds one while somebody mints

	mu       sync.Mutex
	changed  chan struct{} // closed, and another made, when the Minter has answered
	token    Token
	minted   int       // how many there were
	mintedAt time.Time // when token was
	renewAt  time.Time // when token is due
	end      time.Time // when it is no longer handed out
	worked   bool      // a server has taken it
	running  int       // how many Run
	attempts int       // how often Minter was asked and gave an answer
	failures int       // in a row
	failed   error     // the last one
	retryAt  time.Time // not before, after failures
	refusals int       // in a row, of tokens that never worked
	refuseAt time.Time // not before, after refusals
	reloadAt time.Time // credentials are not got anew before, after they were
}

// NewKeeper makes a Keeper. It fails with *ConfigError and mints nothing.
func NewKeeper(c KeeperConfig) (*Keeper, error) {
	if c.Minter == nil {
		return nil, &ConfigError{Field: "minter", Reason: "is missing"}
	}
	if c.MaxAge < 0 {
		return nil, &ConfigError{Field: "greatest age", Reason: "is negative"}
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
		// Without the reading that Go compares instead of the time of day, where it can:
		// it stands still while a machine sleeps or a function is frozen, and tokens end
		// all the same.
		now:    func() time.Time { return clock().Round(0) },
		minter: c.Minter, maxAge: c.MaxAge, random: c.Random,
		turn: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Token gives a token that is good now. It waits for one where there is none; and
// where no Run runs, one caller at a time renews one that is due, and waits for ten
// seconds at most. It fails with what the Minter failed with, which it does not ask again
// for a while after a failure, or with the context's error.
func (k *Keeper) Token(ctx context.Context) (Token, error) {
	k.mu.Lock()
	tok, good, due, err := k.look()
	k.mu.Unlock()
	switch {
	case good && !due:
		return tok, nil
	case good:
		// Somebody must renew, but nobody has to wait for it.
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

// look tells the state of things: the token, whether it is good, whether the
// caller should renew it, and where there is no good one the failure that keeps
// the caller from asking for one now.
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

// good reports whether the token may be handed out. The lock is held.
func (k *Keeper) good(now time.Time) bool { return k.token.value != nil && now.Before(k.end) }

// isDue reports whether the token is to be renewed, or the clock was put back since
// it was signed: nobody takes it then until it is as late again. The lock is held.
func (k *Keeper) isDue(now time.Time) bool {
	return !now.Before(k.renewAt) || now.Before(k.mintedAt)
}

// renewOr renews while holding the turn, and falls back to the token there is.
func (k *Keeper) renewOr(ctx context.Context) (Token, error) {
	k.mu.Lock()
	tok, good, due, _ := k.look()
	k.mu.Unlock()
	if good && !due { // somebody did, meanwhile
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

// first gets a token where there is no good one. Those who waited while another
// failed fail with it, or each would wait for a failure of its own.
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

// mint asks for a token, for so long, and keeps it. The caller holds the turn.
func (k *Keeper) mint(ctx context.Context, limit time.Duration) (Token, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tok, err := k.minter.Token(bounded)
	if err == nil && tok.value == nil {
		err = errors.New("the minter gave no token")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return Token{}, err // the caller went away, which says nothing of the Minter
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

// spread is how long to wait after so many failures before this one.
func (k *Keeper) spread(failures int) time.Duration {
	wait := longWait
	if failures < 6 {
		wait = firstWait << failures
	}
	return wait - time.Duration(float64(wait/2)*k.random())
}

// early reports whether there is still to wait. Nobody has to wait for longer than
// longWait: then the clock was put back.
func early(now, until time.Time) bool {
	wait := until.Sub(now)
	return wait > 0 && wait <= longWait
}
