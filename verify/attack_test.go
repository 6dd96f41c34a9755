package verify_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// A peer that echoes the request where a status belongs gets net/http to quote
// it in its error. The signature must not come back that way.
func TestPeerThatEchoes(t *testing.T) {
	w := newWorld(t)
	for name, format := range map[string]string{
		"as a status line": "HTTP/1.1 %s\r\n\r\n",
		"as the protocol":  "%s\r\n\r\n",
		"as a header":      "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"as a length":      "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"as an encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
	} {
		cert, ca := tlstest.Certificate(t, "sts.us-east-1.amazonaws.com")
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go echo(listener, format)
		c := w.config
		c.DialAddress, c.RootCAs = listener.Addr().String(), pool(t, ca)
		v, err := verify.New(c)
		if err != nil {
			t.Fatal(err)
		}
		tok := w.token(t)
		parsed, err := token.Parse(tok)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(parsed.RequestURL())
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(context.Background(), tok)
		if kind(err) != "unavailable" {
			t.Errorf("%s: %v", name, err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, u.Query().Get("X-Amz-Signature")) {
				t.Errorf("%s: the signature came back: %s", name, text)
			}
		}
	}
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no PEM")
	}
	return p
}

func echo(listener net.Listener, format string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = fmt.Fprintf(conn, format, strings.TrimSpace(line))
		_ = conn.Close()
	}
}

// A token parsed under no policy, or under another's, is not sent.
func TestAskChecksAgain(t *testing.T) {
	w := newWorld(t)
	w.config.Policy.DeniedKeys = []string{w.key.AccessKeyID}
	parsed, err := token.Parse(w.token(t))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := w.verifier(t).Ask(context.Background(), parsed); kind(err) != "V22" || id != (identity.Identity{}) {
		t.Errorf("%+v %v", id, err)
	}
	if _, err := w.verifier(t).Ask(context.Background(), &token.Parsed{Host: "sts.amazonaws.com"}); err == nil {
		t.Error("a token of nothing was sent")
	}
	if len(w.seen) != 0 {
		t.Errorf("%d requests went out", len(w.seen))
	}
}

func TestConfigsThatContradictThemselves(t *testing.T) {
	proxy := http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	for name, c := range map[string]verify.Config{
		"a proxy dialled elsewhere":          {Cluster: "demo", DialAddress: "127.0.0.1:2", Proxy: proxy},
		"an extra host of another partition": {Cluster: "demo", Policy: token.Policy{Partition: "aws", ExtraHosts: []identity.STSEndpoint{{Host: "h:1", Region: "cn-north-1"}}}},
	} {
		if _, err := verify.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
