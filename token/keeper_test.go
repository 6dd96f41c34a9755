package token_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/token"
)

const (
	keeperKey    = "AKIAIOSFODNN7EXAMPLE"
	keeperSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// press is a Minter that can fail and hang, and counts.
type press struct {
	source      *token.Source
	mu          sync.Mutex
	err         error
	hold        chan struct{} // waited for, unless nil
	calls       atomic.Int64
	now, most   atomic.Int64 // at once
	invalidated atomic.Int64
}

func newPress(t *testing.T) *press {
	t.Helper()
	source, err := token.New(token.Config{Cluster: "demo", Credentials: token.StaticKeys(keeperKey, keeperSecret, "")})
	if err != nil {
		t.Fatal(err)
	}
	return &press{source: source}
}

func (m *press) set(err error, hold chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err, m.hold = err, hold
}

func (m *press) Invalidate() { m.invalidated.Add(1) }

func (m *press) Token(ctx context.Context) (token.Token, error) {
	m.calls.Add(1)
	if n := m.now.Add(1); n > m.most.Load() {
		m.most.Store(n)
	}
	defer m.now.Add(-1)
	m.mu.Lock()
	err, hold := m.err, m.hold
	m.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return token.Token{}, ctx.Err()
		}
	}
	if err != nil {
		return token.Token{}, err
	}
	return m.source.Token(ctx)
}

func newKeeper(t *testing.T, m token.Minter, maxAge time.Duration) *token.Keeper {
	t.Helper()
	k, err := token.NewKeeper(token.KeeperConfig{Minter: m, MaxAge: maxAge})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustToken(t *testing.T, k *token.Keeper) token.Token {
	t.Helper()
	tok, err := k.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestKeeperConfig(t *testing.T) {
	m := newPress(t)
	for _, c := range []token.KeeperConfig{{}, {Minter: m, MaxAge: -1}} {
		var wrong *token.ConfigError
		if _, err := token.NewKeeper(c); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestKeeperRenewsAhead(t *testing.T) {
	for _, c := range []struct {
		name     string
		maxAge   time.Duration
		from, to time.Duration // when the renewal is
	}{
		{"by expiry", 0, 9 * time.Minute, 13 * time.Minute},
		{"by age", time.Minute, 41 * time.Second, 55 * time.Second},
		{"an age beyond the expiry", time.Hour, 9 * time.Minute, 13 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newPress(t)
				k := newKeeper(t, m, c.maxAge)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				go k.Run(ctx, nil)
				synctest.Wait()
				if m.calls.Load() != 1 {
					t.Fatalf("%d tokens at the start", m.calls.Load())
				}
				first := mustToken(t, k)
				time.Sleep(c.from)
				if got := mustToken(t, k); got.Value() != first.Value() {
					t.Error("it was renewed too early")
				}
				time.Sleep(c.to - c.from)
				if got := mustToken(t, k); got.Value() == first.Value() || m.calls.Load() != 2 {
					t.Errorf("it was not renewed in time: %d calls", m.calls.Load())
				}
			})
		})
	}
}

// Without Run, the first caller after the token is due renews; others are not kept
// waiting, and never do two renew at once.
func TestKeeperRenewsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		hold := make(chan struct{})
		ask := func(n int) *sync.WaitGroup {
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() { mustToken(t, k) })
			}
			return &wg
		}
		m.set(nil, hold)
		first := ask(100)
		synctest.Wait()
		close(hold)
		first.Wait()
		if m.calls.Load() != 1 {
			t.Fatalf("%d calls for the first token", m.calls.Load())
		}
		time.Sleep(13 * time.Minute) // due, and good
		hold = make(chan struct{})
		m.set(nil, hold)
		renewer := ask(1)
		synctest.Wait()
		ask(100).Wait() // do not wait for it
		close(hold)
		renewer.Wait()
		if m.calls.Load() != 2 || m.most.Load() != 1 {
			t.Errorf("%d calls, %d at once", m.calls.Load(), m.most.Load())
		}
	})
}

