// Package tlstest serves an http.Handler over TLS under any names, for tests of
// programs that must see AWS's own host names in a certificate.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Server is a TLS server on loopback.
type Server struct {
	// Address is host:port.
	Address string
	// CA is the PEM of the one certificate to trust.
	CA []byte
	// Pool holds it.
	Pool *x509.CertPool
	// HTTP is the server itself.
	HTTP *httptest.Server
}

// Serve starts a server whose certificate carries 127.0.0.1, localhost and the
// names given. It stops with the test.
func Serve(t testing.TB, h http.Handler, names ...string) *Server {
	t.Helper()
	cert, ca := Certificate(t, append([]string{"localhost"}, names...)...)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("the CA is not PEM")
	}
	return &Server{Address: s.Listener.Addr().String(), CA: ca, Pool: pool, HTTP: s}
}

// Certificate makes a self-signed certificate for 127.0.0.1 and the names, good
// for servers and clients, and gives it as PEM too.
func Certificate(t testing.TB, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "throw-away test certificate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        true, BasicConstraintsValid: true,
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
