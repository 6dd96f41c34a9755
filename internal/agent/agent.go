// Package agent keeps token files fresh, for programs that read a token from a file
// and can run none.
//
// Each file has a token that is good, or is not there: when no new one can be had
// the last stays until it ends, and is removed then, because a missing file says
// more than a token that every cluster refuses. When the agent ends the files stay;
// their tokens end by themselves within 14 minutes.
package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
)

const (
	// writeAgain and writeAgainMax are the first and the longest wait after a file
	// could not be written.
	writeAgain    = time.Second
	writeAgainMax = time.Minute
	// maxSleep bounds each wait, because timers stand still while a machine sleeps,
	// and is how often the files are looked at, because others may remove them.
	maxSleep = 15 * time.Second
)

// Target is one cluster, and the file for its tokens.
type Target struct {
	// Name is the cluster's, for reports.
	Name string
	// File is where its tokens go. Its Ours is set by New.
	File safefile.SecretFile
	// Tokens makes them. Run runs it.
	Tokens *token.Keeper
}

// Config says what to keep fresh.
type Config struct {
	// Targets are the clusters; at least one.
	Targets []Target
	// Ready, if its Path is set, is a file that is there while all tokens are good,
	// and says until when; see CheckReady. Its Ours is set by New.
	Ready safefile.SecretFile
	// Tell is told when all tokens are good for the first time, and that it ends; it
	// is for systemd. Nil means nobody.
	Tell func(state string)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets what happens, without a secret. Nil means none.
	Log *slog.Logger
}

// FileError says why a file is not to be written. It unwraps to the reason.
type FileError struct {
	// What is "token" or "ready".
	What string
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.What + " file " + e.Path + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *FileError) Unwrap() error { return e.Err }

// Agent keeps files fresh. Make one with New.
type Agent struct {
	cfg Config

	mu     sync.Mutex
	states []state
	ready  string // what this agent wrote into the ready file; empty if it is not there
	told   bool
}

// state is what is in a target's file.
type state struct {
	data   []byte    // the token that was written, or was there
	expiry time.Time // when it ends; zero if there is none
	ours   bool      // this agent wrote it, and it is there
	stuck  bool      // it has ended, and could not be removed yet
	err    error     // why there is no newer one
}

// errOther is why a file is not well in which there is a token of somebody else.
var errOther = errors.New("another program has written a token there")

// errEnding is why there is no file where there are credentials yet.
var errEnding = errors.New("the credentials are about to end")

// New looks at all files and makes an Agent. It asks for no token. It fails with
// *FileError where a file cannot be written or holds something else, so that a
// wrong name shows at once.
func New(c Config) (*Agent, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Tell == nil {
		c.Tell = func(string) {}
	}
	a := &Agent{cfg: c, states: make([]state, len(c.Targets))}
	for i := range c.Targets {
		f := &c.Targets[i].File
		f.Ours = isToken
		if err := f.Check(); err != nil {
			return nil, &FileError{What: "token", Path: f.Path, Err: err}
		}
		a.states[i] = a.inherited(f)
	}
	if a.cfg.Ready.Path != "" {
		a.cfg.Ready.Ours = isReady
		err := a.cfg.Ready.Check()
		if err == nil {
			err = a.cfg.Ready.Remove(nil) // a killed agent's
		}
		if err != nil {
			return nil, &FileError{What: "ready", Path: a.cfg.Ready.Path, Err: err}
		}
	}
	return a, nil
}

// isToken reports whether a file may be replaced: it holds a token and no more.
func isToken(data []byte) bool {
	return len(data) >= len(token.Prefix) && string(data[:len(token.Prefix)]) == token.Prefix
}

// inherited is the token that another agent left.
func (a *Agent) inherited(f *safefile.SecretFile) state {
	s := state{err: errors.New("no token yet")}
	data, err := f.Read()
	if err != nil || len(data) == 0 {
		return s
	}
	s.data = data
	var ok bool
	if s.expiry, ok = endOf(data); !ok {
		s.expiry = a.cfg.Now() // it is good for nothing, and goes at once
	}
	return s
}

// endOf is when a token is not good any more.
func endOf(data []byte) (time.Time, bool) {
	parsed, err := token.Parse(string(data))
	if err != nil {
		return time.Time{}, false
	}
	return parsed.End().Add(-token.Margin), true
}

