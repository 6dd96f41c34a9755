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
	renewTo   = 0.90
)

// How long to wait after a failure: twice as long each time, less up to half.
const (
	firstWait = time.Second
	longWait  = time.Minute
)

// leastUse is how long a token is handed out at the least, so that credentials
// about to end do not mean a new token for each request.
const leastUse = time.Second

// mintTimeout bounds one renewal, all that its credentials need included: while it
// lasts, nobody else renews.
const mintTimeout = 2 * time.Minute

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
	wake chan struct{} // tells Run that there is another token

	mu       sync.Mutex
	token    Token
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
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Token gives a token that is good now. It waits for one only where there is
// none. It fails with what the Minter failed with, which it does not ask again
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
			return k.renewOr(ctx, tok)
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
	good = k.token.value != nil && now.Before(k.end)
	waiting := k.failures > 0 && early(now, k.retryAt)
	due = good && k.running == 0 && !waiting && !now.Before(k.renewAt)
	if !good && waiting {
		err = k.failed
	}
	return k.token, good, due, err
}

// renewOr renews while holding the turn, and falls back to a token that is good.
func (k *Keeper) renewOr(ctx context.Context, good Token) (Token, error) {
	k.mu.Lock()
	tok, _, due, _ := k.look()
	k.mu.Unlock()
	if !due { // somebody did, meanwhile
		return tok, nil
	}
	if newer, err := k.mint(ctx); err == nil {
		return newer, nil
	}
	return good, nil
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
	return k.mint(ctx)
}

// mint asks for a token and keeps it. The caller holds the turn.
func (k *Keeper) mint(ctx context.Context) (Token, error) {
	bounded, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	tok, err := k.minter.Token(bounded)
	if err == nil && tok.value == nil {
		err = errors.New("the minter gave no token")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if ctx.Err() != nil {
			return Token{}, err // the caller went away, which says nothing of the Minter
		}
		k.attempts++
		k.failed = err
		k.retryAt = k.now().Add(k.spread(k.failures))
		k.failures++
		return Token{}, err
	}
	k.attempts++
	k.failures, k.failed = 0, nil
	if k.token.Value() != tok.Value() {
		k.worked = false
	}
	now := k.now()
	k.token, k.end = tok, tok.Expiry
	if end := tok.SignedAt.Add(k.maxAge); k.maxAge > 0 && end.Before(k.end) {
		k.end = end
	}
	if least := now.Add(leastUse); k.end.Before(least) {
		k.end = least
	}
	life := k.end.Sub(now)
	k.renewAt = now.Add(time.Duration(float64(life) * (renewFrom + (renewTo-renewFrom)*k.random())))
	select {
	case k.wake <- struct{}{}:
	default:
	}
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

// Worked tells that a server has taken a token. A token that worked is replaced at
// once when it is refused; one that never did less and less often.
func (k *Keeper) Worked(tok Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.worked && k.token.Value() == tok.Value() {
		k.worked, k.refusals = true, 0
	}
}

// Replace gives a token in place of one that a server refused: the one that has
// replaced it already, or one minted now, with credentials got anew where the
// Minter can and it was not done in the last half minute. It reports false if there
// is none to be had now because the last tokens were refused as well, or because
// this one was minted within the same second: it is the caller who is refused then,
// and not the token. It fails with what the Minter failed with, or with the
// context's error.
func (k *Keeper) Replace(ctx context.Context, refused Token) (tok Token, ok bool, err error) {
	if tok, ok, done := k.replaced(refused); done {
		return tok, ok, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return Token{}, false, context.Cause(ctx)
	}
	if tok, ok, done := k.replaced(refused); done {
		return tok, ok, nil
	}
	k.mu.Lock()
	if k.worked {
		k.refusals = 0
	}
	now := k.now()
	reload := !early(now, k.reloadAt)
	if reload {
		k.reloadAt = now.Add(reloadEvery)
	}
	k.mu.Unlock()
	if i, can := k.minter.(interface{ Invalidate() }); can && reload {
		i.Invalidate()
	}
	tok, err = k.mint(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	// Whoever minted it, a token that never worked is not replaced again at once.
	k.refuseAt = k.now().Add(k.spread(k.refusals))
	k.refusals++
	if err != nil {
		return Token{}, false, err
	}
	// Within one second, the same keys sign the same token.
	return tok, tok.Value() != refused.Value(), nil
}

// replaced reports whether there is no call for another token: there is one
// already, or it is too early after others.
func (k *Keeper) replaced(refused Token) (tok Token, ok, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.token.Value() != refused.Value() {
		good := k.token.value != nil && now.Before(k.end)
		return k.token, good, good
	}
	if k.failures > 0 && early(now, k.retryAt) || !k.worked && k.refusals > 0 && early(now, k.refuseAt) {
		return Token{}, false, true
	}
	// A signature counts whole seconds: the same keys would give the same token.
	same := early(now, k.reloadAt) && now.Truncate(time.Second).Equal(k.token.SignedAt)
	return Token{}, false, same
}

// Run renews in time, until ctx ends. While one runs, callers of Token do not have
// to, as long as there is a good token. Failures are told to report, which may be
// nil; after one, Run waits a while, longer each time, at most a minute.
func (k *Keeper) Run(ctx context.Context, report func(error)) {
	k.mu.Lock()
	k.running++
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.running--
		k.mu.Unlock()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
			if err := k.renewIfDue(ctx); err != nil && ctx.Err() == nil && report != nil {
				report(err)
			}
		}
		timer.Reset(k.untilDue())
	}
}

// untilDue is how long Run has nothing to do.
func (k *Keeper) untilDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, at := k.now(), k.renewAt
	if k.failures > 0 && k.retryAt.After(at) && early(now, k.retryAt) {
		at = k.retryAt
	}
	return max(at.Sub(now), 0)
}

func (k *Keeper) renewIfDue(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil
	}
	if k.untilDue() > 0 {
		return nil
	}
	_, err := k.mint(ctx)
	return err
}
