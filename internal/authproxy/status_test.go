package authproxy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// client-go shows the reason of a failed discovery only if it is plain text, and has
// words of its own for 503.
func TestReasonOfFailedDiscovery(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), Tokens: &fakeTokens{err: errors.New("AccessDenied")}})
	for path, plain := range map[string]bool{
		"/api": true, "/apis": true, "/version": true, "/api/v1": true, "/apis/apps": true, "/apis/apps/v1": true,
		"/openapi/v3": true, "/openapi/v2": true,
		"/": false, "/api/v1/pods": false, "/api/v1/namespaces/a/pods": false, "/apis/apps/v1/deployments": false,
		"/healthz": false, "/apiserver": false,
	} {
		res, err := f.client(true).Do(f.request(t, http.MethodGet, path, nil))
		if err != nil {
			t.Fatal(err)
		}
		kind := res.Header.Get("Content-Type")
		if plain {
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != 502 || !strings.HasPrefix(kind, "text/plain") || string(text) != "ekskey proxy: AccessDenied\n" {
				t.Errorf("%s: %d %s %q", path, res.StatusCode, kind, text)
			}
		} else if s := statusOf(t, res.Body); res.StatusCode != 503 || kind != "application/json" || s.Message != "ekskey proxy: AccessDenied" {
			t.Errorf("%s: %d %s %q", path, res.StatusCode, kind, s.Message)
		}
		_ = res.Body.Close()
	}
}
