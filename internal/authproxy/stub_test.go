package authproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/authproxy"
	"github.com/ekskey/ekskey/token"
)

const bearer = "the-bearer-of-the-proxy"

// stub is a stand-in for an API server, and for the kubelet behind it: it notes
// what comes, and answers as a handler says. It is no Kubernetes.
type stub struct {
	*httptest.Server
	ca []byte

	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	conns  int
	handle http.HandlerFunc // nil: 200 and an empty object
}

func newStub(t *testing.T, http2 bool, handle http.HandlerFunc) *stub {
	t.Helper()
	s := &stub{handle: handle}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}
	s.StartTLS()
	t.Cleanup(s.CloseClientConnections)
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return s
}

func (s *stub) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/stream") || r.Header.Get("Upgrade") != "" {
		s.note(r, "")
		s.handle(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.note(r, string(body))
	if s.handle != nil {
		s.handle(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

func (s *stub) note(r *http.Request, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got, s.bodies = append(s.got, r), append(s.bodies, body)
}

func (s *stub) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func (s *stub) last(t *testing.T) *http.Request {
	t.Helper()
	got := s.requests()
	if len(got) == 0 {
		t.Fatal("nothing came through")
	}
	return got[len(got)-1]
}

func (s *stub) target() authproxy.Target { return authproxy.Target{Server: s.URL, CA: s.ca} }

// fakeTokens counts, and has another token after each refusal.
type fakeTokens struct {
	mu      sync.Mutex
	at      int
	refused int
	worked  []string
	stuck   bool // there is no other
	err     error
}

func tokenNumber(i int) token.Token {
	source, err := token.New(token.Config{
		Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC) },
	})
	if err != nil {
		panic(err)
	}
	tok, err := source.Token(context.Background())
	if err != nil {
		panic(err)
	}
	return tok
}

func (f *fakeTokens) Token(context.Context) (token.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return tokenNumber(f.at), f.err
}

func (f *fakeTokens) Worked(t token.Token) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.worked = append(f.worked, t.Value())
}

func (f *fakeTokens) Replace(_ context.Context, t token.Token) (token.Token, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck {
		return token.Token{}, false, f.err
	}
	if t.Value() == tokenNumber(f.at).Value() {
		f.refused++
		f.at++
	}
	return tokenNumber(f.at), true, nil
}

// front is a proxy that is served.
type front struct {
	address string
	pool    *x509.CertPool
	stop    context.CancelFunc
	ended   chan error
	log     *lockedBuffer
	clients []*http.Transport
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, c authproxy.Config) *front {
	t.Helper()
	if c.Tokens == nil {
		c.Tokens = &fakeTokens{}
	}
	c.Bearer = bearer
	f := &front{log: &lockedBuffer{}, ended: make(chan error, 1)}
	c.Log = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, err := authproxy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := authproxy.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	cert, ca, err := authproxy.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.pool = x509.NewCertPool()
	f.pool.AppendCertsFromPEM(ca)
	f.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() { f.ended <- p.Serve(ctx, l, &cert); close(f.ended) }()
	t.Cleanup(func() {
		for _, c := range f.clients {
			c.CloseIdleConnections()
		}
		cancel()
		<-f.ended
		for i := range 4 {
			if strings.Contains(f.log.String(), tokenNumber(i).Value()) || strings.Contains(f.log.String(), bearer) {
				t.Error("a secret is in the log")
			}
		}
	})
	return f
}

func (f *front) client(http2 bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.pool}, ForceAttemptHTTP2: http2, DisableCompression: true,
	}
	f.clients = append(f.clients, transport)
	return &http.Client{Timeout: 20 * time.Second, Transport: transport}
}

func (f *front) dial(t *testing.T) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", f.address, &tls.Config{RootCAs: f.pool, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// raw sends bytes as they are, and gives the answer.
func (f *front) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	c := f.dial(t)
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (f *front) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+f.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	return r
}

func do(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// statusOf reads the proxy's own answer.
func statusOf(t *testing.T, body io.Reader) authproxy.Status {
	t.Helper()
	var s authproxy.Status
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Kind != "Status" || s.APIVersion != "v1" || s.Status != "Failure" || s.Code == 0 || s.Message == "" {
		t.Errorf("no Status of Kubernetes: %+v", s)
	}
	return s
}
