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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// maxConnections bounds idle and slow connections.
const maxConnections = 4096

// drainTimeout bounds the wait for requests in flight.
const drainTimeout = 15 * time.Second

// serve serves until the context ends, and then until the requests in flight are
// finished.
func serve(ctx context.Context, c *config, log *slog.Logger) error {
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
	listener = netutil.LimitListener(listener, maxConnections)
	if err := writeKubeconfig(c, port, certPEM); err != nil {
		return errors.Join(err, listener.Close())
	}

	handler := webhook.New(webhook.Config{
		Verifier: live, Mapper: live, Audiences: c.server.audiences,
		ScrubbedAccounts: c.server.scrubbedAccounts, Log: log, Metrics: webhook.NewMetrics(registry),
	})
	var ready atomic.Bool
	server := &http.Server{
		Handler:           routes(handler, registry, &ready, clientCAs != nil),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig:         tlsConfig(pair, clientCAs),
	}
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	go live.run(followCtx)

	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
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
			Partition: s.partition, Regions: s.sts.regions, ExtraHosts: s.sts.extraHosts,
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

func tlsConfig(pair tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clientCAs != nil {
		c.ClientCAs, c.ClientAuth = clientCAs, tls.VerifyClientCertIfGiven
	}
	return c
}

// routes serves health and readiness without a client certificate, because probes have
// none.
func routes(review http.Handler, registry *prometheus.Registry, ready *atomic.Bool, mutual bool) http.Handler {
	guard := func(h http.Handler) http.Handler {
		if !mutual {
			return h
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
				http.Error(w, "a client certificate is required", http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle(webhook.Path, guard(review))
	mux.Handle("GET /metrics", guard(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
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
