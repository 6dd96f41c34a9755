package kubeclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

// What answers in place of an API server may speak no TLS, or not at all.
func TestNoTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(net.Conn)
	}{
		{"HTTP", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }},
		{"another protocol", func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") }},
		{"an alert", func(c net.Conn) { _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }},
		{"silence", func(net.Conn) {}},
		{"a reset", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			noAWS(t)
			_, ca := tlstest.Certificate(t, "api.test")
			synctest.Test(t, func(t *testing.T) {
				client, err := New(t.Context(), Config{
					Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(testKey, testSecret, ""),
					Endpoint: "https://api.test", CAData: ca,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				conf := client.RESTConfig()
				conf.Dial = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					if c.answer == nil {
						return reset{ours}, theirs.Close()
					}
					go func() { _, _ = io.Copy(io.Discard, theirs) }()
					go c.answer(theirs)
					return ours, nil
				}
				var away *UnreachableError
				if err := list(clientset(t, conf)); !errors.As(err, &away) || away.Cause != CauseTLS {
					t.Errorf("%T %v", err, err)
				}
			})
		})
	}
}

// reset is a connection that the other side has thrown away.
type reset struct{ net.Conn }

func (r reset) Read([]byte) (int, error) { return 0, &net.OpError{Op: "read", Err: syscall.ECONNRESET} }

// Nor does EKS go unasked then.
func TestNoTLSAsksEKS(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.config())
	old := tlstest.Serve(t, newAPI(0))
	conf := client.RESTConfig()
	conf.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil && address == w.k8s.Address {
			return reset{conn}, nil
		}
		return conn, err
	}
	w.moveTo("https://"+old.Address, old.CA)
	if err := list(clientset(t, conf)); err != nil || w.described() != 2 {
		t.Error(err, w.described())
	}
}

// A proxy that is away is not the API server's name or certificate.
func TestProxyIsAway(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.static())
	for _, host := range []string{"127.0.0.1:1", "proxy.invalid:1"} {
		conf := client.RESTConfig()
		conf.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://me:hunter2@" + host) }
		var away *UnreachableError
		if err := list(clientset(t, conf)); !errors.As(err, &away) || away.Cause != CauseConnect {
			t.Errorf("%v", err)
		}
	}
}
