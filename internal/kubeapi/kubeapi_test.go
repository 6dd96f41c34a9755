package kubeapi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/token"
)

func mint(t *testing.T) token.Token {
	t.Helper()
	src, err := token.New(token.Config{Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := src.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func whoAmI(t *testing.T, server string, ca []byte, tok token.Token) (kubeapi.UserInfo, error) {
	t.Helper()
	c, err := kubeapi.New(kubeapi.Config{Server: server, CA: ca, Token: tok, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c.WhoAmI(t.Context())
}

const review = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"alice","uid":"1","groups":["a","b"],"extra":{"arn":["x"]}}}}`

func TestWhoAmI(t *testing.T) {
	want := kubeapi.UserInfo{Username: "alice", UID: "1", Groups: []string{"a", "b"}, Extra: map[string][]string{"arn": {"x"}}}
	tok := mint(t)
	for _, tt := range []struct{ name, prefix, version string }{
		{"v1", "", "v1"}, {"v1beta1 of an older server", "", "v1beta1"}, {"below a path", "/k8s/clusters/c-1", "v1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tt.prefix+"/apis/authentication.k8s.io/"+tt.version+"/selfsubjectreviews" {
					http.Error(w, "404 page not found", http.StatusNotFound)
					return
				}
				var body map[string]any
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["kind"] != "SelfSubjectReview" ||
					body["apiVersion"] != "authentication.k8s.io/"+tt.version || r.Method != http.MethodPost ||
					r.Header.Get("Authorization") != "Bearer "+tok.Value() || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("request %s %v", r.Method, body)
				}
				_, _ = io.WriteString(w, review)
			})
			got, err := whoAmI(t, s.URL+tt.prefix, ca, tok)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWhoAmIFails(t *testing.T) {
	tok := mint(t)
	status := func(code int, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message})
		}
	}
	text := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		code    int // of a StatusError; 0 for an UnreachableError
		text    string
	}{
		{"not mapped", status(401, "Unauthorized"), 401, "the API server answered 401 Unauthorized"},
		{"forbidden", status(403, "no create for you"), 403, "the API server answered 403 Forbidden: no create for you"},
		{"neither version", status(404, "the server could not find the requested resource"), 404, "404 Not Found"},
		{"a proxy's page", text(502, "<html>"), 502, "the API server answered 502 Bad Gateway"},
		{"not JSON", text(200, "<html>"), 0, "the response is not from a Kubernetes API server"},
		{"another kind", text(200, strings.Replace(review, "SelfSubjectReview", "TokenReview", 1)), 0, "the response is not from a Kubernetes API server"},
		{"nobody", text(200, strings.Replace(review, "alice", "", 1)), 0, "the response is not from a Kubernetes API server"},
		{"endless", text(200, review+strings.Repeat(" ", 2<<20)), 0, "the response is not from a Kubernetes API server"},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "EOF"},
		{"the token sent back", func(w http.ResponseWriter, r *http.Request) { status(400, r.Header.Get("Authorization"))(w, r) }, 400, "REDACTED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ca := serve(t, tt.handler)
			got, err := whoAmI(t, s.URL, ca, tok)
			if err == nil || !strings.Contains(err.Error(), tt.text) || got.Username != "" {
				t.Fatalf("got %+v, %v, want %q", got, err, tt.text)
			}
			if strings.Contains(err.Error(), tok.Value()) {
				t.Errorf("the token is in the error")
			}
			var refused *kubeapi.StatusError
			var unreachable *kubeapi.UnreachableError
			if tt.code != 0 && (!errors.As(err, &refused) || refused.Code != tt.code) || tt.code == 0 && !errors.As(err, &unreachable) {
				t.Errorf("error is a %T: %v", err, err)
			}
		})
	}
}

// A redirect would carry the token to somebody else.
func TestNoRedirect(t *testing.T) {
	asked := false
	other, _ := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	_, err := whoAmI(t, s.URL, ca, mint(t))
	var refused *kubeapi.StatusError
	if !errors.As(err, &refused) || refused.Code != 307 || asked {
		t.Errorf("%v, followed: %v", err, asked)
	}
}

// The token goes to nobody whose certificate is not of the cluster's authority.
func TestWrongAuthority(t *testing.T) {
	asked := false
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	_, err := whoAmI(t, s.URL, nil, mint(t))
	var unreachable *kubeapi.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "x509:") || asked {
		t.Errorf("%v, asked: %v", err, asked)
	}
}

func TestCancelled(t *testing.T) {
	s, ca := serve(t, func(http.ResponseWriter, *http.Request) {})
	c, err := kubeapi.New(kubeapi.Config{Server: s.URL, CA: ca, Token: mint(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WhoAmI(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNew(t *testing.T) {
	good := kubeapi.Config{Server: "https://example.com", Token: mint(t)}
	if _, err := kubeapi.New(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, field string
		change      func(*kubeapi.Config)
	}{
		{"http", "Server", func(c *kubeapi.Config) { c.Server = "http://example.com" }},
		{"no scheme", "Server", func(c *kubeapi.Config) { c.Server = "example.com" }},
		{"no host", "Server", func(c *kubeapi.Config) { c.Server = "https:///x" }},
		{"user", "Server", func(c *kubeapi.Config) { c.Server = "https://u:p@example.com" }},
		{"query", "Server", func(c *kubeapi.Config) { c.Server = "https://example.com/?a=b" }},
		{"empty", "Server", func(c *kubeapi.Config) { c.Server = "" }},
		{"no token", "Token", func(c *kubeapi.Config) { c.Token = token.Token{} }},
		{"no PEM", "CA", func(c *kubeapi.Config) { c.CA = []byte("no PEM") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			_, err := kubeapi.New(c)
			var config *kubeapi.ConfigError
			if !errors.As(err, &config) || config.Field != tt.field {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), "u:p") {
				t.Errorf("the error quotes a password")
			}
		})
	}
}
