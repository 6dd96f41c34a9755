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

// wrap is what client-go puts around a transport that it made from a
// configuration of this place, and that dialers of upgraded connections are put
// into.
func (k *Client) wrap(at *place, rt http.RoundTripper) http.RoundTripper {
	r := &router{client: k, at: at, given: rt}
	if base := transportIn(rt); base != nil {
		r.lane = k.laneOf(base, at)
		return &ending{k.keeper.RoundTripper(r), r}
	}
	if holder, ok := rt.(utilnet.TLSClientConfigHolder); ok {
		// A dialer for one upgraded connection, with a tls.Config made for it alone:
		// the one thing by which it can be told of a CA that is newer than its
		// rest.Config.
		if conf := holder.TLSClientConfig(); conf != nil && conf.RootCAs != nil && conf.RootCAs.Equal(at.pool) {
			r.dials = conf
		}
		return &upgrade{RoundTripper: &ending{k.keeper.RoundTripper(&upgradeBase{r}), r}, router: r}
	}
	return &ending{k.keeper.RoundTripper(r), r}
}

// ending says ErrClosed in place of what a request failed with that Close cut off.
type ending struct {
	http.RoundTripper
	router *router
}

// WrappedRoundTripper is what Kubernetes' libraries look for transports by.
func (e *ending) WrappedRoundTripper() http.RoundTripper { return e.router.given }

// RoundTrip sends a request.
func (e *ending) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := e.RoundTripper.RoundTrip(req)
	if e.router.client.ctx.Err() == nil || err == nil && res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	if err == nil {
		_ = res.Body.Close()
	}
	return nil, ErrClosed
}

// transportIn is the http.Transport that client-go made, inside what client-go
// itself puts around one. Nil if there is another RoundTripper.
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

// router sends requests to where the cluster is now, and asks where that is when
// it cannot be reached there.
type router struct {
	client *Client
	at     *place            // what the caller's rest.Config was made for
	given  http.RoundTripper // client-go's: it lives as long as its users
	lane   *lane             // nil if requests go through given
	dials  *tls.Config       // what given dials by, if it trusts the cluster's CA; else nil
}

// WrappedRoundTripper is what Kubernetes' libraries look for transports by.
func (r *router) WrappedRoundTripper() http.RoundTripper { return r.given }

// RoundTrip sends a request.
func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	k := r.client
	if k.ctx.Err() != nil {
		resend.Close(req)
		return nil, ErrClosed
	}
	seen := k.place.Load()
	var shaking handshake
	res, err := r.send(seen, shaking.watch(req))
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
	err = &UnreachableError{Host: seen.host, Cause: cause, Err: err, reason: err.Error()}
	if k.given {
		return nil, err
	}
	newer, askErr := k.again(req.Context(), seen)
	var gone *ClusterNotFoundError
	if errors.As(askErr, &gone) {
		return nil, &ClusterNotFoundError{Cluster: gone.Cluster, Region: gone.Region, Err: err}
	}
	again, can := resend.Again(req)
	if newer == seen || !can {
		return nil, err
	}
	return r.send(newer, again)
}

// handshake tells whether it was TLS that failed: net/http's errors do not.
type handshake struct{ failed atomic.Bool }

func (h *handshake) watch(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			// A load balancer that changes hangs up; client-go tries again then, if it is
			// told io.EOF itself.
			h.failed.Store(err != nil && !errors.Is(err, io.EOF))
		},
		GotConn: func(httptrace.GotConnInfo) { h.failed.Store(false) },
	}))
}

// send sends a request to a place.
func (r *router) send(to *place, req *http.Request) (*http.Response, error) {
	sent := req
	if req.URL.Host == r.at.host && to.host != r.at.host {
		sent = req.Clone(req.Context())
		sent.URL.Host = to.host
		if sent.Host == r.at.host {
			sent.Host = ""
		}
	}
	rt := r.given
	if r.lane != nil {
		rt = r.lane.transport(to)
	} else if r.dials != nil && r.dials.RootCAs != to.pool {
		r.dials.RootCAs = to.pool
	}
	res, err := rt.RoundTrip(sent)
	if res != nil {
		res.Request = req
	}
	return res, err
}

// lane is one of client-go's transports as it is used here: with all its settings,
// but with the CA of today, and with connections that end with the Client.
type lane struct {
	template *http.Transport // sends nothing itself
	follows  bool            // its CA is the cluster's, and not the caller's own

	mu    sync.Mutex
	now   *http.Transport
	place *place
}

func newLane(base *http.Transport, at *place, conns *connections) *lane {
	t := base.Clone()
	// Of base's own HTTP/2 connections, which a clone would share.
	t.TLSNextProto = nil
	t.DialContext = conns.dialer(base.DialContext)
	conf := t.TLSClientConfig
	return &lane{template: t, follows: conf != nil && conf.RootCAs != nil && conf.RootCAs.Equal(at.pool)}
}

// transport is the one to use for a place.
func (l *lane) transport(to *place) *http.Transport {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil || l.follows && l.place.pool != to.pool {
		if l.now != nil {
			// What is under way on it goes on.
			l.now.CloseIdleConnections()
		}
		l.now = l.template.Clone()
		l.now.TLSNextProto = nil
		if l.follows {
			l.now.TLSClientConfig.RootCAs = to.pool
		}
		utilnet.SetTransportDefaults(l.now) // HTTP/2, as client-go has it
		l.place = to
	}
	return l.now
}

func (l *lane) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil {
		l.now.CloseIdleConnections()
	}
}

// upgrade hands on the error by which a WebSocket's dialer says 401, which has no
// http.Response.
type upgrade struct {
	http.RoundTripper
	router *router
}

// WrappedRoundTripper is what Kubernetes' libraries look for transports by.
func (u *upgrade) WrappedRoundTripper() http.RoundTripper { return u.router.given }

// RoundTrip opens a connection.
func (u *upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := u.RoundTripper.RoundTrip(req)
	if res != nil {
		if refused, ok := res.Body.(*refusedUpgrade); ok {
			return nil, refused.err
		}
	}
	return res, err
}

// upgradeBase makes an http.Response of the error by which a WebSocket's dialer
// says 401.
type upgradeBase struct{ router *router }

// WrappedRoundTripper is what Kubernetes' libraries look for transports by.
func (b *upgradeBase) WrappedRoundTripper() http.RoundTripper { return b.router.given }

// RoundTrip opens a connection.
func (b *upgradeBase) RoundTrip(req *http.Request) (*http.Response, error) {
	// Dialers change what they get.
	res, err := b.router.RoundTrip(req.Clone(req.Context()))
	// The error is a text: the API server's "Unauthorized", or "(401 Unauthorized)".
	// One that only looks like it costs one more attempt.
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
