package token

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	if _, err := k.mint(t.Context(), mintTimeout); err == nil {
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

// A token that was signed before the clock was put back is of the future, which no
// cluster takes.
func TestKeeperRenewsWhenTheClockIsPutBack(t *testing.T) {
	now := time.Now()
	source, err := New(Config{Cluster: "demo", Credentials: StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(KeeperConfig{Minter: source, Now: func() time.Time { return now }})
	first, err := k.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Hour)
	if wait := k.untilDue(); wait != 0 {
		t.Errorf("Run would wait for %v", wait)
	}
	next, err := k.Token(t.Context())
	if err != nil || next.SignedAt.After(now) || next.Value() == first.Value() {
		t.Errorf("signed at %v: %v", next.SignedAt, err)
	}
	if k.untilDue() <= 0 {
		t.Error("it would be renewed for ever")
	}
}

// Timers do not count the time that a machine slept.
func TestKeeperRunAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		source, err := New(Config{Cluster: "demo", Credentials: StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		k := newKeeper(KeeperConfig{Minter: source, Now: now})
		ctx, end := context.WithCancel(t.Context())
		defer end()
		go k.Run(ctx, nil)
		time.Sleep(time.Second)
		slept.Store(int64(time.Hour))
		time.Sleep(maxSleep)
		synctest.Wait()
		if s := k.State(); s.Minted != 2 || s.Token.SignedAt.Before(now().Add(-time.Minute)) {
			t.Errorf("%d tokens, the last signed at %v", s.Minted, s.Token.SignedAt)
		}
	})
}
