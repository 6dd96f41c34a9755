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
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
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

// A host that does not answer fills its own slots only, and clients that leave do not
// free them for more calls.
func TestHangingHost(t *testing.T) {
	f := newFixture(func(c *webhook.Config) { c.MaxInFlight = 16 })
	var n atomic.Int32
	f.stub.check = func(string) (*token.Parsed, error) { return parsed(fmt.Sprint("demo", n.Add(1))) }
	release := make(chan struct{})
	var answers atomic.Bool
	f.stub.ask = func() (identity.Identity, error) {
		if !answers.Load() {
			<-release
		}
		return alice()
	}
	var wg sync.WaitGroup
	var tooMany atomic.Int32
	post := func() {
		if f.post(review("v1")).Code == http.StatusTooManyRequests {
			tooMany.Add(1)
		}
	}
	for range 4 {
		wg.Go(post)
	}
	for f.stub.asked.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	for range 8 {
		post()
	}
	if asked := f.stub.asked.Load(); asked != 4 || tooMany.Load() != 8 {
		t.Errorf("%d calls at once, %d told to come back", asked, tooMany.Load())
	}
	// Another host still has slots.
	answers.Store(true)
	f.stub.check = func(string) (*token.Parsed, error) { return parsedIn("eu-west-1") }
	if w := f.post(review("v1")); w.Code != http.StatusOK {
		t.Errorf("another host: %d", w.Code)
	}
	close(release)
	wg.Wait()
	if n := counted(t, f.reg, "refused"); n != 0 {
		t.Errorf("%v calls counted that were never made", n)
	}
}

// After some calls without any response a host is not called for some seconds; then one
// call tries. A response of any kind closes the circuit.
func TestCircuitBreaker(t *testing.T) {
	f := newFixture()
	var n atomic.Int32
	f.stub.check = func(string) (*token.Parsed, error) { return parsed(fmt.Sprint("demo", n.Add(1))) }
	f.stub.ask = failing(&verify.UnavailableError{Reason: "calling", Err: context.DeadlineExceeded})
	for range 20 {
		if w := f.post(review("v1")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" {
			t.Fatalf("%d", w.Code)
		}
	}
	if asked := f.stub.asked.Load(); asked != 8 {
		t.Errorf("%d calls of a host that does not answer, want 8", asked)
	}
	f.now = f.now.Add(5 * time.Second)
	f.post(review("v1"))
	f.post(review("v1"))
	if asked := f.stub.asked.Load(); asked != 9 {
		t.Errorf("%d calls, want one more", asked)
	}
	f.now = f.now.Add(5 * time.Second)
	f.stub.ask = failing(&verify.DeniedError{Code: "AccessDenied", Status: 403})
	f.post(review("v1"))
	f.stub.ask = nil
	if w := f.post(review("v1")); !strings.Contains(w.Body.String(), `"authenticated":true`) {
		t.Errorf("after a response: %d", w.Code)
	}
	// Server errors and odd answers do not open it: a token might provoke them.
	f.stub.ask = failing(&verify.UnavailableError{Status: 500})
	before := f.stub.asked.Load()
	for range 20 {
		f.post(review("v1"))
	}
	if asked := f.stub.asked.Load() - before; asked != 20 {
		t.Errorf("%d calls", asked)
	}
}

// Replays of one bad token are one call, for some seconds.
func TestReplaysOfABadToken(t *testing.T) {
	f := newFixture()
	f.stub.ask = failing(&verify.DeniedError{Code: "SignatureDoesNotMatch", Status: 403})
	for range 10 {
		if w := f.post(review("v1")); !strings.Contains(w.Body.String(), `"error":"not authorized"`) {
			t.Fatal(w.Body)
		}
	}
	if asked := f.stub.asked.Load(); asked != 1 {
		t.Errorf("%d calls", asked)
	}
	f.now = f.now.Add(5 * time.Second)
	f.stub.ask = nil
	if w := f.post(review("v1")); !strings.Contains(w.Body.String(), `"authenticated":true`) {
		t.Errorf("the denial outlived its time: %s", w.Body)
	}
}

func TestPanickingMapper(t *testing.T) {
	f := newFixture()
	f.mapper = func(identity.Identity) (mapping.Mapping, error) { panic("SECRET-CANARY") }
	w := f.post(review("v1"))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(f.log.String(), "the review panicked") || strings.Contains(f.log.String(), "CANARY") {
		t.Errorf("%d %s", w.Code, f.log.String())
	}
}

func TestDenialLinesAreBounded(t *testing.T) {
	f := newFixture()
	f.stub.check = func(string) (*token.Parsed, error) { return nil, &token.RuleError{Code: "V03"} }
	for range 500 {
		f.post(review("v1"))
	}
	if n := strings.Count(f.log.String(), "access denied"); n != 100 {
		t.Errorf("%d lines in a second", n)
	}
	f.now = f.now.Add(time.Second)
	f.post(review("v1"))
	if !strings.Contains(f.log.String(), `"linesDroppedBefore":400`) {
		t.Error("the dropped lines are not told")
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
