// Package servingtls is the TLS side of a server: a certificate and client CAs that can be
// replaced while it runs, without a request being lost.
package servingtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/listener"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/safefile"
)

// maxPool is the maximum size of a file of CAs, in bytes.
const maxPool = 4 << 20

// Serving is the TLS configuration in force. It follows the serving certificate and the
// client CAs: new ones count for new connections, and those of before are closed after
// their next request, so that none is lost. A pair or CAs that cannot be used leave the
// ones of before in force.
type Serving struct {
	config  Config
	mu      sync.Mutex // held while the configuration changes
	pair    Pair
	current atomic.Pointer[tls.Config]
	stale   map[string]*atomic.Bool
	pollers []*mapping.Poller
}

// Pair is a certificate and its key, as PEM.
type Pair struct{ Cert, Key []byte }

// What is reloaded.
const (
	Certificate = "certificate"
	ClientCA    = "client-ca"
)

// Config configures a Serving. ClientCAFile, Use and Reloaded may be empty.
type Config struct {
	// Pair is the pair to begin with.
	Pair Pair
	// Read reads the pair again.
	Read func() (Pair, error)
	// Parse checks a pair, and fails if it must not be used now.
	Parse func(Pair) (tls.Certificate, error)
	// Use is called before a new pair is used. If it fails, the pair is not.
	Use func(Pair) error
	// ClientCAFile has the CAs of client certificates; empty means that clients need none.
	ClientCAFile string
	// Reloaded is called with Certificate or ClientCA for each new text that was put in use,
	// or could not be.
	Reloaded func(what string, err error)
	Log      *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New parses the pair and reads the client CAs.
func New(c Config) (*Serving, error) {
	if c.Use == nil {
		c.Use = func(Pair) error { return nil }
	}
	if c.Reloaded == nil {
		c.Reloaded = func(string, error) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Serving{config: c, pair: c.Pair, stale: map[string]*atomic.Bool{Certificate: {}, ClientCA: {}}}
	pair, err := c.Parse(c.Pair)
	if err != nil {
		return nil, err
	}
	clientCAs, err := LoadPool(c.ClientCAFile)
	if err != nil {
		return nil, err
	}
	s.current.Store(newConfig(pair, clientCAs))
	s.follow(Certificate, s.readPair, s.usePair)
	if c.ClientCAFile != "" {
		s.follow(ClientCA, func() ([]byte, error) { return safefile.ReadTrusted(c.ClientCAFile, maxPool) }, s.useClientCAs)
	}
	return s, nil
}

// TLS returns the configuration in force, for the next handshake.
func (s *Serving) TLS() *tls.Config { return s.current.Load() }

func (s *Serving) follow(what string, read func() ([]byte, error), use func([]byte) error) {
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
				s.config.Log.Error("cannot use the new "+what+"; the old one stays in use", "problem", text)
			}
			told = text
		},
	})
}

// Run follows the files until the context ends.
func (s *Serving) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range s.pollers {
		wg.Go(func() { p.Run(ctx) })
	}
	wg.Wait()
}

// Reread reads the files now. Failures are logged.
func (s *Serving) Reread() {
	for _, p := range s.pollers {
		_ = p.Start()
	}
}

func (s *Serving) readPair() ([]byte, error) {
	pair, err := s.config.Read()
	if err != nil {
		return nil, err
	}
	return json.Marshal(pair)
}

// usePair puts a certificate and key in force, and the certificate in the kubeconfig.
func (s *Serving) usePair(text []byte) (err error) {
	var files Pair
	if err := json.Unmarshal(text, &files); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(files.Cert, s.pair.Cert) && bytes.Equal(files.Key, s.pair.Key) {
		return nil
	}
	defer func() { s.config.Reloaded(Certificate, err) }()
	pair, err := s.config.Parse(files)
	if err != nil {
		return err
	}
	if err := s.config.Use(files); err != nil {
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
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: known, Intermediates: intermediates, CurrentTime: s.config.Now()}); err != nil {
		s.config.Log.Warn("the new certificate is not from a CA in the certificate file of before; restart kube-apiserver, so that it reads its kubeconfig again", "problem", err.Error())
	}
	next := s.current.Load().Clone()
	next.Certificates = []tls.Certificate{pair}
	s.pair = files
	s.current.Store(next)
	s.config.Log.Info("the serving certificate has changed and is in use", "notAfter", pair.Leaf.NotAfter)
	return nil
}

func (s *Serving) useClientCAs(text []byte) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pool, err := parsePool(s.config.ClientCAFile, text)
	if err == nil && pool.Equal(s.current.Load().ClientCAs) {
		return nil
	}
	defer func() { s.config.Reloaded(ClientCA, err) }()
	if err != nil {
		return err
	}
	next := s.current.Load().Clone()
	next.ClientCAs = pool
	s.current.Store(next)
	s.config.Log.Info("the client CAs have changed and are in use", "file", s.config.ClientCAFile)
	return nil
}

// Ready fails outside the validity of the certificate.
func (s *Serving) Ready() error {
	return Valid(s.current.Load().Certificates[0].Leaf, s.config.Now())
}

// Valid fails outside the validity of a certificate.
func Valid(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the serving certificate is not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("the serving certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

type handshakeKey struct{}

// ConnContext keeps the configuration of a connection's handshake for Admit.
func (s *Serving) ConnContext(ctx context.Context, l *listener.TLS, c net.Conn) context.Context {
	return context.WithValue(ctx, handshakeKey{}, l.Config(c))
}

// Admit lets requests on, and closes connections whose handshake was made with an older
// configuration once they have their answer. If the client's certificate is not from a
// CA of now, the request is refused.
func (s *Serving) Admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := s.current.Load()
		if then, _ := r.Context().Value(handshakeKey{}).(*tls.Config); then != now {
			w.Header().Set("Connection", "close") // for HTTP/2 net/http makes a GOAWAY of it
			if now.ClientCAs != nil && !admitted(r.TLS, now.ClientCAs, s.config.Now()) {
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

// Register registers the metrics.
func (s *Serving) Register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ekskey_serving_certificate_expiry_timestamp_seconds", Help: "When the serving certificate expires.",
	}, func() float64 { return float64(s.current.Load().Certificates[0].Leaf.NotAfter.Unix()) }))
	for what, help := range map[string]string{
		Certificate: "1 while the certificate in the state directory cannot be used and an older one is in use.",
		ClientCA:    "1 while the file of client CAs cannot be used and an older text is in use.",
	} {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: map[string]string{
			Certificate: "ekskey_serving_certificate_stale", ClientCA: "ekskey_client_ca_stale",
		}[what], Help: help}, func() float64 { return number(s.stale[what]) }))
	}
}

// newConfig demands a certificate in the handshake if there is a client CA. Sessions
// are not resumed, so that every connection shows its certificate.
func newConfig(pair tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true,
	}
	if clientCAs != nil {
		c.ClientCAs, c.ClientAuth = clientCAs, tls.RequireAndVerifyClientCert
	}
	return c
}

// LoadPool reads CA certificates from a file that nobody else can write; an empty name
// returns nil.
func LoadPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := safefile.ReadTrusted(file, maxPool)
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

func number(b *atomic.Bool) float64 {
	if b.Load() {
		return 1
	}
	return 0
}
