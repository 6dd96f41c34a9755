package authproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// picky takes one token only.
func picky(want *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+tokenNumber(int(want.Load())).Value() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "yes")
	}
}

// The token that is refused is renewed, and the request is sent again where it can
// be: then the client sees nothing of it.
func TestRefusedToken(t *testing.T) {
	for _, tt := range []struct {
		name    string
		body    func() io.Reader
		unknown bool // length
		code    int
		sent    int
	}{
		{"no body", func() io.Reader { return nil }, false, 200, 2},
		{"a body", func() io.Reader { return strings.NewReader(strings.Repeat("a", 1000)) }, false, 200, 2},
		{"the largest that is kept", func() io.Reader { return strings.NewReader(strings.Repeat("a", 256<<10)) }, false, 200, 2},
		{"one that is larger", func() io.Reader { return strings.NewReader(strings.Repeat("a", 256<<10+1)) }, false, 401, 1},
		{"one of unknown length", func() io.Reader { return io.MultiReader(strings.NewReader("abc")) }, true, 401, 1},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				var want atomic.Int64
				want.Store(1)
				api := newStub(t, http2, picky(&want))
				tokens := &fakeTokens{}
				f := serve(t, authproxy.Config{Target: api.target(), Tokens: tokens})
				method := http.MethodPost
				if tt.body() == nil {
					method = http.MethodGet
				}
				code, _ := do(t, f.client(http2), f.request(t, method, "/api", tt.body()))
				if code != tt.code || len(api.requests()) != tt.sent || tokens.refused != 1 {
					t.Errorf("code %d, sent %d times, renewed %d times", code, len(api.requests()), tokens.refused)
				}
				for _, body := range api.bodies[1:] {
					if body != api.bodies[0] {
						t.Error("another body")
					}
				}
				// The next one is well in any case.
				if code, _ := do(t, f.client(http2), f.request(t, method, "/api", tt.body())); code != 200 {
					t.Errorf("then %d", code)
				}
			})
		}
	}
}

func TestManyAreRefusedAtOnce(t *testing.T) {
	var want atomic.Int64
	api := newStub(t, true, picky(&want))
	tokens := &fakeTokens{}
	f := serve(t, authproxy.Config{Target: api.target(), Tokens: tokens})
	client := f.client(true)
	for round := range 5 {
		want.Store(int64(round))
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if code, _ := do(t, client, f.request(t, http.MethodGet, "/api", nil)); code != 200 {
					t.Errorf("code %d", code)
				}
			})
		}
		wg.Wait()
		if tokens.refused != round {
			t.Fatalf("%d renewals after %d expiries", tokens.refused, round)
		}
	}
}

// A refusal that no token helps against goes to the client as it is.
func TestRefusedForEver(t *testing.T) {
	api := newStub(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "the API server's own words")
	})
	for _, stuck := range []bool{false, true} {
		before := len(api.requests())
		f := serve(t, authproxy.Config{Target: api.target(), Tokens: &fakeTokens{stuck: stuck}})
		code, body := do(t, f.client(true), f.request(t, http.MethodGet, "/api", nil))
		if sent := len(api.requests()) - before; code != 401 || body != "the API server's own words" || sent > 2 {
			t.Errorf("%d %q, sent %d times", code, body, sent)
		}
	}
}

