// Package tokens keeps one cluster's token good: it renews ahead of the end, at
// once when a token was refused, never twice at a time, and keeps the last good
// one while nothing newer is to be had.
//
// It starts nothing by itself: [Source.Token] renews when a token is asked for,
// and [Source.Run] does so ahead of time until its context ends.
package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ekskey/ekskey/token"
)

const (
	// DefaultRetry is the wait after a first failure; it doubles with each further one.
	DefaultRetry = time.Second
	// DefaultRetryMax is the longest wait between two failures.
	DefaultRetryMax = time.Minute
	// reloadEvery is how long after refused credentials were loaded anew it is not
	// done again: who is mapped to nobody is refused with every request, and each
	// loading may be a call to AWS.
	reloadEvery = 30 * time.Second
	// mintTimeout bounds one renewal, all calls to AWS together.
	mintTimeout = 2 * time.Minute
	// maxSleep bounds each wait, because timers stand still while a machine sleeps
	// and the ends of tokens do not.
	maxSleep = 15 * time.Second
	// leastWait is between two renewals of tokens whose credentials are about to
	// end, so that they are no busy loop.
	leastWait = time.Second
	// leastAge is the least MaxAge: signatures count whole seconds.
	leastAge = 2 * time.Second
)

// Config says how a Source gets tokens.
type Config struct {
	// Mint makes a token. With fresh set, nothing that was loaded before may sign:
	// a token was refused, or loading failed. It is never called twice at a time.
	// Needed.
	Mint func(ctx context.Context, fresh bool) (token.Token, error)
	// MaxAge is how old a token may get, for clusters that refuse what others
	// accept. Zero means as old as the token itself says.
	MaxAge time.Duration
	// Retry and RetryMax are the first and the longest wait after failures; zero
	// means DefaultRetry and DefaultRetryMax.
	Retry, RetryMax time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets each renewal (debug) and failure (warn), never a token. Nil means
	// none.
	Log *slog.Logger
}

// UnavailableError says that there is no token that is still good, and why no new
// one could be made. It unwraps to the cause.
type UnavailableError struct {
	// Retry is when the next attempt is made.
	Retry time.Time
	Err   error
}

