package tokens_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ekskey/ekskey/internal/tokens"
	"github.com/ekskey/ekskey/token"
)

// mint signs with throw-away keys at the bubble's clock, and counts.
type mint struct {
	mu     sync.Mutex
	calls  int
	fresh  int
	inside int
	fail   error
	takes  time.Duration
	life   time.Duration // of the credentials; zero: they do not end
}

func (m *mint) token(ctx context.Context, fresh bool) (token.Token, error) {
	m.mu.Lock()
	m.calls++
	if fresh {
		m.fresh++
	}
	m.inside++
	twice, fail, takes, life := m.inside > 1, m.fail, m.takes, m.life
	m.mu.Unlock()
	defer func() { m.mu.Lock(); m.inside--; m.mu.Unlock() }()
	if twice {
		return token.Token{}, errors.New("two renewals at a time")
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return token.Token{}, ctx.Err()
	}
	if fail != nil {
		return token.Token{}, fail
	}
	source, err := token.New(token.Config{
		Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	})
	if err != nil {
		return token.Token{}, err
	}
	tok, err := source.Token(ctx)
	if life != 0 {
		tok.Expiry = time.Now().Add(life)
	}
	return tok, err
}

func (m *mint) count() (calls, fresh int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls, m.fresh
}

func (m *mint) set(change func()) { m.mu.Lock(); change(); m.mu.Unlock() }

var errDown = errors.New("sts is down")

func must(t *testing.T, s *tokens.Source) token.Token {
	t.Helper()
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestManyAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Second}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := s.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if calls, _ := m.count(); calls != 1 {
			t.Errorf("%d renewals", calls)
		}
	})
}

// A day of renewals ahead of the end: nobody who asks ever waits or is given a
// token that ends within two minutes.
func TestRenewsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 10 * time.Second}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.Run(ctx); close(ended) }()
		must(t, s)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			before := time.Now()
			tok := must(t, s)
			if time.Now() != before {
				t.Fatal("it waited")
			}
			if left := time.Until(tok.Expiry); left < 110*time.Second {
				t.Fatalf("only %v are left", left)
			}
		}
		if calls, fresh := m.count(); calls < 24*5 || calls > 24*7 || fresh != 0 {
			t.Errorf("%d renewals in a day, %d of them fresh", calls, fresh)
		}
		cancel()
		<-ended
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 100 * time.Millisecond}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		first := must(t, s)
		time.Sleep(5 * time.Second)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if next, ok := s.Refused(t.Context(), first); !ok || next.Value() == first.Value() {
					t.Error("no other token")
				}
			})
		}
		wg.Wait()
		if calls, fresh := m.count(); calls != 2 || fresh != 1 {
			t.Fatalf("%d renewals, %d fresh; one refusal is answered by one, with new credentials", calls, fresh)
		}
		// One that is refused for ever: a renewal a second at the most, and
		// credentials loaded anew every half minute.
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			s.Refused(t.Context(), must(t, s))
		}
		if calls, fresh := m.count(); calls > 2+75 || calls < 30 || fresh > 4 {
			t.Errorf("%d renewals in little more than a minute, %d fresh", calls, fresh)
		}
	})
}

func TestLastGoodIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		first := must(t, s)
		m.set(func() { m.fail = errDown })
		time.Sleep(time.Until(first.Expiry) - time.Second)
		if must(t, s).Value() != first.Value() {
			t.Error("another token")
		}
		calls, _ := m.count()
		if calls < 3 || calls > 20 {
			t.Errorf("%d attempts in the last minutes", calls)
		}
		if st := s.State(); !errors.Is(st.Err, errDown) {
			t.Errorf("the state says %v", st.Err)
		}
		time.Sleep(2 * time.Second)
		_, err := s.Token(t.Context())
		var gone *tokens.UnavailableError
		if !errors.As(err, &gone) || !errors.Is(err, errDown) {
			t.Fatalf("%v", err)
		}
		// An hour of failures: about one a minute, and then at once again.
		before, _ := m.count()
		time.Sleep(time.Hour)
		if after, _ := m.count(); after-before < 55 || after-before > 125 {
			t.Errorf("%d attempts in an hour", after-before)
		}
		m.set(func() { m.fail = nil })
		time.Sleep(time.Minute + time.Second)
		must(t, s)
	})
}

// While the wait after a failure lasts, who asks is told at once and makes no
// attempt.
func TestFailsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{fail: errDown}
		s := tokens.New(tokens.Config{Mint: m.token, Retry: 10 * time.Second})
		defer s.Close()
		for range 100 {
			if _, err := s.Token(t.Context()); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
		}
		if calls, _ := m.count(); calls != 1 {
			t.Errorf("%d attempts", calls)
		}
		m.set(func() { m.fail = nil })
		time.Sleep(10 * time.Second)
		must(t, s)
		if _, fresh := m.count(); fresh != 1 {
			t.Error("after a failure nothing was loaded anew")
		}
	})
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		s := tokens.New(tokens.Config{Mint: m.token, MaxAge: 20 * time.Second})
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		for range 600 {
			time.Sleep(time.Second)
			if age := time.Since(must(t, s).SignedAt); age > 19*time.Second {
				t.Fatalf("%v old", age)
			}
		}
	})
}

// Credentials that are about to end must not make it a busy loop.
func TestShortCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{life: 200 * time.Millisecond}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		time.Sleep(time.Minute)
		if calls, _ := m.count(); calls > 61 {
			t.Errorf("%d renewals in a minute", calls)
		}
		m.set(func() { m.life = -time.Second })
		time.Sleep(10 * time.Second)
		if s.State().Err == nil {
			t.Error("a token that has ended is no failure")
		}
	})
}

func TestCloseEndsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Hour}
		s := tokens.New(tokens.Config{Mint: m.token})
		go func() { time.Sleep(time.Second); s.Close() }()
		if _, err := s.Token(t.Context()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := s.Token(t.Context()); err == nil {
			t.Error("a renewal after Close")
		}
	})
}

// Who gives up waiting does not end the renewal for the others.
func TestWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Minute}
		s := tokens.New(tokens.Config{Mint: m.token})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		must(t, s)
		if calls, _ := m.count(); calls != 1 {
			t.Errorf("%d renewals", calls)
		}
	})
}
