package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// readyText is what is in a ready file before the time, and what tells that it is
// an agent's.
const readyText = "ekskey agent: all tokens are good"

// readyUntil is between readyText and the time.
const readyUntil = " until "

func isReady(data []byte) bool { return strings.HasPrefix(string(data), readyText) }

// CheckReady looks at what is in a ready file: it fails unless an agent wrote it and
// the first of the tokens ends after now. An agent that was killed leaves its ready
// file, so that it is there says nothing.
func CheckReady(data []byte, now time.Time) error {
	text, ok := strings.CutPrefix(string(data), readyText+readyUntil)
	if !ok {
		return errors.New("no agent wrote it")
	}
	until, err := time.Parse(time.RFC3339, strings.TrimSuffix(text, "\n"))
	if err != nil {
		return errors.New("it does not say until when the tokens are good")
	}
	if !now.Before(until) {
		return errors.New("a token has ended at " + until.UTC().Format(time.RFC3339))
	}
	return nil
}

// keepReady looks at the ready file again and again.
func (a *Agent) keepReady(ctx context.Context) {
	tick := time.NewTicker(maxSleep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		if a.ready != "" {
			if in, err := a.cfg.Ready.Read(); err != nil || string(in) != a.ready {
				a.ready = ""
			}
		}
		a.setReady(a.readiness())
		a.mu.Unlock()
	}
}

// readiness is what is to be in the ready file; empty if it is not to be there. The
// lock is held.
func (a *Agent) readiness() string {
	var first time.Time
	for i, s := range a.states {
		if !a.fresh(i) {
			return ""
		}
		if first.IsZero() || s.expiry.Before(first) {
			first = s.expiry
		}
	}
	return readyText + readyUntil + first.UTC().Format(time.RFC3339) + "\n"
}

// setReady makes the ready file, or with empty text removes it. The lock is held.
func (a *Agent) setReady(text string) {
	if text != "" && !a.told {
		a.told = true
		a.cfg.Tell("READY=1")
	}
	if a.ready == text || a.cfg.Ready.Path == "" {
		return
	}
	var err error
	if text != "" {
		err = a.cfg.Ready.Write([]byte(text))
	} else if err = a.cfg.Ready.Remove([]byte(a.ready)); err != nil {
		var foreign *safefile.ForeignError
		if errors.As(err, &foreign) {
			err = nil // it is not this agent's any more
		}
	}
	if err != nil {
		a.cfg.Log.Warn("ready file", "file", a.cfg.Ready.Path, "reason", err)
		return
	}
	a.ready = text
}