func (e *UnavailableError) Error() string { return "getting a token: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// State is what a Source has, for those who report it.
type State struct {
	// Token is the last one; zero if there never was one.
	Token token.Token
	// Expiry is when Token is no longer handed out.
	Expiry time.Time
	// Err is why the last renewal failed; nil if it did not.
	Err error
	// Renewals counts the tokens made.
	Renewals int
}

// Source holds a token. Make one with New. It is safe for concurrent use.
type Source struct {
	cfg  Config
	base context.Context // of renewals, which are for all who wait
	end  context.CancelFunc

	mu       sync.Mutex
	tok      token.Token
	renewAt  time.Time // ahead of the end
	reloaded time.Time // when credentials were last loaded because of a refusal
	err      error
	failures int
	retryAt  time.Time
	renewals int
	flight   *flight
	changed  chan struct{} // closed and replaced at each renewal and failure
}

// flight is a renewal under way.
type flight struct{ done chan struct{} }

// New makes a Source that has no token yet.
func New(c Config) *Source {
	if c.Now == nil {
		c.Now = time.Now
	}
	// Without the reading that Go compares instead of the time of day, where it can: it
	// stands still while a machine sleeps, and tokens end all the same.
	clock := c.Now
	c.Now = func() time.Time { return clock().Round(0) }
	if c.Retry <= 0 {
		c.Retry = DefaultRetry
	}
	if c.RetryMax <= 0 {
		c.RetryMax = DefaultRetryMax
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxAge > 0 {
		c.MaxAge = max(c.MaxAge, leastAge)
	}
	s := &Source{cfg: c, changed: make(chan struct{})}
	s.base, s.end = context.WithCancel(context.Background())
	return s
}

// Close ends a renewal under way and returns when it has ended. There are no
// others after it.
func (s *Source) Close() {
	s.end()
	s.mu.Lock()
	f := s.flight
	s.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

// State tells what there is now.
func (s *Source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Token: s.tok, Expiry: s.expiry(), Err: s.err, Renewals: s.renewals}
}

// Token gives the token, and makes one where there is none that is good. It fails
// with *UnavailableError, at once while the wait after a failure lasts, or with
// the context's error.
func (s *Source) Token(ctx context.Context) (token.Token, error) {
	for {
		s.mu.Lock()
		now := s.cfg.Now()
		if s.good(now) {
			defer s.mu.Unlock()
			return s.tok, nil
		}
		if s.flight == nil && now.Before(s.retryAt) {
			defer s.mu.Unlock()
			return token.Token{}, &UnavailableError{Retry: s.retryAt, Err: s.err}
		}
		f := s.start(s.err != nil)
		s.mu.Unlock()
		if err := wait(ctx, f); err != nil {
			return token.Token{}, err
		}
		s.mu.Lock()
		if s.err != nil && !s.good(s.cfg.Now()) {
			defer s.mu.Unlock()
			return token.Token{}, &UnavailableError{Retry: s.retryAt, Err: s.err}
		}
		s.mu.Unlock()
	}
}

// Refused says that the cluster refused a token, and gives the one to try in its
// place. It reports false where there is none: the new one would be the same, or
// could not be made. Many may say it of one token; it is renewed once.
func (s *Source) Refused(ctx context.Context, t token.Token) (token.Token, bool) {
	s.mu.Lock()
	if s.tok.Value() != t.Value() {
		tok, ok := s.tok, s.good(s.cfg.Now())
		s.mu.Unlock()
		return tok, ok // somebody else's refusal has been answered
	}
	now := s.cfg.Now()
	fresh := now.Sub(s.reloaded) >= reloadEvery || s.reloaded.IsZero()
	// A signature counts whole seconds: the same keys would give the same token.
	same := !fresh && !now.Truncate(time.Second).After(s.tok.SignedAt)
	if same || s.flight == nil && now.Before(s.retryAt) {
		s.mu.Unlock()
		return token.Token{}, false
	}
	if fresh && s.flight == nil {
		s.reloaded = now
	}
	f := s.start(fresh)
	s.mu.Unlock()
	if wait(ctx, f) != nil {
		return token.Token{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tok, s.tok.Value() != t.Value() && s.good(s.cfg.Now())
}

// Changed gives a channel that is closed at the next renewal or failure.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Run renews ahead of the end until the context ends. After a failure it waits,
// longer each time.
func (s *Source) Run(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		now := s.cfg.Now()
		due := s.renewAt
		if s.err != nil {
			due = s.retryAt
		}
		var f *flight
		if !now.Before(due) {
			f = s.start(s.err != nil)
		}
		changed := s.changed
		s.mu.Unlock()
		if f != nil {
			_ = wait(ctx, f) // the end of ctx ends the loop
			continue
		}
		timer := time.NewTimer(min(due.Sub(now), maxSleep))
		select {
		case <-ctx.Done():
		case <-changed: // somebody else has renewed
		case <-timer.C:
		}
		timer.Stop()
	}
}

func wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start begins a renewal, or joins the one under way. The lock is held.
func (s *Source) start(fresh bool) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(s.base, mintTimeout)
		defer cancel()
		tok, err := token.Token{}, ctx.Err()
		if err == nil {
			tok, err = s.cfg.Mint(ctx, fresh)
		}
		if err == nil && tok.Value() == "" {
			err = errors.New("what was made is no token")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish(tok, err)
		s.flight = nil
		close(f.done)
		close(s.changed)
		s.changed = make(chan struct{})
	}()
	return f
}

// finish takes in what a renewal gave. The lock is held.
func (s *Source) finish(tok token.Token, err error) {
	now := s.cfg.Now()
	if err == nil && !tok.Expiry.After(now) {
		err = fmt.Errorf("the credentials end at %s, too soon for a token", tok.Expiry.UTC().Format(time.RFC3339))
	}
	if err != nil {
		s.err = err
		s.failures++
		s.retryAt = now.Add(s.backOff())
		if s.base.Err() == nil {
			s.cfg.Log.Warn("token not renewed", "reason", err, "failures", s.failures, "next", s.retryAt.UTC(), "still good", s.good(now))
		}
		return
	}
	s.tok, s.err, s.failures, s.retryAt = tok, nil, 0, time.Time{}
	s.renewals++
	// Between seven and eight and a half tenths of its life: a few minutes are left
	// for failures, and many clients do not come at once.
	life := s.expiry().Sub(now)
	wait := max(time.Duration(float64(life)*(0.7+0.15*rand.Float64())), leastWait) // #nosec G404 -- no secret
	s.renewAt = now.Add(wait)
	s.cfg.Log.Debug("token renewed", "key", tok.AccessKeyID, "expires", tok.Expiry, "next", s.renewAt)
}

// backOff doubles with each failure; the half of it is chance.
func (s *Source) backOff() time.Duration {
	d := s.cfg.Retry
	for i := 1; i < s.failures && d < s.cfg.RetryMax; i++ {
		d *= 2
	}
	d = min(d, s.cfg.RetryMax)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1)) // #nosec G404 -- no secret
}

// expiry is when the token is no longer handed out.
func (s *Source) expiry() time.Time {
	end := s.tok.Expiry
	if s.cfg.MaxAge > 0 && !s.tok.SignedAt.IsZero() {
		if aged := s.tok.SignedAt.Add(s.cfg.MaxAge); aged.Before(end) {
			end = aged
		}
	}
	return end
}

// good reports whether the token may be handed out. One that was refused may be,
// while nothing newer can be had: what the cluster said may have been about its
// own trouble.
func (s *Source) good(now time.Time) bool {
	return s.tok.Value() != "" && now.Before(s.expiry())
}
