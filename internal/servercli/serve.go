package servercli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ekskey/ekskey/internal/authorizer"
	"github.com/ekskey/ekskey/internal/review"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// maxBodies bounds what the bodies of all requests hold, in bytes.
const maxBodies = 32 << 20

// drainTimeout bounds the wait for requests in flight.
const drainTimeout = 15 * time.Second

// serve serves until the context ends, and then until the requests in flight are
// finished.
func serve(ctx context.Context, c *config, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		// The heap is small, so collecting half as often costs some megabytes and saves a
		// twentieth of the CPU time.
		debug.SetGCPercent(200)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if err := prepareState(c); err != nil {
		return err
	}
	live, err := newLive(c, log, registry)
	if err != nil {
		return err
	}
	pair, certPEM, err := loadCertificate(ctx, c, time.Now())
	if err != nil {
		return err
	}
	clientCAs, err := loadPool(c.server.clientCAFile)
	if err != nil {
		return fmt.Errorf("reading server.clientCAFile: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listenAddress())
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = &hintError{err, "another program, perhaps another ekskey-server, has that port: stop it or set server.port"}
		}
		return err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := writeKubeconfig(c, port, certPEM); err != nil {
		return errors.Join(err, listener.Close())
	}

	handler := webhook.New(webhook.Config{
		Verifier: live, Mapper: live, Audiences: c.server.audiences,
		ScrubbedAccounts: c.server.scrubbedAccounts, Log: log, Metrics: webhook.NewMetrics(registry),
	})
	access := authorizer.New(authorizer.Config{Entries: live, Log: log, Metrics: authorizer.NewMetrics(registry)})
	var ready atomic.Bool
	health, err := listenHealth(ctx, c, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if health != nil {
		probes := &http.Server{
			Handler: healthRoutes(http.NewServeMux(), &ready), ReadHeaderTimeout: 2 * time.Second,
			WriteTimeout: 2 * time.Second, MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		probes.SetKeepAlivesEnabled(false)
		go func() { _ = probes.Serve(health) }()
		defer func() { _ = probes.Close() }()
	}
	tlsConfig := newTLSConfig(pair, clientCAs)
	front := newFront(listener, tlsConfig, log)
	budget := review.NewBudget(maxBodies)
	server := &http.Server{
		Handler:           routes(handler, access, registry, &ready),
		ConnState:         front.follow,
		ConnContext:       func(ctx context.Context, _ net.Conn) context.Context { return budget.Conn(ctx) },
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig:         tlsConfig,
	}
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	go live.run(followCtx)

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(front) }()
	ready.Store(true)
	log.Info("serving", "address", listener.Addr().String(), "cluster", c.clusterID, "partition", c.server.partition)

	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	// Readiness fails first, so that clients stop sending before the listener closes.
	ready.Store(false)
	log.Info("stopping")
	time.Sleep(c.server.shutdownDelay)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("stopping: requests were still in flight: %w", err)
	}
	return nil
}

func newVerifier(c *config) (*verify.Verifier, error) {
	s := &c.server
	roots, err := loadPool(s.sts.caFile)
	if err != nil {
		return nil, fmt.Errorf("reading server.sts.caFile: %w", err)
	}
	var proxy func(*http.Request) (*url.URL, error)
	if s.sts.proxy != "" {
		u, err := url.Parse(s.sts.proxy)
		if err != nil || u.Host == "" {
			return nil, &configError{path: c.path, text: "server.sts.proxy is not a URL"}
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

// loadPool reads CA certificates; an empty name returns nil.
func loadPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := safefile.ReadTrusted(file, 4<<20)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}

// newTLSConfig demands a certificate in the handshake if there is a client CA. Sessions
// are not resumed, so that every connection shows its certificate.
func newTLSConfig(pair tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true,
	}
	if clientCAs != nil {
		c.ClientCAs, c.ClientAuth = clientCAs, tls.RequireAndVerifyClientCert
	}
	return c
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

// routes has health and metrics beside the reviews. With a client CA the handshake has
// demanded a certificate; probes, which have none, use server.healthAddress.
func routes(reviews, access http.Handler, registry *prometheus.Registry, ready *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(webhook.Path, reviews)
	mux.Handle(authorizer.Path, access)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return healthRoutes(mux, ready)
}

func healthRoutes(mux *http.ServeMux, ready *atomic.Bool) http.Handler {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	return mux
}