func TestNoToken(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), Tokens: &fakeTokens{err: errors.New("calling STS AssumeRole: AccessDenied")}})
	res, err := f.client(true).Do(f.request(t, http.MethodGet, "/api/v1/pods", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if s := statusOf(t, res.Body); s.Code != 503 || res.StatusCode != 503 || !strings.Contains(s.Message, "AssumeRole: AccessDenied") {
		t.Errorf("%+v", s)
	}
	if len(api.requests()) > 0 {
		t.Error("it was sent without a token")
	}
}

// Each way of an API server to be gone, and what the client is told. A new address
// that EKS knows is used at once.
func TestServerGone(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "https://" + dead.Addr().String()
	_ = dead.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.0 400 no TLS\r\n\r\n")
			_ = c.Close()
		}
	}()
	api := newStub(t, true, nil)
	other := newStub(t, true, nil)
	_, otherCA, err := authproxy.NewCertificate(api.Certificate().NotBefore)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		target authproxy.Target
		says   string
	}{
		{"refused connection", authproxy.Target{Server: refusing, CA: api.ca}, "connection refused"},
		{"no such name", authproxy.Target{Server: "https://cluster.invalid", CA: api.ca}, "cluster.invalid: "},
		{"another authority", authproxy.Target{Server: api.URL, CA: otherCA}, "unknown authority"},
		{"the system's authorities", authproxy.Target{Server: api.URL}, "certificate"},
		{"another name", authproxy.Target{Server: api.URL, CA: api.ca, ServerName: "other.example"}, "other.example"},
		{"no TLS", authproxy.Target{Server: "https://" + plain.Addr().String(), CA: api.ca}, "does not look like a TLS handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolve := func(c authproxy.Config) (authproxy.Status, int) {
				t.Helper()
				f := serve(t, c)
				var codes int
				var s authproxy.Status
				for range 3 {
					res, err := f.client(true).Do(f.request(t, http.MethodGet, "/api/v1/pods", nil))
					if err != nil {
						t.Fatal(err)
					}
					if codes = res.StatusCode; codes != 200 {
						s = statusOf(t, res.Body)
					}
					_ = res.Body.Close()
				}
				return s, codes
			}
			if s, code := resolve(authproxy.Config{Target: tt.target}); code != 502 || !strings.Contains(s.Message, tt.says) {
				t.Errorf("%d %s", code, s.Message)
			}
			var requestPath atomic.Int64
			gone := func(context.Context) (authproxy.Target, error) {
				requestPath.Add(1)
				return authproxy.Target{}, errors.New("there is no cluster demo in eu-central-1 for this account")
			}
			if s, code := resolve(authproxy.Config{Target: tt.target, Resolve: gone}); code != 502 || !strings.Contains(s.Message, tt.says) || !strings.Contains(s.Message, "there is no cluster demo") {
				t.Errorf("%d %s", code, s.Message)
			}
			if requestPath.Load() != 1 {
				t.Errorf("EKS was asked %d times in a moment", requestPath.Load())
			}
			same := func(context.Context) (authproxy.Target, error) { return tt.target, nil }
			if s, code := resolve(authproxy.Config{Target: tt.target, Resolve: same}); code != 502 || !strings.Contains(s.Message, tt.says) {
				t.Errorf("%d %s", code, s.Message)
			}
			moved := func(context.Context) (authproxy.Target, error) { return other.target(), nil }
			before := len(other.requests())
			if s, code := resolve(authproxy.Config{Target: tt.target, Resolve: moved}); code != 200 || len(other.requests()) != before+3 {
				t.Errorf("%d %s", code, s.Message)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for _, server := range []string{"", "http://127.0.0.1", "https://", "127.0.0.1:443", "https://user@host", "https://host?a=b", "https://host#a", "ftp://host"} {
		_, err := authproxy.New(authproxy.Config{Target: authproxy.Target{Server: server}})
		var bad *authproxy.TargetError
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", server, err)
		}
	}
	_, err := authproxy.New(authproxy.Config{Target: authproxy.Target{Server: "https://host", CA: []byte("no PEM")}})
	var bad *authproxy.TargetError
	if !errors.As(err, &bad) {
		t.Error(err)
	}
	// An address with a path in front.
	api := newStub(t, true, nil)
	target := api.target()
	target.Server += "/k8s/clusters/one/"
	f := serve(t, authproxy.Config{Target: target})
	for path, want := range map[string]string{"/api/v1": "/k8s/clusters/one/api/v1", "/api/a%2Fb": "/k8s/clusters/one/api/a%2Fb"} {
		if do(t, f.client(true), f.request(t, http.MethodGet, path, nil)); api.last(t).URL.EscapedPath() != want {
			t.Errorf("it asks for %s", api.last(t).URL.EscapedPath())
		}
	}
}

// A token worked if the API server took it, whatever it says to the request; what
// it says in trouble means nothing.
func TestTokenWorked(t *testing.T) {
	for code, want := range map[int]bool{200: true, 201: true, 403: true, 404: true, 409: true, 401: false, 500: false, 503: false} {
		api := newStub(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		tokens := &fakeTokens{stuck: true}
		f := serve(t, authproxy.Config{Target: api.target(), Tokens: tokens})
		if got, _ := do(t, f.client(true), f.request(t, http.MethodGet, "/api/v1/pods", nil)); got != code {
			t.Errorf("%d came as %d", code, got)
		}
		if (len(tokens.worked) == 1) != want || want && tokens.worked[0] != tokenNumber(0).Value() {
			t.Errorf("%d: told %d times", code, len(tokens.worked))
		}
	}
}