// Run keeps the files fresh until the context ends. Then the ready file goes, and
// the tokens stay.
func (a *Agent) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range a.cfg.Targets {
		wg.Go(func() { a.cfg.Targets[i].Tokens.Run(ctx, nil) })
		wg.Go(func() { a.keep(ctx, i) })
	}
	wg.Go(func() { a.keepReady(ctx) })
	<-ctx.Done()
	a.cfg.Tell("STOPPING=1")
	wg.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setReady("")
}

// keep writes one file whenever there is a new token or the file is not as it was
// written, and removes it when the last one ends.
func (a *Agent) keep(ctx context.Context, i int) {
	t := &a.cfg.Targets[i]
	var failures int
	for ctx.Err() == nil {
		changed := t.Tokens.Changed()
		now := a.cfg.Now()
		has := t.Tokens.State()
		end := has.Expiry
		if e := has.Token.Expiry; e.Before(end) {
			end = e // the Keeper has one that is about to end a moment longer
		}
		switch {
		case has.Token.Value() == "":
		case now.Before(end):
			if err := a.put(i, []byte(has.Token.Value()), end); err != nil {
				has.Err = err
				failures++
				a.cfg.Log.Warn("token file not written", "cluster", t.Name, "file", t.File.Path, "reason", err)
			} else {
				failures = 0
			}
		case has.Err == nil && now.Before(has.Expiry):
			has.Err = errEnding
		}
		if has.Err != nil {
			a.failed(i, has.Err)
		}
		left := a.expire(i, now)
		if failures > 0 {
			left = min(left, min(writeAgain<<min(failures-1, 10), writeAgainMax))
		}
		timer := time.NewTimer(min(left, maxSleep))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// put makes sure that a token is in its file.
func (a *Agent) put(i int, value []byte, expiry time.Time) error {
	t := &a.cfg.Targets[i]
	a.mu.Lock()
	s := a.states[i]
	a.mu.Unlock()
	in, err := t.File.Read()
	if err != nil {
		in = nil
	}
	if bytes.Equal(in, value) {
		if !s.ours {
			a.set(i, state{data: value, expiry: expiry, ours: true})
		}
		return nil
	}
	err = nil
	if end, ok := endOf(in); ok && end.After(expiry) && !bytes.Equal(in, s.data) {
		err = errOther // and it is good for longer than this one
	} else {
		err = t.File.Write(value)
	}
	if err != nil {
		if s.ours && !bytes.Equal(in, s.data) {
			s.ours = false
			a.set(i, s)
		}
		return err
	}
	a.cfg.Log.Info("token file written", "cluster", t.Name, "file", t.File.Path, "expires", expiry.UTC(), "again", bytes.Equal(value, s.data))
	a.set(i, state{data: value, expiry: expiry, ours: true})
	return nil
}

func (a *Agent) set(i int, s state) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[i] = s
	a.setReady(a.readiness())
}

// fresh reports whether a target's file has a good token of this agent. The lock
// is held. A failed renewal does not make a token less good.
func (a *Agent) fresh(i int) bool {
	s := a.states[i]
	return s.ours && a.cfg.Now().Before(s.expiry)
}

func (a *Agent) failed(i int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[i].err = err
}

// expire removes the file when its token ends, and gives how long that is from now.
// What somebody else put there stays.
func (a *Agent) expire(i int, now time.Time) time.Duration {
	a.mu.Lock()
	s := a.states[i]
	a.mu.Unlock()
	if s.expiry.IsZero() {
		return maxSleep
	}
	if now.Before(s.expiry) {
		return s.expiry.Sub(now)
	}
	t := &a.cfg.Targets[i]
	err := t.File.Remove(s.data)
	var foreign *safefile.ForeignError
	switch {
	case err == nil:
		a.cfg.Log.Warn("token file removed, for its token has ended", "cluster", t.Name, "file", t.File.Path)
	case !errors.As(err, &foreign):
		if !s.stuck {
			a.cfg.Log.Warn("token file with an ended token not removed", "cluster", t.Name, "file", t.File.Path, "reason", err)
		}
		s.ours, s.stuck = false, true
		a.set(i, s)
		return maxSleep
	}
	a.set(i, state{err: s.err})
	return maxSleep
}
