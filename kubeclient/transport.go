package kubeclient

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/ekskey/ekskey/internal/resend"
)

// wrap wraps a transport that client-go made from a configuration for this endpoint,
// and the dialers of upgraded connections.
func (k *Client) wrap(at *clusterEndpoint, rt http.RoundTripper) http.RoundTripper {
	r := &router{client: k, at: at, base: rt}
	if base := transportIn(rt); base != nil {
		r.pooledTransport = k.pooledTransportOf(base, at)
		return &closedError{k.keeper.RoundTripper(r), r}
	}
	if holder, ok := rt.(utilnet.TLSClientConfigHolder); ok {
		// A dialer for one upgraded connection, with a tls.Config of its own: the only
		// way to give it a CA that is newer than its rest.Config.
		if conf := holder.TLSClientConfig(); conf != nil && conf.RootCAs != nil && conf.RootCAs.Equal(at.pool) {
			r.dials = conf
		}
		return &upgrade{RoundTripper: &closedError{k.keeper.RoundTripper(&upgradeBase{r}), r}, router: r}
	}
	return &closedError{k.keeper.RoundTripper(r), r}
}

// closedError returns ErrClosed instead of the error of a request that Close cut off.
type closedError struct {
	http.RoundTripper
	router *router
}

// WrappedRoundTripper is the method by which Kubernetes' libraries unwrap transports.
func (e *closedError) WrappedRoundTripper() http.RoundTripper { return e.router.base }

// RoundTrip implements http.RoundTripper.
func (e *closedError) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := e.RoundTripper.RoundTrip(req)
	if e.router.client.ctx.Err() == nil || err == nil && res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	if err == nil {
		_ = res.Body.Close()
	}
	return nil, ErrClosed
}

// transportIn returns the http.Transport that client-go made, from inside its own
// wrappers. Nil if there is another RoundTripper.
func transportIn(rt http.RoundTripper) *http.Transport {
	for {
		if t, ok := rt.(*http.Transport); ok {
			return t
		}
		w, ok := rt.(utilnet.RoundTripperWrapper)
		if t := reflect.TypeOf(rt); !ok || t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "k8s.io/client-go/transport" {
			return nil
		}
		rt = w.WrappedRoundTripper()
	}
}

// router sends requests to the current endpoint, and rediscovers it if it cannot be
// reached.
type router struct {
	client          *Client
	at              *clusterEndpoint  // of the caller's rest.Config
	base            http.RoundTripper // client-go's: it lives as long as its users
	pooledTransport *pooledTransport  // nil if requests go through base
	dials           *tls.Config       // the TLS configuration of base, if it trusts the cluster's CA; else nil
}

// WrappedRoundTripper is the method by which Kubernetes' libraries unwrap transports.
func (r *router) WrappedRoundTripper() http.RoundTripper { return r.base }

// RoundTrip implements http.RoundTripper.
func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	k := r.client
	if k.ctx.Err() != nil {
		resend.Close(req)
		return nil, ErrClosed
	}
	tried := k.endpoint.Load()
	var shaking handshake
	res, err := r.send(tried, shaking.watch(req))
	if res != nil {
		res.Request = req
	}
	if err == nil {
		return res, nil
	}
	cause := causeOf(err)
	if cause == CauseOther && shaking.failed.Load() {
		cause = CauseTLS
	}
	switch {
	case k.ctx.Err() != nil:
		return nil, ErrClosed
	case cause == CauseOther || req.Context().Err() != nil || req.URL.Host != r.at.host:
		return nil, err
	}
	err = &UnreachableError{Host: tried.host, Cause: cause, Err: err, reason: err.Error()}
	if k.fixedEndpoint {
		return nil, err
	}
	newer, askErr := k.rediscover(req.Context(), tried)
	var gone *ClusterNotFoundError
	if errors.As(askErr, &gone) {
		return nil, &ClusterNotFoundError{Cluster: gone.Cluster, Region: gone.Region, Err: err}
	}
	retry, can := resend.Clone(req)
	if newer == tried || !can {
		return nil, err
	}
	return r.send(newer, retry)
}

// handshake records whether TLS failed: net/http's errors do not say so.
type handshake struct{ failed atomic.Bool }

