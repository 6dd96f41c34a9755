// Package agent renews token files, for programs that read a token from a file and
// cannot run an exec plugin.
//
// A file either contains a valid token or does not exist: without a new token the last
// one stays until it expires, and is then removed, because a missing file is a clearer
// error than a token that every cluster refuses. When the agent stops, the files stay
// until their tokens expire, within 14 minutes.
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
	// maxSleep bounds each wait, because timers stand still while a machine sleeps. It
	// is also the interval at which the files are checked, because other programs may
	// remove them.
	maxSleep = 15 * time.Second
)

// Target is a cluster and the file for its tokens.
type Target struct {
	// Name is the cluster's name, for reports.
	Name string
	// File is the token file. New sets its Ours.
	File safefile.SecretFile
	// Tokens mints the tokens. Run runs it.
	Tokens *token.Keeper
}

// Config configures an Agent.
type Config struct {
	// Targets are the clusters; at least one is required.
	Targets []Target
	// Ready, if its Path is set, is a file that exists while all tokens are valid, and
	// contains the time until which they are; see CheckReady. New sets its Ours.
	Ready safefile.SecretFile
	// Tell is called when all tokens are valid for the first time, and when the agent
	// stops; it is for systemd. Nil means no notification.
	Tell func(state string)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives events, without secrets. Nil means no log.
	Log *slog.Logger
}

// FileError reports why a file cannot be written. It unwraps to the reason.
type FileError struct {
	// What is "token" or "ready".
	What string
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.What + " file " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// Agent renews token files. Create it with New.
type Agent struct {
	cfg Config

	mu     sync.Mutex
	states []state
	ready  string // content that this agent wrote to the ready file; empty if there is no file
	told   bool
}

// state is the state of a target's file.
type state struct {
	data   []byte    // the token in the file
	expiry time.Time // of the token; zero if there is none
	ours   bool      // this agent wrote the file, and it exists
	stuck  bool      // the token has expired, and the file could not be removed yet
	err    error     // why there is no newer token
}

// errOther reports a file with a token of another program.
var errOther = errors.New("another program wrote a token to the file")

// errEnding reports that there is no file although there are credentials.
var errEnding = errors.New("the credentials are about to expire")

// New checks all files and returns an Agent. It mints no token. It fails with
// *FileError if a file cannot be written or has other content, so that a wrong name is
// reported at once.
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
			err = a.cfg.Ready.Remove(nil) // left by a killed agent
		}
		if err != nil {
			return nil, &FileError{What: "ready", Path: a.cfg.Ready.Path, Err: err}
		}
	}
	return a, nil
}

// isToken reports whether a file may be replaced: it contains a token and nothing else.
func isToken(data []byte) bool {
	return len(data) >= len(token.Prefix) && string(data[:len(token.Prefix)]) == token.Prefix
}

// inherited returns the state of a token that another agent left.
func (a *Agent) inherited(f *safefile.SecretFile) state {
	s := state{err: errors.New("no token yet")}
	data, err := f.Read()
	if err != nil || len(data) == 0 {
		return s
	}
	s.data = data
	var ok bool
	if s.expiry, ok = endOf(data); !ok {
		s.expiry = a.cfg.Now() // not a valid token: remove it at once
	}
	return s
}

// endOf returns the time at which a token expires.
func endOf(data []byte) (time.Time, bool) {
	parsed, err := token.Parse(string(data))
	if err != nil {
		return time.Time{}, false
	}
	return parsed.End().Add(-token.Margin), true
}

// Run renews the files until the context ends. Then it removes the ready file and keeps
// the token files.
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

// keep writes one file whenever there is a new token or the file was changed, and
// removes it when the last token expires.
func (a *Agent) keep(ctx context.Context, i int) {
	t := &a.cfg.Targets[i]
	var failures int
	for ctx.Err() == nil {
		changed := t.Tokens.Changed()
		now := a.cfg.Now()
		has := t.Tokens.State()
		end := has.Expiry
		if e := has.Token.Expiry; e.Before(end) {
			end = e // the Keeper uses a token of expiring credentials a moment longer
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

// put makes sure that the file contains a token.
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
		err = errOther // and its token is valid for longer
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

// fresh reports whether a target's file contains a valid token of this agent. The lock
// is held. A failed renewal does not invalidate the token.
func (a *Agent) fresh(i int) bool {
	s := a.states[i]
	return s.ours && a.cfg.Now().Before(s.expiry)
}

func (a *Agent) failed(i int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[i].err = err
}

// expire removes the file when its token expires, and returns the time until then. A
// file of another program stays.
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
		a.cfg.Log.Warn("token file removed: its token has expired", "cluster", t.Name, "file", t.File.Path)
	case !errors.As(err, &foreign):
		if !s.stuck {
			a.cfg.Log.Warn("token file with an expired token could not be removed", "cluster", t.Name, "file", t.File.Path, "reason", err)
		}
		s.ours, s.stuck = false, true
		a.set(i, s)
		return maxSleep
	}
	a.set(i, state{err: s.err})
	return maxSleep
}
