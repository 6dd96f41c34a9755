package token_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/token"
)

func TestOAuth2(t *testing.T) {
	var n atomic.Int64
	source, err := token.New(token.Config{Cluster: "demo", Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			n.Add(1)
			return aws.Credentials{AccessKeyID: keeperKey, SecretAccessKey: keeperSecret}, nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	tokens := source.OAuth2(t.Context())
	for range 10 {
		tok, err := tokens.Token()
		if err != nil {
			t.Fatal(err)
		}
		if !tok.Valid() || tok.Type() != "Bearer" || !strings.HasPrefix(tok.AccessToken, token.Prefix) {
			t.Error("an odd token")
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d tokens were minted", n.Load())
	}
	source, err = token.New(token.Config{Cluster: "demo", Credentials: token.StaticKeys("", "", "")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.OAuth2(t.Context()).Token(); err == nil {
		t.Error("a token without keys")
	}
}

// bouncer is a server that refuses so many requests, and tells what came.
type bouncer struct {
	refuse  atomic.Int64
	bodies  chan string
	headers chan string
}

func newBouncer() *bouncer {
	return &bouncer{bodies: make(chan string, 8), headers: make(chan string, 8)}
}

func (b *bouncer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.bodies <- string(body)
	b.headers <- r.Header.Get("Authorization")
	if b.refuse.Add(-1) >= 0 {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = io.WriteString(w, "answer")
}

func TestRoundTripper(t *testing.T) {
	onlyOnce := func() io.Reader { return io.MultiReader(strings.NewReader("body")) }
	for _, c := range []struct {
		name   string
		refuse int64
		header string
		body   func() io.Reader
		status int
		sent   []string
	}{
		{"plain", 0, "", nil, 200, []string{""}},
		{"refused once", 1, "", nil, 200, []string{"", ""}},
		{"refused twice", 2, "", nil, 401, []string{"", ""}},
		{"with a body", 1, "", func() io.Reader { return strings.NewReader("body") }, 200, []string{"body", "body"}},
		{"with a body that is gone", 1, "", onlyOnce, 401, []string{"body"}},
		{"with a header of its own", 1, "Basic x", nil, 401, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBouncer()
			server := httptest.NewTLSServer(b)
			defer server.Close()
			m := newPress(t)
			// Another second for each token, or they would be the same.
			second := time.Now()
			m.source, _ = token.New(token.Config{
				Cluster: "demo", Credentials: token.StaticKeys(keeperKey, keeperSecret, ""),
				Now: func() time.Time { second = second.Add(time.Second); return second },
			})
			k := newKeeper(t, m, 0)
			client := &http.Client{Transport: k.RoundTripper(server.Client().Transport)}
			var body io.Reader
			if c.body != nil {
				body = c.body()
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			if c.header != "" {
				req.Header.Set("Authorization", c.header)
			}
			b.refuse.Store(c.refuse)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(answer) != "answer" || res.StatusCode != c.status {
				t.Errorf("%d %q %v", res.StatusCode, answer, err)
			}
			close(b.bodies)
			close(b.headers)
			var bodies []string
			for body := range b.bodies {
				bodies = append(bodies, body)
			}
			if fmt.Sprint(bodies) != fmt.Sprint(c.sent) || len(bodies) != len(c.sent) {
				t.Errorf("%q was sent, not %q", bodies, c.sent)
			}
			last := ""
			for header := range b.headers {
				if c.header != "" && header != c.header || c.header == "" && !strings.HasPrefix(header, "Bearer "+token.Prefix) || c.header == "" && header == last {
					t.Errorf("Authorization: %.20s", header)
				}
				last = header
			}
			if req.Header.Get("Authorization") != c.header || res.Request.Header.Get("Authorization") != c.header {
				t.Error("the caller's request holds the token")
			}
		})
	}
}

// What stands behind an API server's proxy can answer with a redirect.
func TestRoundTripperRedirects(t *testing.T) {
	got := make(chan string, 4)
	var target, home string
	evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		if r.URL.Path == "/a" {
			http.Redirect(w, r, "/b", http.StatusFound)
		}
		if r.URL.Path == "/back" {
			http.Redirect(w, r, home+"/here", http.StatusFound)
		}
	}))
	defer evil.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/here" {
			got <- r.Header.Get("Authorization")
			return
		}
		http.Redirect(w, r, target, http.StatusFound)
	}))
	defer server.Close()
	home = server.URL
	for _, c := range []struct {
		name, target string
		answers      int
		with         bool
	}{
		{"to the same host", "/here", 1, true},
		{"to another, and on within it", evil.URL + "/a", 2, false},
		{"to another, and back", evil.URL + "/back", 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			target = c.target
			base := server.Client().Transport.(*http.Transport).Clone()
			base.TLSClientConfig.InsecureSkipVerify = true // two servers of one test
			client := &http.Client{Transport: newKeeper(t, newPress(t), 0).RoundTripper(base)}
			res, err := client.Get(server.URL + "/go")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			for range c.answers {
				if header := <-got; (header != "") != c.with {
					t.Errorf("Authorization: %.20s", header)
				}
			}
		})
	}
}

