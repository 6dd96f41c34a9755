package servercli

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/servingtls"
)

// newServing reads the certificate, or makes one, and the client CAs. Use is called with a
// new pair.
func newServing(ctx context.Context, c *config, log *slog.Logger, r *reloads, use func(servingtls.Pair) error) (*servingtls.Serving, servingtls.Pair, error) {
	pair, err := loadCertificate(ctx, c, time.Now())
	if err != nil {
		return nil, pair, err
	}
	s, err := servingtls.New(servingtls.Config{
		Pair: pair, Use: use, ClientCAFile: c.server.clientCAFile, Reloaded: r.count, Log: log,
		Read:  func() (servingtls.Pair, error) { return readPair(c) },
		Parse: func(p servingtls.Pair) (tls.Certificate, error) { return parsePair(c, p, time.Now()) },
	})
	if err != nil {
		return nil, pair, fmt.Errorf("reading server.clientCAFile: %w", err)
	}
	return s, pair, nil
}

// reloads counts what was read again: new texts only.
type reloads struct{ total *prometheus.CounterVec }

func newReloads(r prometheus.Registerer) *reloads {
	m := &reloads{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ekskey_reloads_total", Help: "Changed files that were put in use, or could not be.",
	}, []string{"what", "result"})}
	for _, what := range []string{reloadConfiguration, servingtls.Certificate, servingtls.ClientCA, reloadAudit} {
		m.total.WithLabelValues(what, "ok")
		m.total.WithLabelValues(what, "failed")
	}
	r.MustRegister(m.total)
	return m
}

func (m *reloads) count(what string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.total.WithLabelValues(what, result).Inc()
}

const (
	reloadConfiguration = "configuration"
	reloadAudit         = "audit"
)

// readPair reads the certificate and its key, which no other user may read.
func readPair(c *config) (files servingtls.Pair, err error) {
	dir := c.server.stateDir
	if err := safefile.CheckTrustedDir(dir); err != nil {
		return files, err
	}
	key := filepath.Join(dir, keyFile)
	if err := checkPrivate(key); err != nil {
		return files, err
	}
	if files.Key, err = safefile.ReadTrusted(key, 1<<20); err != nil {
		return files, err
	}
	files.Cert, err = safefile.ReadTrusted(filepath.Join(dir, certFile), 1<<20)
	return files, err
}

// parsePair checks that the pair fits together and is valid now.
func parsePair(c *config, f servingtls.Pair, now time.Time) (tls.Certificate, error) {
	for block, rest := pem.Decode(f.Cert); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // it would be copied to the kubeconfig
			return tls.Certificate{}, fmt.Errorf("%s contains a %s; only certificates belong there", filepath.Join(c.server.stateDir, certFile), block.Type)
		}
	}
	pair, err := tls.X509KeyPair(f.Cert, f.Key)
	if err != nil {
		return pair, err
	}
	if err := servingtls.Valid(pair.Leaf, now); err != nil {
		return pair, &hintError{fmt.Errorf("%s: %w", filepath.Join(c.server.stateDir, certFile), err),
			"remove cert.pem, key.pem and server.generateKubeconfig, run ekskey-server init, and restart kube-apiserver"}
	}
	return pair, nil
}
