package token

import (
	"context"
	"errors"
	"testing"
	"time"
)

// minted is a Minter of tokens that end at once, or of failures.
type minted struct {
	calls int
	err   error
}

func (m *minted) Token(context.Context) (Token, error) {
	m.calls++
	return Token{value: func() string { return "token" }, Expiry: time.Now()}, m.err
}

// A function that is frozen, and a machine that sleeps, may find their monotonic
// clock where it was. What a Keeper compares has no reading of it.
func TestKeeperGoesByTheTimeOfDay(t *testing.T) {
	m := &minted{}
	k := newKeeper(KeeperConfig{Minter: m})
	tok, err := k.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Replace(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	m.err = errors.New("not now")
	if _, err := k.mint(t.Context()); err == nil {
		t.Fatal("no error")
	}
	for name, at := range map[string]time.Time{
		"now": k.now(), "end": k.end, "renewAt": k.renewAt, "retryAt": k.retryAt, "refuseAt": k.refuseAt,
		"reloadAt": k.reloadAt,
	} {
		if at.IsZero() || at != at.Round(0) {
			t.Errorf("%s is %v", name, at)
		}
	}
}

// A clock that is put back does not make anybody wait until it is as late again.
func TestKeeperAndAClockPutBack(t *testing.T) {
	now := time.Now()
	m := &minted{err: errors.New("not now")}
	k := newKeeper(KeeperConfig{Minter: m, Now: func() time.Time { return now }})
	for range 2 {
		if _, err := k.Token(t.Context()); !errors.Is(err, m.err) {
			t.Fatal(err)
		}
	}
	if m.calls != 1 {
		t.Fatalf("asked %d times, although it had just failed", m.calls)
	}
	now = now.Add(-time.Hour)
	if _, err := k.Token(t.Context()); !errors.Is(err, m.err) || m.calls != 2 {
		t.Errorf("asked %d times: %v", m.calls, err)
	}
	if wait := k.untilDue(); wait <= 0 || wait > time.Minute {
		t.Errorf("the next attempt is in %v", wait)
	}
}