// A 401 that may be of what stands behind the API server's proxy does not say that
// nothing was done.
func TestRoundTripperRepeats(t *testing.T) {
	for _, c := range []struct {
		method, path string
		times        int
	}{
		{"GET", "/api/v1/namespaces/a/services/b/proxy/c", 2},
		{"HEAD", "/api/v1/namespaces/a/pods/b/proxy", 2},
		{"OPTIONS", "/api/v1/nodes/b/proxy/c", 2},
		{"POST", "/api/v1/namespaces/a/services/b/proxy/c", 1},
		{"POST", "/api/v1/namespaces/a/services/https:b:443/proxy/c", 1},
		{"PUT", "/api/v1/namespaces/a/services/b/proxy", 1},
		{"PATCH", "/api/v1/namespaces/a/pods/b/proxy/", 1},
		{"DELETE", "/api/v1/nodes/b/proxy/c", 1},
		{"POST", "/api/v1/nodes/b/%70roxy/c", 1},
		{"POST", "/prefix/api/v1/nodes/b/proxy/c", 1},
		{"POST", "/api/v1/namespaces/proxy/pods", 2},
		{"POST", "/api/v1/namespaces/a/services", 2},
		{"PUT", "/api/v1/namespaces/a/services/proxy", 2},
		{"DELETE", "/api/v1/namespaces/a/pods/proxy", 2},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/proxy/scale", 2},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			b := newBouncer()
			server := httptest.NewTLSServer(b)
			defer server.Close()
			second := time.Now()
			source, err := token.New(token.Config{
				Cluster: "demo", Credentials: token.StaticKeys(keeperKey, keeperSecret, ""),
				Now: func() time.Time { second = second.Add(time.Second); return second },
			})
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: newKeeper(t, source, 0).RoundTripper(server.Client().Transport)}
			send := func() int {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				return res.StatusCode
			}
			b.refuse.Store(1)
			want := http.StatusOK
			if c.times == 1 {
				want = http.StatusUnauthorized
			}
			if got := send(); got != want || len(b.bodies) != c.times {
				t.Errorf("%d, sent %d times", got, len(b.bodies))
			}
			// The token is replaced all the same.
			send()
			close(b.headers)
			seen := map[string]bool{}
			for header := range b.headers {
				seen[header] = true
			}
			if len(seen) != 2 {
				t.Errorf("%d tokens", len(seen))
			}
		})
	}
}

func TestRoundTripperNeedsTLS(t *testing.T) {
	server := httptest.NewServer(newBouncer())
	defer server.Close()
	source := newPress(t).source
	client := &http.Client{Transport: source.RoundTripper(nil)}
	var clear *token.ClearTextError
	if _, err := client.Post(server.URL, "text/plain", strings.NewReader("body")); !errors.As(err, &clear) {
		t.Errorf("%v", err)
	}
}
