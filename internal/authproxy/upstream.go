package authproxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/token"
)

const (
	dialTimeout = 5 * time.Second
	tlsTimeout  = 10 * time.Second
	// pingAfter and pingTimeout detect dead connections, which a watch would not
	// notice.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// maxIdle is how many idle HTTP/1.1 connections are kept.
	maxIdle = 64
)

// Target is an API server.
type Target struct {
	// Server is its URL, https only.
	Server string
	// CA are PEM certificates, the only trusted ones; empty means the system's.
	CA []byte
	// ServerName is the name in its certificate, if it is not the URL's.
	ServerName string
}

func (t Target) same(o Target) bool {
	return t.Server == o.Server && t.ServerName == o.ServerName && bytes.Equal(t.CA, o.CA)
}

// TargetError reports an invalid Target.
type TargetError struct{ Field, Reason string }

func (e *TargetError) Error() string { return e.Field + " " + e.Reason }

// upstream has the connections to a Target.
type upstream struct {
	target Target
	base   *url.URL
	// plain uses HTTP/2 if the API server does. Upgrades need HTTP/1.1, so they have a
	// transport of their own.
	plain, upgrades *http.Transport
}

func newUpstream(t Target, proxy func(*http.Request) (*url.URL, error)) (*upstream, error) {
	base, err := url.Parse(t.Server)
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, &TargetError{Field: "the API server's address", Reason: "is not an https URL"}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if len(t.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, &TargetError{Field: "the certificate authority", Reason: "contains no PEM certificate"}
		}
	}
	u := &upstream{target: t, base: base}
	for _, way := range []struct {
		transport **http.Transport
		http2     bool
	}{{&u.plain, true}, {&u.upgrades, false}} {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(way.http2)
		*way.transport = &http.Transport{
			Proxy: proxy, TLSClientConfig: config.Clone(), Protocols: protocols,
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}).DialContext,
			TLSHandshakeTimeout: tlsTimeout, IdleConnTimeout: 90 * time.Second,
			MaxIdleConnsPerHost: maxIdle, MaxResponseHeaderBytes: maxAnswerHeader,
			// Accept-Encoding is the client's decision.
			DisableCompression: true,
			HTTP2:              &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		}
	}
	return u, nil
}

// maxAnswerHeader is larger than an API server's headers, in bytes.
const maxAnswerHeader = 1 << 20

// do sends a request with a token. It changes the request. If had is false, there was
// never a connection for it, so nothing of it was sent.
func (u *upstream) do(req *http.Request, path, rawPath string, t token.Token) (res *http.Response, had bool, err error) {
	req.URL.Scheme, req.URL.Host = u.base.Scheme, u.base.Host
	req.URL.Path, req.URL.RawPath = path, rawPath
	if prefix := strings.TrimSuffix(u.base.Path, "/"); prefix != "" {
		if req.URL.RawPath != "" {
			req.URL.RawPath = strings.TrimSuffix(u.base.EscapedPath(), "/") + rawPath
		}
		req.URL.Path = prefix + path
	}
	req.Header["Authorization"] = []string{"Bearer " + t.Value()}
	var got atomic.Bool // the transport may continue with a connection after it has returned
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	}))
	if req.Header.Get("Upgrade") != "" {
		res, err = u.upgrades.RoundTrip(req)
	} else {
		res, err = u.plain.RoundTrip(req)
	}
	return res, got.Load(), err
}

// close closes idle connections. Requests in flight continue.
func (u *upstream) close() {
	u.plain.CloseIdleConnections()
	u.upgrades.CloseIdleConnections()
}
