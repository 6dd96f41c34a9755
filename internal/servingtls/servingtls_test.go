package servingtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/servingtls"
	"github.com/ekskey/ekskey/internal/tlstest"
)

func newPair(t *testing.T) (servingtls.Pair, *x509.Certificate) {
	t.Helper()
	cert, ca := tlstest.Certificate(t, "localhost")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return servingtls.Pair{Cert: ca, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})}, leaf
}

// A new pair, and new CAs, are used only if nothing speaks against it; each is told once.
func TestReread(t *testing.T) {
	pair, leaf := newPair(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text []byte) {
		if err := os.WriteFile(caFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(pair.Cert)
	var told []string
	var readErr, useErr error
	current := pair
	now := time.Now()
	s, err := servingtls.New(servingtls.Config{
		Pair: pair, ClientCAFile: caFile, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Read: func() (servingtls.Pair, error) { return current, readErr },
		Parse: func(p servingtls.Pair) (tls.Certificate, error) {
			return tls.X509KeyPair(p.Cert, p.Key)
		},
		Use:      func(servingtls.Pair) error { return useErr },
		Reloaded: func(what string, err error) { told = append(told, fmt.Sprint(what, " ", err == nil)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	step := func(name string, changes bool, want ...string) {
		t.Helper()
		before := s.TLS()
		told = nil
		s.Reread()
		if changed := s.TLS() != before; changed != changes || fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("%s: changed %t, told %q", name, changed, told)
		}
	}
	step("the same", false)
	other, otherLeaf := newPair(t)
	current, readErr = other, errors.New("gone")
	step("cannot be read", false)
	readErr, useErr = nil, errors.New("the kubeconfig cannot be written")
	step("cannot be used", false, "certificate false")
	useErr = nil
	step("a new one", true, "certificate true")
	if !s.TLS().Certificates[0].Leaf.Equal(otherLeaf) {
		t.Error("the new certificate is not in use")
	}
	current = servingtls.Pair{Cert: other.Cert, Key: pair.Key}
	step("a key of another", false, "certificate false")
	current = other
	step("as in use", false)
	write([]byte("garbage"))
	step("no CA", false, "client-ca false")
	write(other.Cert)
	step("another CA", true, "client-ca true")

	// The client of the first CA is on a connection of before.
	served := 0
	handler := s.Admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for client, want := range map[*x509.Certificate]int{leaf: http.StatusUnauthorized, otherLeaf: http.StatusOK, nil: http.StatusUnauthorized} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.TLS = &tls.ConnectionState{}
		if client != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{client}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("Connection") != "close" {
			t.Errorf("%d, want %d; Connection: %s", w.Code, want, w.Header().Get("Connection"))
		}
	}
	if served != 1 {
		t.Errorf("%d requests were served", served)
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	for _, d := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		now = time.Now().Add(d)
		if s.Ready() == nil {
			t.Errorf("ready %s from now", d)
		}
	}
}