func (h *handshake) watch(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			// A load balancer that changes closes the connection; client-go retries if
			// it gets io.EOF itself.
			h.failed.Store(err != nil && !errors.Is(err, io.EOF))
		},
		GotConn: func(httptrace.GotConnInfo) { h.failed.Store(false) },
	}))
}

// send sends a request to an endpoint.
func (r *router) send(to *clusterEndpoint, req *http.Request) (*http.Response, error) {
	sent := req
	if req.URL.Host == r.at.host && to.host != r.at.host {
		sent = req.Clone(req.Context())
		sent.URL.Host = to.host
		if sent.Host == r.at.host {
			sent.Host = ""
		}
	}
	rt := r.base
	if r.pooledTransport != nil {
		rt = r.pooledTransport.transport(to)
	} else if r.dials != nil && r.dials.RootCAs != to.pool {
		r.dials.RootCAs = to.pool
	}
	res, err := rt.RoundTrip(sent)
	if res != nil {
		res.Request = req
	}
	return res, err
}

// pooledTransport is one of client-go's transports with all its settings, but with the
// current CA, and with connections that end with the Client.
type pooledTransport struct {
	template *http.Transport // is only cloned
	follows  bool            // its CA is the cluster's, and not the caller's own

	mu       sync.Mutex
	now      *http.Transport
	endpoint *clusterEndpoint
}

func newPooledTransport(base *http.Transport, at *clusterEndpoint, conns *connections) *pooledTransport {
	t := base.Clone()
	// TLSNextProto has base's own HTTP/2 connections, which a clone would share.
	t.TLSNextProto = nil
	t.DialContext = conns.dialer(base.DialContext)
	conf := t.TLSClientConfig
	return &pooledTransport{template: t, follows: conf != nil && conf.RootCAs != nil && conf.RootCAs.Equal(at.pool)}
}

// transport returns the transport for an endpoint.
func (l *pooledTransport) transport(to *clusterEndpoint) *http.Transport {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil || l.follows && l.endpoint.pool != to.pool {
		if l.now != nil {
			// Requests in flight on it continue.
			l.now.CloseIdleConnections()
		}
		l.now = l.template.Clone()
		l.now.TLSNextProto = nil
		if l.follows {
			l.now.TLSClientConfig.RootCAs = to.pool
		}
		utilnet.SetTransportDefaults(l.now) // HTTP/2, as client-go has it
		l.endpoint = to
	}
	return l.now
}

func (l *pooledTransport) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		l.now.CloseIdleConnections()
	}
}

// upgrade passes on the error by which a WebSocket dialer reports a 401, which has no
// http.Response.
type upgrade struct {
	http.RoundTripper
	router *router
}

// WrappedRoundTripper is the method by which Kubernetes' libraries unwrap transports.
func (u *upgrade) WrappedRoundTripper() http.RoundTripper { return u.router.base }

// RoundTrip implements http.RoundTripper.
func (u *upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := u.RoundTripper.RoundTrip(req)
	if res != nil {
		if refused, ok := res.Body.(*refusedUpgrade); ok {
			return nil, refused.err
		}
	}
	return res, err
}

// upgradeBase makes an http.Response of the error by which a WebSocket dialer reports a
// 401.
type upgradeBase struct{ router *router }

// WrappedRoundTripper is the method by which Kubernetes' libraries unwrap transports.
func (b *upgradeBase) WrappedRoundTripper() http.RoundTripper { return b.router.base }

// RoundTrip implements http.RoundTripper.
func (b *upgradeBase) RoundTrip(req *http.Request) (*http.Response, error) {
	// Dialers change their request.
	res, err := b.router.RoundTrip(req.Clone(req.Context()))
	// The error is a text: the API server's "Unauthorized", or "(401 Unauthorized)". A
	// text that only looks like it costs one more attempt.
	if err != nil && strings.Contains(err.Error(), "Unauthorized") {
		return &http.Response{
			StatusCode: http.StatusUnauthorized, Request: req, Header: http.Header{}, Body: &refusedUpgrade{http.NoBody, err},
		}, nil
	}
	return res, err
}

type refusedUpgrade struct {
	io.ReadCloser
	err error
}
