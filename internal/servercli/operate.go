package servercli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/pprof" // #nosec G108 -- its routes are on http.DefaultServeMux, which is not served
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/audit"
	"github.com/ekskey/ekskey/internal/safefile"
)

// failure is a part of the server that is not ready, and why.
type failure struct {
	part string
	err  error
}

// notReady lists the parts that are not ready.
func (s *server) notReady() (out []failure) {
	add := func(part string, err error) {
		if err != nil {
			out = append(out, failure{part, err})
		}
	}
	if s.stopping.Load() {
		add("stopping", errors.New("the server is stopping"))
	}
	add("certificate", s.serving.Ready())
	add("sts", s.webhook.Ready())
	s.live.mu.Lock()
	backends := s.live.backends
	s.live.mu.Unlock()
	for _, b := range backends {
		add("backend "+b.name, b.backend.Ready())
	}
	return out
}

// healthRoutes adds /healthz, which says that the process is alive, and /readyz. The
// body of /readyz names parts only: reasons, which may contain paths and ARNs, are in the
// log, once for each change.
func (s *server) healthRoutes(mux *http.ServeMux) http.Handler {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		failures := s.notReady()
		var parts []string
		for _, f := range failures {
			parts = append(parts, f.part)
		}
		s.tellReadiness(failures, strings.Join(parts, ", "))
		if len(failures) > 0 {
			http.Error(w, "not ready: "+strings.Join(parts, ", "), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	return mux
}

func (s *server) tellReadiness(failures []failure, parts string) {
	s.partsMu.Lock()
	changed := parts != s.failing
	s.failing = parts
	s.partsMu.Unlock()
	switch {
	case !changed:
	case len(failures) == 0:
		s.log.Info("ready")
	default:
		for _, f := range failures {
			s.log.Warn("not ready", "part", f.part, "reason", f.err.Error())
		}
	}
}

// register adds the metrics that no other package has.
func (s *server) register() {
	s.serving.Register(s.registry)
	s.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ekskey_build_info", Help: "1, with the versions of the program and of Go.",
			ConstLabels: prometheus.Labels{"version": buildVersion(), "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ekskey_ready", Help: "1 while /readyz says ok.",
		}, func() float64 { return number(len(s.notReady()) == 0) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "ekskey_audit_lines_total", Help: "Lines written to the audit log.",
		}, func() float64 { return float64(s.audit.Written()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "ekskey_audit_lines_dropped_total", Help: "Lines that the audit log lost: the file was too slow, or could not be written.",
		}, func() float64 { return float64(s.audit.Dropped()) }),
	)
}

// auditStdout is the value of server.audit for standard output.
const auditStdout = "stdout"

// openAudit opens the audit log of server.audit, or returns nil if there is none.
func openAudit(c *config, log *slog.Logger) (*audit.Log, error) {
	path := c.server.audit
	if path == "" {
		return nil, nil
	}
	open := func() (io.WriteCloser, error) { return openAppend(path) }
	if path == auditStdout {
		open = func() (io.WriteCloser, error) { return stdout{}, nil }
	}
	l, err := audit.New(audit.Config{Open: open, Alarm: func(err error) { log.Error("the audit log loses lines", "problem", err.Error()) }})
	if err != nil {
		return nil, fmt.Errorf("server.audit: %w", err)
	}
	return l, nil
}

// stdout is standard output, which is not closed.
type stdout struct{}

func (stdout) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdout) Close() error                { return nil }

// openAppend opens a file to append to. It must be a file by itself, in a directory that
// nobody else can write: with a link there, another user could have the server write to
// any file.
func openAppend(path string) (io.WriteCloser, error) {
	if err := safefile.CheckDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- the configured file
}

// rereadAt reads everything again at each signal.
func (s *server) rereadAt(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		s.log.Info("SIGHUP: reading the configuration, the sources and the certificates again")
		if s.audit != nil {
			// Apart: it waits for a file that takes nothing.
			go func() { s.live.reloads.count(reloadAudit, s.audit.Reopen()) }()
		}
		s.live.reread()
		s.serving.Reread()
		s.log.Info("SIGHUP: done")
	}
}

// profileRoutes serves Go's profiles. They contain no values of variables.
func profileRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the profiles that it lists
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