// While renewals fail, the last token is handed out to its end, and the Minter is
// asked less and less often.
func TestKeeperKeepsTheLastGoodToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var reported atomic.Int64
		go k.Run(ctx, func(error) { reported.Add(1) })
		synctest.Wait()
		first := mustToken(t, k)
		refused := errors.New("refused")
		m.set(refused, nil)
		for range 13*60 + 50 {
			time.Sleep(time.Second)
			if got := mustToken(t, k); got.Value() != first.Value() {
				t.Fatal("another token")
			}
		}
		if n := reported.Load(); n < 4 || n > 20 {
			t.Errorf("%d failures were reported", n)
		}
		time.Sleep(11 * time.Second)
		if _, err := k.Token(t.Context()); !errors.Is(err, refused) {
			t.Errorf("after its end: %v", err)
		}
		before := m.calls.Load()
		for range 600 {
			time.Sleep(time.Second)
			if _, err := k.Token(t.Context()); !errors.Is(err, refused) {
				t.Errorf("after its end: %v", err)
			}
		}
		if n := m.calls.Load() - before; n < 9 || n > 30 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		m.set(nil, nil)
		time.Sleep(time.Minute)
		mustToken(t, k)
	})
}

// A failure is everybody's who waited for it.
func TestKeeperFailsOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, hold, refused := newPress(t), make(chan struct{}), errors.New("refused")
		k := newKeeper(t, m, 0)
		m.set(refused, hold)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := k.Token(t.Context()); !errors.Is(err, refused) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		if m.calls.Load() != 1 {
			t.Errorf("%d attempts", m.calls.Load())
		}
	})
}

// Who goes away while a token is minted takes nobody along.
func TestKeeperCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, hold := newPress(t), make(chan struct{})
		k := newKeeper(t, m, 0)
		m.set(nil, hold)
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := k.Token(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustToken(t, k) })
		wg.Go(func() {
			if _, err := k.Token(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(hold)
		wg.Wait()
	})
}

func TestKeeperReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newPress(t)
		k := newKeeper(t, m, 0)
		first := mustToken(t, k)
		k.Worked(first)
		time.Sleep(20 * time.Second)

		// A storm of refusals is one renewal.
		hold := make(chan struct{})
		m.set(nil, hold)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if tok, ok, err := k.Replace(t.Context(), first); err != nil || !ok || tok.Value() == first.Value() {
					t.Error("not replaced", ok, err)
				}
			})
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		if m.calls.Load() != 2 || m.invalidated.Load() != 1 {
			t.Fatalf("%d calls, %d times with new credentials", m.calls.Load(), m.invalidated.Load())
		}
		// Who is refused whatever the token costs no renewal each time.
		m.set(nil, nil)
		for range 600 {
			time.Sleep(time.Second)
			tok := mustToken(t, k)
			if _, _, err := k.Replace(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
		}
		if n := m.calls.Load(); n < 10 || n > 30 {
			t.Errorf("%d calls after ten minutes of refusals", n)
		}
		// A token that worked is replaced at once again, and each that worked after it.
		before := m.calls.Load()
		for range 10 {
			tok := mustToken(t, k)
			k.Worked(tok)
			time.Sleep(time.Second)
			if _, ok, err := k.Replace(t.Context(), tok); err != nil || !ok {
				t.Fatal("not replaced", err)
			}
		}
		if n := m.calls.Load() - before; n != 10 {
			t.Errorf("%d calls", n)
		}
		// The replacement fails: the refused token is kept, for it may be the server
		// that is wrong.
		tok, refused := mustToken(t, k), errors.New("refused")
		k.Worked(tok)
		time.Sleep(time.Second)
		m.set(refused, nil)
		if _, ok, err := k.Replace(t.Context(), tok); ok || !errors.Is(err, refused) {
			t.Error(ok, err)
		}
		if got := mustToken(t, k); got.Value() != tok.Value() {
			t.Error("the token is gone")
		}
	})
}

// Within a second, the same keys sign the same token.
func TestKeeperReplaceWithTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, newPress(t), 0)
		tok := mustToken(t, k)
		if _, ok, err := k.Replace(t.Context(), tok); ok || err != nil {
			t.Error(ok, err)
		}
	})
}

// Credentials about to end do not mean a token for each request.
func TestKeeperShortCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		source, err := token.New(token.Config{Cluster: "demo", Credentials: aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				n.Add(1)
				return aws.Credentials{AccessKeyID: keeperKey, SecretAccessKey: keeperSecret, CanExpire: true, Expires: time.Now().Add(30 * time.Second)}, nil
			})})
		if err != nil {
			t.Fatal(err)
		}
		k := newKeeper(t, source, 0)
		for range 100 {
			mustToken(t, k)
		}
		if n.Load() != 1 {
			t.Errorf("%d times asked for credentials", n.Load())
		}
	})
}
