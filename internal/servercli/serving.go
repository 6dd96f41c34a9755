package servercli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/listener"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/safefile"
)

// serving is the TLS configuration in force. It follows the serving certificate and the
// client CAs: new ones count for new connections, and those of before are closed after
// their next request, so that none is lost. A pair or CAs that cannot be used leave the
// ones of before in force.
type serving struct {
	config  *config
	port    int
	log     *slog.Logger
	reloads *reloads
	now     func() time.Time

	mu      sync.Mutex // held while the configuration changes
	pair    pairFile
	current atomic.Pointer[tls.Config]
	stale   map[string]*atomic.Bool
	pollers []*mapping.Poller
}

// pairFile is what is read of the state directory.
type pairFile struct{ Cert, Key []byte }

const (
	reloadCertificate = "certificate"
	reloadClientCA    = "client-ca"
)

// newServing reads the certificate, or makes one, and the client CAs.
func newServing(ctx context.Context, c *config, log *slog.Logger, r *reloads) (*serving, error) {
	s := &serving{
		config: c, log: log, reloads: r, now: time.Now,
		stale: map[string]*atomic.Bool{reloadCertificate: {}, reloadClientCA: {}},
	}
	pair, files, err := loadCertificate(ctx, c, s.now())
	if err != nil {
		return nil, err
	}
	clientCAs, err := loadPool(c.server.clientCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading server.clientCAFile: %w", err)
	}
	s.pair = files
	s.current.Store(newTLSConfig(pair, clientCAs))
	s.follow(reloadCertificate, s.readPair, s.usePair)
	if c.server.clientCAFile != "" {
		s.follow(reloadClientCA, func() ([]byte, error) {
			text, err := safefile.ReadTrusted(c.server.clientCAFile, 4<<20)
			if err != nil {
				return nil, fmt.Errorf("reading server.clientCAFile: %w", err)
			}
			return text, nil
		}, s.useClientCAs)
	}
	return s, nil
}

func (s *serving) follow(what string, read func() ([]byte, error), use func([]byte) error) {
	told := ""
	s.pollers = append(s.pollers, &mapping.Poller{
		Name: what, Read: read, Use: use,
		Looked: func(err error) {
			s.stale[what].Store(err != nil)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != "" && text != told {
				s.log.Error("cannot use the new "+what+"; the old one stays in use", "problem", text)
			}
			told = text
		},
	})
}

// run follows the files until the context ends.
func (s *serving) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range s.pollers {
		wg.Go(func() { p.Run(ctx) })
	}
	wg.Wait()
}

// reread reads the files now. Failures are logged.
func (s *serving) reread() {
	for _, p := range s.pollers {
		_ = p.Start()
	}
}

func (s *serving) readPair() ([]byte, error) {
	files, err := readPair(s.config)
	if err != nil {
		return nil, err
	}
	return json.Marshal(files)
}

// usePair puts a certificate and key in force, and the certificate in the kubeconfig.
func (s *serving) usePair(text []byte) (err error) {
	var files pairFile
	if err := json.Unmarshal(text, &files); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(files.Cert, s.pair.Cert) && bytes.Equal(files.Key, s.pair.Key) {
		return nil
	}
	defer func() { s.reloads.count(reloadCertificate, err) }()
	pair, err := files.parse(s.config, s.now())
	if err != nil {
		return err
	}
	if err := writeKubeconfig(s.config, s.port, files.Cert); err != nil {
		return err
	}
	// kube-apiserver reads its kubeconfig at its start only.
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(s.pair.Cert)
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(cert)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: known, Intermediates: intermediates, CurrentTime: s.now()}); err != nil {
		s.log.Warn("the new certificate is not from a CA in the certificate file of before; restart kube-apiserver, so that it reads its kubeconfig again", "problem", err.Error())
	}
	next := s.current.Load().Clone()
	next.Certificates = []tls.Certificate{pair}
	s.pair = files
	s.current.Store(next)
	s.log.Info("the serving certificate has changed and is in use", "notAfter", pair.Leaf.NotAfter)
	return nil
}

