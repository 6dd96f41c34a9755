package servercli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ekskey/ekskey/internal/audit"
	"github.com/ekskey/ekskey/internal/authorizer"
	"github.com/ekskey/ekskey/internal/listener"
	"github.com/ekskey/ekskey/internal/review"
	"github.com/ekskey/ekskey/internal/servingtls"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// maxBodies bounds what the bodies of all requests hold, in bytes.
const maxBodies = 32 << 20

// drainTimeout bounds the wait for requests in flight, and auditTimeout that for the audit
// log after them.
const (
	drainTimeout = 15 * time.Second
	auditTimeout = 5 * time.Second
)

// maxProbes bounds the connections of the health port.
const maxProbes = 64

// server is a server that listens and does not serve yet.
type server struct {
	config   *config
	log      *slog.Logger
	registry *prometheus.Registry
	live     *live
	serving  *servingtls.Serving
	audit    *audit.Log
	webhook  *webhook.Handler
	access   *authorizer.Handler

	front     *listener.TLS
	health    net.Listener // or nil
	profiling net.Listener // or nil
	stopping  atomic.Bool
	partsMu   sync.Mutex
	failing   string // the parts that were not ready when they were last looked at
}

// serve serves until the context ends, and then until the requests in flight are
// finished.
func serve(ctx context.Context, c *config, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		// The heap is small, so collecting half as often costs some megabytes and saves a
		// twentieth of the CPU time.
		debug.SetGCPercent(200)
	}
	s, err := newServer(ctx, c, log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// newServer reads everything and opens the listeners.
func newServer(ctx context.Context, c *config, log *slog.Logger) (s *server, err error) {
	s = &server{config: c, log: log, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := prepareState(c); err != nil {
		return s, err
	}
	if s.live, err = newLive(c, log, s.registry); err != nil {
		return s, err
	}
	var port int
	var pair servingtls.Pair
	use := func(p servingtls.Pair) error { return writeKubeconfig(c, port, p.Cert) }
	if s.serving, pair, err = newServing(ctx, c, log, s.live.reloads, use); err != nil {
		return s, err
	}
	if s.audit, err = openAudit(c, log); err != nil {
		return s, err
	}
	raw, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listenAddress())
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = &hintError{err, "another program, perhaps another ekskey-server, has that port: stop it or set server.port"}
		}
		return s, err
	}
	s.front = listener.NewTLS(raw, s.serving.TLS, log, s.registry)
	port = raw.Addr().(*net.TCPAddr).Port
	if err := use(pair); err != nil {
		return s, err
	}
	if s.health, err = listenHealth(ctx, c, log); err != nil {
		return s, err
	}
	if c.server.pprofAddress != "" {
		if s.profiling, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.server.pprofAddress); err != nil {
			return s, fmt.Errorf("server.pprofAddress: %w", err)
		}
	}
	s.webhook = webhook.New(webhook.Config{
		Verifier: s.live, Mapper: s.live, Audiences: c.server.audiences, ScrubbedAccounts: c.server.scrubbedAccounts,
		Log: log, Metrics: webhook.NewMetrics(s.registry), Audit: s.audit,
	})
	s.access = authorizer.New(authorizer.Config{Entries: s.live, Log: log, Metrics: authorizer.NewMetrics(s.registry)})
	s.register()
	return s, nil
}

// close closes what newServer opened.
func (s *server) close() error {
	var errs []error
	if s.front != nil {
		errs = append(errs, s.front.Close())
	}
	for _, l := range []net.Listener{s.health, s.profiling} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(append(errs, s.audit.Close(auditTimeout))...)
}

