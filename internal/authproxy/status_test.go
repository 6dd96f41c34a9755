package authproxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// client-go shows the reason of a failed discovery only if it is plain text, and has
// words of its own for 503.
func TestReasonOfFailedDiscovery(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), Tokens: &fakeTokens{err: errors.New("AccessDenied")}})
	for path, plain := range map[string]bool{
		"/api": true, "/apis": true, "/version": true, "/api/v1": true, "/apis/apps": true, "/apis/apps/v1": true,
		"/openapi/v3": true, "/openapi/v2": true,
		"/": false, "/api/v1/pods": false, "/api/v1/namespaces/a/pods": false, "/apis/apps/v1/deployments": false,
		"/healthz": false, "/apiserver": false,
	} {
		res, err := f.client(true).Do(f.request(t, http.MethodGet, path, nil))
		if err != nil {
			t.Fatal(err)
		}
		kind := res.Header.Get("Content-Type")
		if plain {
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != 502 || !strings.HasPrefix(kind, "text/plain") || string(text) != "ekskey proxy: AccessDenied\n" {
				t.Errorf("%s: %d %s %q", path, res.StatusCode, kind, text)
			}
		} else if s := statusOf(t, res.Body); res.StatusCode != 503 || kind != "application/json" || s.Message != "ekskey proxy: AccessDenied" {
			t.Errorf("%s: %d %s %q", path, res.StatusCode, kind, s.Message)
		}
		_ = res.Body.Close()
	}
}

// What somebody on the way to the API server writes into a certificate comes to the
// terminal in which kubectl runs: it must not steer that.
func TestReasonsDoNotSteerTerminals(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// Go writes no such certificate, but reads it.
	made := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a-31mb", "c0d"}}
	der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der = bytes.ReplaceAll(der, []byte("a-31mb"), []byte("\x1b[31mb"))
	der = bytes.ReplaceAll(der, []byte("c0d"), []byte("c\nd"))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	})
	f := serve(t, authproxy.Config{Target: authproxy.Target{Server: "https://" + l.Addr().String(), ServerName: "kubernetes"}})
	for _, path := range []string{"/api", "/api/v1/pods"} {
		code, text := do(t, f.client(false), f.request(t, http.MethodGet, path, nil))
		if path == "/api/v1/pods" {
			text = statusOf(t, strings.NewReader(text)).Message
		}
		text = strings.TrimSuffix(text, "\n")
		if code != 502 || !strings.Contains(text, "kubernetes") || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
}
