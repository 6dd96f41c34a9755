// Package authproxy is a reverse proxy to one Kubernetes API server that adds a
// token to each request, for clients on this machine that can make none.
//
// Who reaches it acts as its owner, so it is careful about who does: it is to be
// served on loopback or on a Unix socket ([Listen]), wants a bearer of its own on
// the former, and refuses what a browser sends for a foreign page. Nothing that
// says who asks goes through it: it strips Authorization, Impersonate-*,
// X-Remote-* and their like.
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
	// DefaultDrain is how long requests under way have when the proxy is to end.
	DefaultDrain = 10 * time.Second
	// headerTimeout bounds the time in which a request's headers arrive.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection without requests is kept.
	idleTimeout = 2 * time.Minute
	// refusedTimeout bounds what is read of a request after it was refused, and the answer.
	refusedTimeout = time.Second
	// maxLogged is how much of a path is logged, in bytes.
	maxLogged = 256
	// maxHeader is more than the headers of any client have, in bytes.
	maxHeader = 64 << 10
	// maxStreams is how many requests one HTTP/2 connection may have at once. Each
	// watch of a controller is one.
	maxStreams = 1000
	// cutGrace is how long handlers have to notice that they were cut.
	cutGrace = 2 * time.Second
)

// Tokens gives tokens, as a *token.Keeper does.
type Tokens interface {
	// Token gives one that is good.
	Token(ctx context.Context) (token.Token, error)
	// Worked tells that the API server has taken one.
	Worked(t token.Token)
	// Replace gives the one to try in place of one that was refused, or false.
	Replace(ctx context.Context, refused token.Token) (tok token.Token, ok bool, err error)
}

// Config says what to stand in front of, and for whom.
type Config struct {
	// Target is the API server. Needed.
	Target Target
	// Resolve asks again where the API server is, when its name, its address or its
	// certificate does not do any more. Nil means that it is never asked.
	Resolve func(ctx context.Context) (Target, error)
	// Tokens are what is added. Needed.
	Tokens Tokens
	// Bearer is what clients must send as their bearer token. Empty means that
	// whoever can connect may ask, which is for sockets that only their owner can
	// open.
	Bearer string
	// AnyHost leaves the Host header alone, for Unix sockets, which no browser
	// connects to and whose clients make up a host.
	AnyHost bool
	// ReadOnly lets only GET, HEAD and OPTIONS through, and none of them that
	// upgrade or that reach into pods and nodes.
	ReadOnly bool
	// Proxy chooses a proxy on the way to the API server; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Drain is how long requests under way have once the proxy is to end; zero
	// means DefaultDrain.
	Drain time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets requests (debug) and failures (warn), without a secret. Nil means none.
	Log *slog.Logger
}

// Proxy is the reverse proxy, an http.Handler. Make one with New.
type Proxy struct {
	cfg     Config
	handler *httputil.ReverseProxy
	current atomic.Pointer[upstream]
	asking  asking
	active  active
}

// New makes a Proxy. It fails with *TargetError and touches no network.
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

// ServeHTTP passes on a request that may be.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.active.add(1)
	defer p.active.add(-1)
	if p.cfg.Log.Enabled(r.Context(), slog.LevelDebug) {
		began := p.cfg.Now()
		seen := &seen{ResponseWriter: w}
		w = seen
		defer func() {
			// The path alone: a query may hold what nobody should read.
			p.cfg.Log.Debug("request", "method", r.Method, "path", clip(r.URL.Path), "protocol", r.Proto, "status", seen.status, "took", p.cfg.Now().Sub(began))
		}()
	}
	if no := p.checkSender(r); no != nil {
		// Everybody on this machine can do this as often as he likes.
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

// refuse answers a request of which nothing is passed on. The server would read
// what is left of its body first, for as long as that takes.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, no *Status, level slog.Level) {
	p.cfg.Log.Log(r.Context(), level, "request refused", "method", r.Method, "path", clip(r.URL.Path), "reason", no.Message)
	// The server's clock, not Config.Now. Writers that have none have no connection.
	deadline, c := time.Now().Add(refusedTimeout), http.NewResponseController(w)
	_ = c.SetReadDeadline(deadline)
	// Who takes no bytes of the answer, as HTTP/2 lets him say, would hold all that he sent.
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

// Serve answers on a listener until the context ends, and then drains: no new
// requests, those under way are given Config.Drain, and what is left is cut. It
// returns nil then. A certificate makes it speak TLS, and without one it takes
// HTTP/2 from clients that know of it. It closes the listener.
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
		DisableGeneralOptionsHandler: true, // which asks for no bearer
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
		// Shutdown does not know of connections that were upgraded.
		err = p.active.wait(drain)
	}
	if err != nil {
		p.cfg.Log.Info("cutting what is left", "requests", p.active.count())
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

// active counts requests under way.
type active struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there are none; made by who waits
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

// seen notes the status for the log.
type seen struct {
	http.ResponseWriter
	status int
}

func (s *seen) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap leads http.ResponseController to what it needs.
func (s *seen) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// buffers are for copying answers.
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