// run serves.
func (s *server) run(ctx context.Context) error {
	quiet := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	if s.health != nil {
		probes := &http.Server{
			Handler: s.healthRoutes(http.NewServeMux()), ReadHeaderTimeout: 2 * time.Second,
			WriteTimeout: 2 * time.Second, MaxHeaderBytes: 8 << 10, ErrorLog: quiet,
		}
		probes.SetKeepAlivesEnabled(false)
		go func() { _ = probes.Serve(listener.Limit(s.health, maxProbes)) }()
		defer func() { _ = probes.Close() }()
	}
	if s.profiling != nil {
		profiles := &http.Server{Handler: profileRoutes(), ReadHeaderTimeout: 2 * time.Second, ErrorLog: quiet}
		go func() { _ = profiles.Serve(s.profiling) }()
		defer func() { _ = profiles.Close() }()
	}
	budget := review.NewBudget(maxBodies)
	server := &http.Server{
		Handler:   s.serving.Admit(s.routes()),
		ConnState: s.front.ConnState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return s.serving.ConnContext(budget.Conn(ctx), s.front, c)
		},
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          quiet,
		TLSConfig:         s.serving.TLS(),
	}
	follow, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	go s.live.run(follow)
	go s.serving.Run(follow)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go s.rereadAt(follow, hangups)

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.front) }()
	s.log.Info("serving", "address", s.front.Addr().String(), "cluster", s.config.clusterID, "partition", s.config.server.partition)

	select {
	case err := <-ended:
		return errors.Join(fmt.Errorf("serving: %w", err), s.audit.Close(auditTimeout))
	case <-ctx.Done():
	}
	// Readiness fails first, so that clients stop sending before the listener closes.
	s.stopping.Store(true)
	s.log.Info("stopping")
	time.Sleep(s.config.server.shutdownDelay)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("stopping: requests were still in flight: %w", err)
	}
	return errors.Join(err, s.audit.Close(auditTimeout))
}

// routes has health and metrics beside the reviews. With a client CA the handshake has
// demanded a certificate; probes, which have none, use server.healthAddress.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(webhook.Path, s.webhook)
	mux.Handle(authorizer.Path, s.access)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return s.healthRoutes(mux)
}

func newVerifier(c *config) (*verify.Verifier, error) {
	s := &c.server
	roots, err := servingtls.LoadPool(s.sts.caFile)
	if err != nil {
		return nil, fmt.Errorf("reading server.sts.caFile: %w", err)
	}
	var proxy func(*http.Request) (*url.URL, error)
	if s.sts.proxy != "" {
		u, err := url.Parse(s.sts.proxy)
		// Source of the schemes: net/http.Transport.Proxy.
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			return nil, &configError{path: c.path, text: "server.sts.proxy is not the URL of an http, https or socks5 proxy"}
		}
		proxy = http.ProxyURL(u)
	}
	v, err := verify.New(verify.Config{
		Cluster: c.clusterID,
		Policy: token.Policy{
			Partition: s.partition, Regions: s.sts.regions, OnlyRegions: s.sts.allowedRegions, ExtraHosts: s.sts.extraHosts,
			MaxAge: s.maxTokenAge, DeniedKeys: s.deniedAccessKeys,
		},
		DialAddress: s.sts.dialAddress, RootCAs: roots, Proxy: proxy, Timeout: s.sts.timeout,
		AllowAccounts: s.allowedAccounts, DenyAccounts: s.deniedAccounts,
		// The mapping accepts a root only if an entry names it.
		AllowRoot: true,
	})
	if err != nil {
		e := &configError{path: c.path, text: err.Error()}
		if s.node != nil {
			e.line = s.node.Line
		}
		return nil, e
	}
	return v, nil
}

// listenHealth opens the port of server.healthAddress, or returns nil if there is none.
// That the default port is in use is no error: nobody asked for it.
func listenHealth(ctx context.Context, c *config, log *slog.Logger) (net.Listener, error) {
	address := c.server.healthAddress
	configured := address != ""
	switch {
	case address == "none", !configured && c.server.port == 0: // then nothing is at a known port
		return nil, nil
	case !configured:
		address = defaultHealthAddress
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case configured:
		return nil, fmt.Errorf("server.healthAddress: %w", err)
	}
	log.Warn("health is not served: set server.healthAddress", "address", address, "reason", err.Error())
	return nil, nil
}
