package kubeclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

const (
	testKey    = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// api is a small API server that takes tokens of one age only.
type api struct {
	maxAge time.Duration

	mu      sync.Mutex
	seen    map[string]bool // tokens
	revoked map[string]bool

	lists, watches, events, refusals, http2 atomic.Int64
}

func newAPI(maxAge time.Duration) *api {
	return &api{maxAge: maxAge, seen: map[string]bool{}, revoked: map[string]bool{}}
}

// tokens is how many different ones were shown.
func (a *api) tokens() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

// revoke refuses all tokens shown so far.
func (a *api) revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for tok := range a.seen {
		a.revoked[tok] = true
	}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		a.http2.Add(1)
	}
	tok := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := token.Policy{MaxAge: a.maxAge}.Check(tok)
	a.mu.Lock()
	if tok != "" {
		a.seen[tok] = true
	}
	revoked := a.revoked[tok]
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case err != nil || revoked:
		a.refusals.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
	case r.URL.Query().Get("watch") != "":
		a.watches.Add(1)
		a.watch(w, r)
	case r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	default:
		a.lists.Add(1)
		_, _ = fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`+
			`{"metadata":{"name":"one","namespace":"default"}},{"metadata":{"name":"two","namespace":"shop"}}]}`)
	}
}

// watch sends an event a second.
func (a *api) watch(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			a.events.Add(1)
			_, _ = fmt.Fprintln(w, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"one","namespace":"default","resourceVersion":"2"}}}`)
			w.(http.Flusher).Flush()
		}
	}
}

// pipes is a network within the process, which a synctest bubble can wait for.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// serve runs an API server on pipes until the returned function is called.
func (p *pipes) serve(t *testing.T, h http.Handler) (ca []byte, stop func()) {
	t.Helper()
	cert, ca := tlstest.Certificate(t, "api.test")
	server := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.ServeTLS(p, "", "") })
	return ca, func() {
		_ = server.Close()
		wg.Wait()
	}
}

// counted are keys that count how often they are asked for: once a token.
func counted(n *atomic.Int64) aws.CredentialsProvider {
	keys := token.StaticKeys(testKey, testSecret, "")
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		n.Add(1)
		return keys.Retrieve(ctx)
	})
}

// noAWS keeps the environment of whoever runs the tests out.
func noAWS(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL": "", "AWS_CA_BUNDLE": "", "AWS_ROLE_SESSION_NAME": "",
		"HTTPS_PROXY": "", "https_proxy": "", "KUBERNETES_SERVICE_HOST": "",
	} {
		t.Setenv(name, value)
	}
	folder := t.TempDir()
	t.Setenv("HOME", folder)
	t.Setenv("AWS_CONFIG_FILE", folder+"/config")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", folder+"/credentials")
}
