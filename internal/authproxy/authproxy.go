// Package authproxy is a reverse proxy to one Kubernetes API server that adds a token
// to each request, for clients on this machine that cannot mint tokens.
//
// Whoever connects acts as the proxy's owner, so it controls access: it must be served
// on loopback or on a Unix socket ([Listen]), requires its own bearer token on
// loopback, and refuses requests of foreign web pages. It forwards nothing that claims
// an identity: it removes Authorization, Impersonate-*, X-Remote-* and similar headers.
package authproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/token"
)

const (
	// DefaultDrain is the time for requests in flight when the proxy stops.
	DefaultDrain = 10 * time.Second
	// headerTimeout bounds the time until a request's headers have arrived.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long an idle connection is kept.
	idleTimeout = 2 * time.Minute
	// refusedTimeout bounds the reading of a refused request, and the response.
	refusedTimeout = time.Second
	// maxLogged is how much of a path is logged, in bytes.
	maxLogged = 256
	// maxHeader is larger than the headers of any client, in bytes.
	maxHeader = 64 << 10
	// maxStreams is the maximum of concurrent requests on one HTTP/2 connection. Each
	// watch of a controller is one.
	maxStreams = 1000
	// cutGrace is the time for handlers to notice that they were cut.
	cutGrace = 2 * time.Second
)

// Tokens provides tokens, as a *token.Keeper does.
type Tokens interface {
	// Token returns a valid token.
	Token(ctx context.Context) (token.Token, error)
	// Worked reports that the API server accepted a token.
	Worked(t token.Token)
	// Replace returns another token after one was refused, or false.
	Replace(ctx context.Context, refused token.Token) (tok token.Token, ok bool, err error)
}

// Config configures a Proxy.
type Config struct {
	// Target is the API server. Required.
	Target Target
	// Resolve finds the API server again if its name, address or certificate no longer
	// works. Nil means that it is fixed.
	Resolve func(ctx context.Context) (Target, error)
	// Tokens are added to requests. Required.
	Tokens Tokens
	// Bearer is the bearer token that clients must send. Empty means that everybody who
	// can connect has access, which is for sockets that only their owner can open.
	Bearer string
	// AnyHost ignores the Host header, for Unix sockets: no browser connects to them,
	// and their clients invent a host.
	AnyHost bool
	// ReadOnly forwards only GET, HEAD and OPTIONS, and of those no upgrade and no
	// access to pods and nodes.
	ReadOnly bool
	// Proxy selects an HTTP proxy for the API server; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Drain is the time for requests in flight when the proxy stops; zero means
	// DefaultDrain.
	Drain time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives requests (debug) and failures (warn), without secrets. Nil means no
	// log.
	Log *slog.Logger
}

// Proxy is the reverse proxy, an http.Handler. Create it with New.
type Proxy struct {
	cfg         Config
	handler     *httputil.ReverseProxy
	current     atomic.Pointer[upstream]
	rediscovery rediscovery
	active      active
}

// New returns a Proxy. It fails with *TargetError and uses no network.
func New(c Config) (*Proxy, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Drain <= 0 {
		c.Drain = DefaultDrain
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Proxy{cfg: c}
	u, err := newUpstream(c.Target, c.Proxy)
	if err != nil {
		return nil, err
	}
	p.current.Store(u)
	p.handler = &httputil.ReverseProxy{
		Rewrite:      rewrite,
		Transport:    p,
		BufferPool:   &buffers{},
		ErrorHandler: p.failed,
		ErrorLog:     slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return p, nil
}

// ServeHTTP forwards an allowed request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.active.add(1)
	defer p.active.add(-1)
	if p.cfg.Log.Enabled(r.Context(), slog.LevelDebug) {
		began := p.cfg.Now()
		recorder := &statusRecorder{ResponseWriter: w}
		w = recorder
		defer func() {
			// Only the path: a query may contain secrets.
			p.cfg.Log.Debug("request", "method", r.Method, "path", clip(r.URL.Path), "protocol", r.Proto, "status", recorder.status, "took", p.cfg.Now().Sub(began))
		}()
	}
	if no := p.checkSender(r); no != nil {
		// Every local user can cause this at any rate.
		p.refuse(w, r, no, slog.LevelDebug)
		return
	}
	if no := p.check(r); no != nil {
		p.refuse(w, r, no, slog.LevelWarn)
		return
	}
	if impersonates(r.Header) {
		// kubectl shows warnings of code 299.
		w.Header().Add("Warning", `299 - "ekskey proxy: impersonation is not passed on; this was asked as you yourself"`)
	}
	p.handler.ServeHTTP(w, r)
}

// refuse answers a request that is not forwarded. The server would otherwise read the
// rest of its body first, for as long as that takes.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, no *Status, level slog.Level) {
	p.cfg.Log.Log(r.Context(), level, "request refused", "method", r.Method, "path", clip(r.URL.Path), "reason", no.Message)
	// The server's clock, not Config.Now. Writers without deadlines have no connection.
	deadline, c := time.Now().Add(refusedTimeout), http.NewResponseController(w)
	_ = c.SetReadDeadline(deadline)
	// Otherwise a client that reads no response, as HTTP/2 allows, would keep its
	// request in memory.
	_ = c.SetWriteDeadline(deadline)
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	writeStatus(w, r, no)
}

// clip is the beginning of a path, for the log.
func clip(path string) string {
	if len(path) > maxLogged {
		return path[:maxLogged] + "..."
	}
	return path
}

// Serve serves a listener until the context ends, and then drains: it accepts no new
// requests, waits Config.Drain for those in flight, and cuts the rest. Then it returns
// nil. With a certificate it uses TLS; without one it accepts HTTP/2 with prior
// knowledge. It closes the listener.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, cert *tls.Certificate) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cert != nil)
	protocols.SetUnencryptedHTTP2(cert == nil)
	s := &http.Server{
		Handler: p, Protocols: protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true, // it would need no bearer token
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ErrorLog:                     slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if cert == nil {
			ended <- s.Serve(l)
			return
		}
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
		ended <- s.ServeTLS(l, "", "")
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	p.cfg.Log.Info("draining", "requests", p.active.count(), "at most", p.cfg.Drain)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Drain)
	defer cancel()
	err := s.Shutdown(drain)
	if err == nil {
		// Shutdown does not wait for upgraded connections.
		err = p.active.wait(drain)
	}
	if err != nil {
		p.cfg.Log.Info("cutting the remaining requests", "requests", p.active.count())
		cut()
		_ = s.Close()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
		defer cancel()
		_ = p.active.wait(grace)
	}
	p.current.Load().close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// active counts requests in flight.
type active struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there are none; made by the waiter
}

func (a *active) add(d int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n += d
	if a.n == 0 && a.none != nil {
		close(a.none)
		a.none = nil
	}
}

func (a *active) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

func (a *active) wait(ctx context.Context) error {
	a.mu.Lock()
	if a.n == 0 {
		a.mu.Unlock()
		return nil
	}
	if a.none == nil {
		a.none = make(chan struct{})
	}
	none := a.none
	a.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// statusRecorder records the status for the log.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// buffers are for copying responses.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}

// hostOnly is a host without its port.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}
