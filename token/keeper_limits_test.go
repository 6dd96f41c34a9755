package token_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// One path that answers 401 for ever, beside others that answer 200: as a broken
// aggregated API server does, or an application behind the API server's proxy.
func TestKeeperOnePathIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		time.Sleep(50 * time.Millisecond)
		for range 10 * 55 {
			tok := mustToken(t, k)
			k.Worked(tok)
			if _, _, err := k.Replace(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := m.invalidated.Load(); n != 2 {
			t.Errorf("credentials were got anew %d times in 55 s", n)
		}
		if n := m.calls.Load(); n < 30 || n > 57 {
			t.Errorf("%d tokens in 55 s", n)
		}

		// Soon after, a token that ends is replaced at once, by the same credentials.
		tok, reloads := mustToken(t, k), m.invalidated.Load()
		k.Worked(tok)
		time.Sleep(3 * time.Second)
		next, ok, err := k.Replace(t.Context(), tok)
		if err != nil || !ok || next.Value() == tok.Value() || m.invalidated.Load() != reloads {
			t.Error("not replaced", ok, err, m.invalidated.Load()-reloads)
		}
		// After a while, with new ones.
		k.Worked(next)
		time.Sleep(31 * time.Second)
		if _, ok, err := k.Replace(t.Context(), next); err != nil || !ok || m.invalidated.Load() != reloads+1 {
			t.Error("not replaced by new credentials", ok, err, m.invalidated.Load()-reloads)
		}
	})
}

// Credentials that never come keep nobody from renewing for ever.
func TestKeeperRenewalIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		m.set(nil, make(chan struct{}))
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var reported atomic.Int64
		go k.Run(ctx, func(err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			reported.Add(1)
		})
		synctest.Wait()
		m.set(nil, nil) // for the next
		time.Sleep(119 * time.Second)
		short, leave := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer leave()
		if _, err := k.Token(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it hangs: %v", err)
		}
		time.Sleep(1 * time.Second)
		synctest.Wait()
		if reported.Load() != 1 {
			t.Fatalf("%d failures were reported", reported.Load())
		}
		// Nobody asks at once.
		if _, err := k.Token(t.Context()); !errors.Is(err, context.DeadlineExceeded) || m.calls.Load() != 1 {
			t.Errorf("right after: %v, %d calls", err, m.calls.Load())
		}
		time.Sleep(time.Second)
		if mustToken(t, k); m.calls.Load() != 2 {
			t.Errorf("%d calls", m.calls.Load())
		}
	})
}

// Who waits for Changed and looks at State sees each token and each failure.
func TestKeeperState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, time.Minute)
		if s := k.State(); s.Token.Value() != "" || !s.Expiry.IsZero() || s.Err != nil || s.Minted != 0 {
			t.Errorf("before all: %d tokens, %v", s.Minted, s.Err)
		}
		changed := k.Changed()
		tok := mustToken(t, k)
		<-changed
		if s := k.State(); s.Token.Value() != tok.Value() || !s.Expiry.Equal(tok.SignedAt.Add(time.Minute)) || s.Err != nil || s.Minted != 1 {
			t.Errorf("%d tokens until %v, %v", s.Minted, s.Expiry, s.Err)
		}
		down := errors.New("down")
		m.set(down, nil)
		time.Sleep(55 * time.Second)
		changed = k.Changed()
		mustToken(t, k) // the last one: the renewal fails
		<-changed
		if s := k.State(); s.Token.Value() != tok.Value() || !errors.Is(s.Err, down) || s.Minted != 1 {
			t.Errorf("%d tokens, %v", s.Minted, s.Err)
		}
		m.set(nil, nil)
		time.Sleep(10 * time.Second)
		mustToken(t, k)
		if s := k.State(); s.Err != nil || s.Minted != 2 {
			t.Errorf("%d tokens, %v", s.Minted, s.Err)
		}
	})
}

// Who has a good token is not kept waiting for another, nor given one that ended
// in the meantime.
func TestKeeperGoodTokenWaits(t *testing.T) {
	for left, want := range map[time.Duration]error{time.Minute: nil, 5 * time.Second: context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			m := newPress(t)
			k := newKeeper(t, m, 0)
			first := mustToken(t, k)
			time.Sleep(time.Until(first.Expiry) - left)
			m.set(nil, make(chan struct{}))
			began := time.Now()
			tok, err := k.Token(t.Context())
			if waited := time.Since(began); waited > 10*time.Second || !errors.Is(err, want) || err == nil && tok.Value() != first.Value() {
				t.Errorf("%v left: waited %v: %v", left, waited, err)
			}
		})
	}
}

// Those who leave while a refused token is replaced do not count as refusals of
// another.
func TestKeeperLeaversAreNoRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		tok := mustToken(t, k) // never taken by a server
		time.Sleep(2 * time.Second)
		m.set(nil, make(chan struct{}))
		for range 8 {
			ctx, leave := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if _, _, err := k.Replace(ctx, tok); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			leave()
		}
		m.set(nil, nil)
		if newer, ok, err := k.Replace(t.Context(), tok); err != nil || !ok || newer.Value() == tok.Value() {
			t.Errorf("the one who stays: %v %v", ok, err)
		}
	})
}