func (s *serving) useClientCAs(text []byte) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pool, err := parsePool(s.config.server.clientCAFile, text)
	if err == nil && pool.Equal(s.current.Load().ClientCAs) {
		return nil
	}
	defer func() { s.reloads.count(reloadClientCA, err) }()
	if err != nil {
		return err
	}
	next := s.current.Load().Clone()
	next.ClientCAs = pool
	s.current.Store(next)
	s.log.Info("the client CAs have changed and are in use", "file", s.config.server.clientCAFile)
	return nil
}

// ready fails outside the validity of the certificate.
func (s *serving) ready() error {
	return valid(s.current.Load().Certificates[0].Leaf, s.now())
}

func valid(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the serving certificate is not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("the serving certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

type handshakeKey struct{}

// connContext keeps the configuration of a connection's handshake for admit.
func (s *serving) connContext(ctx context.Context, l *listener.TLS, c net.Conn) context.Context {
	return context.WithValue(ctx, handshakeKey{}, l.Config(c))
}

// admit lets requests on, and closes connections whose handshake was made with an older
// configuration once they have their answer. If the client's certificate is not from a
// CA of now, the request is refused.
func (s *serving) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := s.current.Load()
		if then, _ := r.Context().Value(handshakeKey{}).(*tls.Config); then != now {
			w.Header().Set("Connection", "close") // for HTTP/2 net/http makes a GOAWAY of it
			if now.ClientCAs != nil && !admitted(r.TLS, now.ClientCAs, s.now()) {
				http.Error(w, "the client certificate is no longer accepted", http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func admitted(state *tls.ConnectionState, clientCAs *x509.CertPool, now time.Time) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: clientCAs, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

func (s *serving) register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ekskey_serving_certificate_expiry_timestamp_seconds", Help: "When the serving certificate expires.",
	}, func() float64 { return float64(s.current.Load().Certificates[0].Leaf.NotAfter.Unix()) }))
	for what, help := range map[string]string{
		reloadCertificate: "1 while the certificate in the state directory cannot be used and an older one is in use.",
		reloadClientCA:    "1 while the file of client CAs cannot be used and an older text is in use.",
	} {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: map[string]string{
			reloadCertificate: "ekskey_serving_certificate_stale", reloadClientCA: "ekskey_client_ca_stale",
		}[what], Help: help}, func() float64 { return number(s.stale[what].Load()) }))
	}
}

// reloads counts what was read again: new texts only.
type reloads struct{ total *prometheus.CounterVec }

func newReloads(r prometheus.Registerer) *reloads {
	m := &reloads{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ekskey_reloads_total", Help: "Changed files that were put in use, or could not be.",
	}, []string{"what", "result"})}
	for _, what := range []string{reloadConfiguration, reloadCertificate, reloadClientCA, reloadAudit} {
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

// loadPool reads CA certificates; an empty name returns nil.
func loadPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := safefile.ReadTrusted(file, 4<<20)
	if err != nil {
		return nil, err
	}
	return parsePool(file, text)
}

func parsePool(file string, text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}

// readPair reads the certificate and its key, which no other user may read.
func readPair(c *config) (files pairFile, err error) {
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

// parse checks that the pair fits together and is valid now.
func (f pairFile) parse(c *config, now time.Time) (tls.Certificate, error) {
	for block, rest := pem.Decode(f.Cert); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // it would be copied to the kubeconfig
			return tls.Certificate{}, fmt.Errorf("%s contains a %s; only certificates belong there", filepath.Join(c.server.stateDir, certFile), block.Type)
		}
	}
	pair, err := tls.X509KeyPair(f.Cert, f.Key)
	if err != nil {
		return pair, err
	}
	if err := valid(pair.Leaf, now); err != nil {
		return pair, &hintError{fmt.Errorf("%s: %w", filepath.Join(c.server.stateDir, certFile), err),
			"remove cert.pem, key.pem and server.generateKubeconfig, run ekskey-server init, and restart kube-apiserver"}
	}
	return pair, nil
}
