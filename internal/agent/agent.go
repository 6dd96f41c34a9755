// Package agent keeps token files fresh, for programs that read a token from a file
// and can run none.
//
// Each file has a token that is good, or is not there: when no new one can be had
// the last stays until it ends, and is removed then, because a missing file says
// more than a token that every cluster refuses. When the agent ends the files stay;
// their tokens end by themselves within 14 minutes.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/secretfile"
	"github.com/ekskey/ekskey/internal/tokens"
	"github.com/ekskey/ekskey/token"
)

const (
	// writeAgain and writeAgainMax are the first and the longest wait after a file
	// could not be written.
	writeAgain    = time.Second
	writeAgainMax = time.Minute
	// maxSleep bounds each wait, because timers stand still while a machine sleeps.
	maxSleep = 15 * time.Second
)

// Target is one cluster, and the file for its tokens.
type Target struct {
	// Name is the cluster's, for reports.
	Name string
	// File is where its tokens go. Its Ours is set by New.
	File secretfile.File
	// Source makes them. New takes it over, and Run closes it.
	Source *tokens.Source
}

// Config says what to keep fresh.
type Config struct {
	// Targets are the clusters; at least one.
	Targets []Target
	// Ready, if its Path is set, is a file that is there while all tokens are good.
	// Its Ours is set by New.
	Ready secretfile.File
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
	Path string
	Err  error
}

func (e *FileError) Error() string { return "token file " + e.Path + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *FileError) Unwrap() error { return e.Err }

// Agent keeps files fresh. Make one with New.
type Agent struct {
	cfg Config

	mu     sync.Mutex
	states []state
	ready  bool // the ready file is there
	told   bool
}

// state is what is in a target's file.
type state struct {
	expiry time.Time // of the token in the file; zero if there is none
	ours   bool      // this agent wrote it
	err    error     // why there is no newer one
}

// readyText is what is in a ready file.
const readyText = "ekskey agent: all tokens are good\n"

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
			return nil, &FileError{Path: f.Path, Err: err}
		}
		a.states[i] = state{expiry: a.inherited(f), err: errors.New("no token yet")}
	}
	if a.cfg.Ready.Path != "" {
		a.cfg.Ready.Ours = func(b []byte) bool { return string(b) == readyText }
		err := a.cfg.Ready.Check()
		if err == nil {
			err = a.cfg.Ready.Remove(nil) // a killed agent's
		}
		if err != nil {
			return nil, &FileError{Path: a.cfg.Ready.Path, Err: err}
		}
	}
	return a, nil
}

// isToken reports whether a file may be replaced: it holds a token and no more.
func isToken(data []byte) bool {
	return len(data) >= len(token.Prefix) && string(data[:len(token.Prefix)]) == token.Prefix
}

// inherited is when the token that another agent left ends.
func (a *Agent) inherited(f *secretfile.File) time.Time {
	data, err := f.Read()
	if err != nil || len(data) == 0 {
		return time.Time{}
	}
	parsed, err := token.Parse(string(data))
	if err != nil {
		return a.cfg.Now() // it is good for nothing, and goes at once
	}
	return parsed.End().Add(-token.Margin)
}

// Run keeps the files fresh until the context ends. Then the ready file goes, and
// the tokens stay.
func (a *Agent) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range a.cfg.Targets {
		wg.Go(func() { a.cfg.Targets[i].Source.Run(ctx) })
		wg.Go(func() { a.keep(ctx, i) })
	}
	<-ctx.Done()
	a.cfg.Tell("STOPPING=1")
	for i := range a.cfg.Targets {
		a.cfg.Targets[i].Source.Close()
	}
	wg.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setReady(false)
}

// keep writes one file whenever there is a new token, and removes it when the last
// one ends.
func (a *Agent) keep(ctx context.Context, i int) {
	t := &a.cfg.Targets[i]
	var written token.Token
	var failures int
	for ctx.Err() == nil {
		changed := t.Source.Changed()
		now := a.cfg.Now()
		has := t.Source.State()
		good := has.Token.Value() != "" && now.Before(has.Expiry)
		if good && has.Token.Value() != written.Value() || good && failures > 0 {
			if err := t.File.Write([]byte(has.Token.Value())); err != nil {
				has.Err = err
				failures++
				a.cfg.Log.Warn("token file not written", "cluster", t.Name, "file", t.File.Path, "reason", err)
			} else {
				written, failures = has.Token, 0
				a.cfg.Log.Info("token file written", "cluster", t.Name, "file", t.File.Path, "expires", has.Expiry.UTC())
				a.set(i, state{expiry: has.Expiry, ours: true})
			}
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

func (a *Agent) set(i int, s state) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[i] = s
	all := true
	for i := range a.states {
		all = all && a.fresh(i)
	}
	if all {
		a.setReady(true)
	}
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
func (a *Agent) expire(i int, now time.Time) time.Duration {
	a.mu.Lock()
	expiry := a.states[i].expiry
	a.mu.Unlock()
	if expiry.IsZero() {
		return maxSleep
	}
	if now.Before(expiry) {
		return expiry.Sub(now)
	}
	t := &a.cfg.Targets[i]
	if err := t.File.Remove(nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.cfg.Log.Warn("token file with an ended token not removed", "cluster", t.Name, "file", t.File.Path, "reason", err)
	} else {
		a.cfg.Log.Warn("token file removed, for its token has ended", "cluster", t.Name, "file", t.File.Path)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[i].expiry, a.states[i].ours = time.Time{}, false
	a.setReady(false)
	return maxSleep
}

// setReady makes the ready file, or removes it. The lock is held.
func (a *Agent) setReady(ready bool) {
	if ready && !a.told {
		a.told = true
		a.cfg.Tell("READY=1")
	}
	if a.ready == ready || a.cfg.Ready.Path == "" {
		a.ready = ready
		return
	}
	var err error
	if ready {
		err = a.cfg.Ready.Write([]byte(readyText))
	} else {
		err = a.cfg.Ready.Remove(nil)
	}
	if err != nil {
		a.cfg.Log.Warn("ready file", "file", a.cfg.Ready.Path, "reason", fmt.Sprint(err))
		return
	}
	a.ready = ready
}
