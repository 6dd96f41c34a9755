package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// readyText begins a ready file and marks it as that of an agent.
const readyText = "ekskey agent: all tokens are good"

// readyUntil is the text before the time.
const readyUntil = " until "

func isReady(data []byte) bool { return strings.HasPrefix(string(data), readyText) }

// CheckReady checks the content of a ready file: it fails unless an agent wrote it and
// no token expires before now. A killed agent leaves its ready file, so its existence
// alone proves nothing.
func CheckReady(data []byte, now time.Time) error {
	text, ok := strings.CutPrefix(string(data), readyText+readyUntil)
	if !ok {
		return errors.New("it was not written by ekskey agent")
	}
	until, err := time.Parse(time.RFC3339, strings.TrimSuffix(text, "\n"))
	if err != nil {
		return errors.New("it does not contain the time until which the tokens are valid")
	}
	if !now.Before(until) {
		return errors.New("a token expired at " + until.UTC().Format(time.RFC3339))
	}
	return nil
}

// keepReady updates the ready file periodically.
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

// readiness is the content of the ready file; empty if it must not exist. The lock is
// held.
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

// setReady writes the ready file or, with an empty text, removes it. The lock is held.
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
			err = nil // it belongs to another agent now
		}
	}
	if err != nil {
		a.cfg.Log.Warn("ready file", "file", a.cfg.Ready.Path, "reason", err)
		return
	}
	a.ready = text
}
