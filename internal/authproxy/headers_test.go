package authproxy_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// One header a row; none may reach the API server, in no spelling and by no trick
// with Connection, and the proxy's own token always does.
func TestHeadersThatStay(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		api := newStub(t, http2, nil)
		f := serve(t, authproxy.Config{Target: api.target()})
		for _, lines := range []string{
			"Impersonate-User: root",
			"impersonate-user: root",
			"IMPERSONATE-USER: root",
			"iMpErSoNaTe-GrOuP: system:masters",
			"Impersonate-Uid: 0",
			"Impersonate-Extra-Scopes: all",
			"Impersonate-Anything-New: x",
			"Impersonate_User: root",
			"Impersonate-User: root\nImpersonate-User: other",
			"X-Remote-User: root",
			"x-remote-group: system:masters",
			"X-Remote-Extra-Scopes: all",
			"X_Remote_User: root",
			"X-Forwarded-For: 10.0.0.1",
			"X-Forwarded-Host: evil.example",
			"X-Real-Ip: 10.0.0.1",
			"Forwarded: for=10.0.0.1",
			"Cookie: a=b",
			"Proxy-Authorization: Basic eDp5",
			"X-HTTP-Method-Override: DELETE",
			"Keep-Alive: timeout=5",
			"TE: trailers",
			"Proxy-Connection: keep-alive",
			"Connection: Authorization",
			"Connection: authorization, keep-alive",
			"Connection: Impersonate-User\nImpersonate-User: root",
			"Connection: X-Forwarded-For, X-Remote-User\nX-Remote-User: root",
			"Connection: close, Host",
			"Expect: 100-continue",
			"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.azhz",
			"sec-websocket-protocol: Base64URL.bearer.authorization.k8s.io.azhz",
		} {
			t.Run(lines, func(t *testing.T) {
				res := f.raw(t, "GET /api/v1/pods?limit=1 HTTP/1.1\nHost: "+f.address+"\nAuthorization: Bearer "+bearer+"\nAccept: application/json\n"+lines+"\n\n")
				if res.StatusCode != 200 {
					t.Fatalf("code %d", res.StatusCode)
				}
				r := api.last(t)
				if got := r.Header.Values("Authorization"); !slices.Equal(got, []string{"Bearer " + tokenNumber(0).Value()}) {
					t.Errorf("Authorization has %d values, or not the token", len(got))
				}
				for name := range r.Header {
					if !slices.Contains([]string{"Authorization", "Accept"}, name) {
						t.Errorf("%s: %q came through", name, r.Header[name])
					}
				}
				if r.URL.RequestURI() != "/api/v1/pods?limit=1" || "https://"+r.Host != api.URL {
					t.Errorf("it asks %s for %s", r.Host, r.URL.RequestURI())
				}
				warned := strings.Contains(strings.Join(res.Header.Values("Warning"), ""), "impersonation is not passed on")
				if warned != strings.HasPrefix(strings.ToLower(strings.ReplaceAll(lines, "Connection: ", "")), "impersonate-") {
					t.Errorf("warned: %v", warned)
				}
			})
		}
	}
}

// Headers that clients need stay.
func TestHeadersThatPass(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target()})
	r := f.request(t, http.MethodPatch, "/api", strings.NewReader("{}"))
	want := http.Header{
		"Accept": {"application/vnd.kubernetes.protobuf"}, "Content-Type": {"application/merge-patch+json"}, "Accept-Encoding": {"gzip"},
		"User-Agent": {"kubectl/v1"}, "Kubectl-Command": {"kubectl patch"}, "If-Match": {"1"}, "Audit-Id": {"x"},
	}
	for name, values := range want {
		r.Header[name] = values
	}
	if code, _ := do(t, f.client(true), r); code != 200 {
		t.Fatal(code)
	}
	for name, values := range want {
		if got := api.last(t).Header[name]; !slices.Equal(got, values) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Trailers name nobody: neither as themselves nor as headers.
func TestTrailersStay(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		api := newStub(t, http2, nil)
		f := serve(t, authproxy.Config{Target: api.target()})
		r := f.request(t, http.MethodPost, "/api", io.MultiReader(strings.NewReader("body")))
		r.ContentLength = -1
		r.Trailer = http.Header{"Impersonate-User": {"root"}, "X-Remote-User": {"root"}, "Harmless": {"x"}}
		if code, _ := do(t, f.client(http2), r); code != 200 {
			t.Fatal(code)
		}
		got := api.last(t)
		if len(got.Trailer) > 0 || got.Header.Get("Trailer") != "" || got.Header.Get("Impersonate-User") != "" {
			t.Errorf("trailers %q, headers %q", got.Trailer, got.Header)
		}
		if len(got.Header.Values("Authorization")) != 1 {
			t.Error("two Authorizations")
		}
	}
}

// A page cannot make it send what the last client sent.
func TestTokenIsNotTheClients(t *testing.T) {
	api := newStub(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	f := serve(t, authproxy.Config{Target: api.target()})
	if code, _ := do(t, f.client(true), f.request(t, http.MethodGet, "/api", nil)); code != http.StatusForbidden {
		t.Errorf("a 403 of the API server became %d", code)
	}
	for name, values := range api.last(t).Header {
		if strings.Contains(strings.Join(values, ""), bearer) {
			t.Errorf("the proxy's bearer went on in %s", name)
		}
	}
}

// HTTP/2 has its own ways to say a host and a header.
func TestHTTP2Sender(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target()})
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		code   int
	}{
		{"well", func(*http.Request) {}, 200},
		{"DNS rebinding", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"a foreign page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"another bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer other") }, 401},
		{"two bearers", func(r *http.Request) { r.Header.Add("Authorization", "Bearer other") }, 401},
		{"no bearer", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"impersonation", func(r *http.Request) { r.Header["impersonate-user"] = []string{"root"} }, 200},
		{"an identity", func(r *http.Request) { r.Header["x-remote-user"] = []string{"root"} }, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(api.requests())
			r := f.request(t, http.MethodGet, "/api", nil)
			tt.change(r)
			res, err := f.client(true).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != tt.code || res.ProtoMajor != 2 || (len(api.requests()) > before) != (tt.code == 200) {
				t.Errorf("%s %s", res.Proto, res.Status)
			}
			if tt.code == 200 {
				for name := range api.last(t).Header {
					if strings.HasPrefix(name, "Impersonate-") || strings.HasPrefix(name, "X-Remote-") {
						t.Errorf("%s came through", name)
					}
				}
			}
		})
	}
}
