package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
)

// One token asked about many times at once is one question to STS, and a caller
// who goes away does not take the answer from the others.
func TestOneQuestionForManyAtOnce(t *testing.T) {
	f := newFixture()
	release := make(chan struct{})
	f.stub.ask = func() (identity.Identity, error) { <-release; return alice() }
	first, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var good atomic.Int32
	call := func(ctx context.Context) {
		defer wg.Done()
		r := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(review("v1"))).WithContext(ctx)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), `"authenticated":true`) {
			good.Add(1)
		}
	}
	wg.Add(1)
	go call(first)
	for f.stub.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	wg.Add(50)
	for range 50 {
		go call(context.Background())
	}
	cancel()
	close(release)
	wg.Wait()
	if f.stub.asked.Load() != 1 || good.Load() < 50 {
		t.Errorf("%d questions, %d of 50 answered", f.stub.asked.Load(), good.Load())
	}
}

func TestOverload(t *testing.T) {
	f := newFixture(func(c *webhook.Config) { c.MaxInFlight = 1 })
	release, entered := make(chan struct{}), make(chan struct{})
	f.stub.ask = func() (identity.Identity, error) { close(entered); <-release; return alice() }
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- f.post(review("v1")) }()
	<-entered
	if w := f.post(review("v1")); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	close(release)
	if w := <-done; w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
	if n := counted(t, f.reg, "overload"); n != 1 {
		t.Errorf("overload counted %v times", n)
	}
}

// Whoever sends half a body takes nobody's place.
func TestHalfABody(t *testing.T) {
	f := newFixture(func(c *webhook.Config) { c.MaxInFlight = 1 })
	half, hold := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequest(http.MethodPost, webhook.Path, half)
		r.Header.Set("Content-Type", "application/json")
		f.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if _, err := hold.Write([]byte("{")); err != nil {
		t.Fatal(err)
	}
	if w := f.post(review("v1")); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	_ = hold.Close()
	<-done
}

// Callers who go away leave their questions behind; those are bounded too.
func TestQuestionsLeftBehind(t *testing.T) {
	f := newFixture(func(c *webhook.Config) { c.MaxInFlight = 2 })
	var n atomic.Int32
	f.stub.check = func(string) (*token.Parsed, error) { return parsed(fmt.Sprint("demo", n.Add(1))) }
	release := make(chan struct{})
	f.stub.ask = func() (identity.Identity, error) { <-release; return alice() }
	var tooMany int
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		r := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(review("v1"))).WithContext(ctx)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		cancel()
		if w.Code == http.StatusTooManyRequests {
			tooMany++
		}
	}
	if asked := f.stub.asked.Load(); asked != 2 || tooMany != 18 {
		t.Errorf("%d questions at once, %d told to come back", asked, tooMany)
	}
	close(release)
	// Neither those two, which are still under way or just answered, nor those that
	// were never sent may be counted as refused.
	if n := counted(t, f.reg, "refused"); n != 0 {
		t.Errorf("%v questions counted that STS was never asked", n)
	}
}

func TestPanicIsAnOutage(t *testing.T) {
	f := newFixture()
	f.stub.ask = func() (identity.Identity, error) { panic("SECRET-CANARY") }
	if w := f.post(review("v1")); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String()+f.log.String(), "CANARY") {
		t.Errorf("%d %s %s", w.Code, w.Body, f.log.String())
	}
}

// A Verifier that let a token through without reading it would give all tokens
// one key.
func TestUncheckedTokensAreNotRemembered(t *testing.T) {
	f := newFixture()
	f.stub.check = func(string) (*token.Parsed, error) { return &token.Parsed{}, nil }
	if w := f.post(review("v1")); strings.Contains(w.Body.String(), `"authenticated":true`) || f.stub.asked.Load() != 0 {
		t.Errorf("%s", w.Body)
	}
}

// counted is how often an outcome or a result of STS was counted.
func counted(t *testing.T, reg *prometheus.Registry, outcome string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.HasSuffix(f.GetName(), "_total") && l.GetValue() == outcome {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}
