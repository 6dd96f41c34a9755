package awsconf_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// metadata is an instance metadata service, version 2: nothing without a session
// token.
type metadata struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	requests []string
}

func newMetadata(t *testing.T, k fakeaws.Key) *metadata {
	t.Helper()
	m := &metadata{t: t}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests = append(m.requests, r.Method+" "+r.URL.Path)
		m.mu.Unlock()
		const token, roles = "/latest/api/token", "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == token && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = fmt.Fprint(w, "session")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session":
			http.Error(w, "", http.StatusUnauthorized)
		case r.URL.Path == roles:
			_, _ = fmt.Fprint(w, "node")
		case r.URL.Path == roles+"node":
			_, _ = fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"Expiration":"2099-01-01T00:00:00Z"}`, k.AccessKeyID, k.SecretAccessKey, k.SessionToken)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	m.url = srv.URL
	return m
}

// enable points the environment at it.
func (m *metadata) enable() {
	m.t.Helper()
	m.t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	m.t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", m.url)
}

func (m *metadata) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.requests)
}

// TestMetadataProtocol: one question each, with a session token.
func TestMetadataProtocol(t *testing.T) {
	s := newSources(t)
	s.metadata.enable()
	whoAmI(t, load(t, awsconf.Config{}))
	want := []string{"PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/", "GET /latest/meta-data/iam/security-credentials/node"}
	if !slices.Equal(s.metadata.requests, want) {
		t.Errorf("got %v, want %v", s.metadata.requests, want)
	}
}

// TestMetadataOnce: a service that fails is not asked again, and one that hangs
// is not waited for twice.
func TestMetadataOnce(t *testing.T) {
	released := make(chan struct{})
	for _, tt := range []struct {
		name    string
		disable string
		answer  http.HandlerFunc
		want    []string
	}{
		{"hangs", "", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}, []string{"PUT", "GET"}}, // of version 2, then of version 1, within the same second
		{"has no role", "", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
				_, _ = fmt.Fprint(w, "session")
				return
			}
			http.NotFound(w, r)
		}, []string{"PUT", "GET"}},
		{"is throttled", "", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
				_, _ = fmt.Fprint(w, "session")
				return
			}
			http.Error(w, "", http.StatusTooManyRequests)
		}, []string{"PUT", "GET"}},
		{"cuts", "", func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		}, []string{"PUT", "GET"}}, // of version 2, then of version 1, within the same second
		{"is turned off", "true", func(http.ResponseWriter, *http.Request) {}, nil},
		{"is turned off in other case", "TRUE", func(http.ResponseWriter, *http.Request) {}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)
			var mu sync.Mutex
			var methods []string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				methods = append(methods, r.Method)
				mu.Unlock()
				tt.answer(w, r)
			}))
			defer srv.Close()
			t.Setenv("AWS_EC2_METADATA_DISABLED", tt.disable)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.URL)
			_, err := load(t, awsconf.Config{}).Credentials().Retrieve(t.Context())
			var none *awserr.CredentialsError
			if !errors.As(err, &none) || none.Cause != "no AWS credentials found" || !strings.HasPrefix(none.Hint, "set AWS_ACCESS_KEY_ID") {
				t.Errorf("%v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(methods, tt.want) {
				t.Errorf("it was asked by %v, want %v", methods, tt.want)
			}
		})
	}
	close(released)
}
