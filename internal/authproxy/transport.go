package authproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/ekskey/ekskey/token"
)

const (
	// maxHeld is the size of a request's body, in bytes, up to which it is buffered
	// until the response has arrived, so that it can be sent again with a new token.
	maxHeld = 256 << 10
	// maxDrained is how much of a 401's body is read so that its connection can be
	// reused.
	maxDrained = 16 << 10
	// rediscoverWait and rediscoverWaitMax are the first and the longest wait between
	// two calls of Resolve.
	rediscoverWait    = 5 * time.Second
	rediscoverWaitMax = 5 * time.Minute
	// rediscoverTimeout bounds one call of Resolve.
	rediscoverTimeout = 30 * time.Second
)

// noTokenError reports that there is no token to send.
type noTokenError struct{ err error }

func (e *noTokenError) Error() string { return e.err.Error() }
func (e *noTokenError) Unwrap() error { return e.err }

// UnreachableError reports that the API server did not answer.
type UnreachableError struct {
	Host string
	// Reason is the innermost cause, as text.
	Reason string
	// Rediscovery is the error of Resolve; nil if it was not called.
	Rediscovery error
	Timeout     bool
	Err         error
}

func (e *UnreachableError) Error() string {
	text := "calling the API server " + e.Host + ": " + e.Reason
	if e.Rediscovery != nil {
		text += "; describing the cluster again: " + e.Rediscovery.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RoundTrip sends a request with a token, once more with another token if it was
// refused, and once more to another endpoint if there is one.
func (p *Proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	body, replayable, err := bufferBody(req)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	tok, err := p.cfg.Tokens.Token(req.Context())
	if err != nil {
		return nil, &noTokenError{err}
	}
	requestPath, rawPath := req.URL.Path, req.URL.RawPath
	u := p.current.Load()
	res, had, err := u.do(req, requestPath, rawPath, tok)
	if err != nil && (!had || neverSent(err)) && req.Context().Err() == nil {
		next, why := p.rediscover(req.Context(), u)
		if next == nil || !replayable {
			return nil, unreachable(u, err, why)
		}
		u, req = next, cloneForRetry(req, body)
		res, _, err = u.do(req, requestPath, rawPath, tok)
	}
	if err != nil {
		return nil, unreachable(u, err, nil)
	}
	if res.StatusCode != http.StatusUnauthorized {
		p.worked(tok, res)
		return res, nil
	}
	// Without another token, the API server's response says more than the error.
	next, ok, err := p.cfg.Tokens.Replace(req.Context(), tok)
	if err != nil || !ok || !replayable || maybeAnother(req.Method, requestPath) {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDrained) // so that the connection can be reused
	_ = res.Body.Close()
	if res, _, err = u.do(cloneForRetry(req, body), requestPath, rawPath, next); err != nil {
		return nil, unreachable(u, err, nil)
	}
	p.worked(next, res)
	return res, nil
}

// worked reports an accepted token. A server error says nothing about the token.
func (p *Proxy) worked(tok token.Token, res *http.Response) {
	if res.StatusCode != http.StatusUnauthorized && res.StatusCode < http.StatusInternalServerError {
		p.cfg.Tokens.Worked(tok)
	}
}

// maybeAnother reports whether a 401 may come from a program behind the API server that
// has acted already: one below a `proxy` subresource.
func maybeAnother(method, p string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return subresourceOf(path.Clean(p)) == "proxy"
}

// bufferBody buffers a small body, and reports whether the request can be replayed.
func bufferBody(req *http.Request) (body []byte, replayable bool, err error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, true, nil
	}
	if req.ContentLength < 0 || req.ContentLength > maxHeld {
		return nil, false, nil
	}
	body = make([]byte, req.ContentLength)
	if _, err := io.ReadFull(req.Body, body); err != nil {
		return nil, false, err
	}
	_ = req.Body.Close()
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody() // which does not fail
	return body, true, nil
}

// cloneForRetry returns a request to send again. The original may still be in use.
func cloneForRetry(req *http.Request, body []byte) *http.Request {
	req = req.Clone(req.Context())
	if body != nil {
		req.Body, _ = req.GetBody() // which does not fail
	}
	return req
}

// neverSent reports whether an error means that the name, the address or the
// certificate is wrong, so that no server has received any part of the request, even if
// a connection that had just ended was tried before.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.As(err, &cert) ||
		errors.As(err, &host) || errors.As(err, &record)
}

func unreachable(u *upstream, err, rediscovery error) error {
	reason, timeout := err.Error(), false
	var op *net.OpError
	var dns *net.DNSError
	var wait net.Error
	if timeout = errors.As(err, &wait) && wait.Timeout(); timeout {
		reason = "no answer in time"
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		reason = "the host does not exist"
	case timeout:
	case errors.As(err, &op):
		reason = op.Err.Error()
	}
	return &UnreachableError{Host: u.base.Host, Reason: reason, Rediscovery: rediscovery, Timeout: timeout, Err: err}
}

// rediscovery calls Resolve, one call at a time and with a back-off.
type rediscovery struct {
	mu       sync.Mutex
	next     time.Time
	failures int
	last     error
	flight   chan struct{}
}

// rediscover returns another upstream than old, or nil and the error of Resolve.
func (p *Proxy) rediscover(ctx context.Context, old *upstream) (*upstream, error) {
	if p.cfg.Resolve == nil {
		return nil, nil
	}
	a := &p.rediscovery
	a.mu.Lock()
	if now := p.current.Load(); now != old {
		a.mu.Unlock()
		return now, nil
	}
	if a.flight == nil && p.cfg.Now().Before(a.next) {
		defer a.mu.Unlock()
		return nil, a.last
	}
	if a.flight == nil {
		a.flight = make(chan struct{})
		go p.resolve(context.WithoutCancel(ctx), old)
	}
	done := a.flight
	a.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if now := p.current.Load(); now != old {
		return now, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return nil, a.last
}

// resolve calls Resolve once, for all waiting requests.
func (p *Proxy) resolve(ctx context.Context, old *upstream) {
	ctx, cancel := context.WithTimeout(ctx, rediscoverTimeout)
	defer cancel()
	target, err := p.cfg.Resolve(ctx)
	var u *upstream
	if err == nil && !target.same(old.target) {
		u, err = newUpstream(target, p.cfg.Proxy)
	}
	a := &p.rediscovery
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = err
	if u != nil {
		p.cfg.Log.Info("the API server has a new endpoint", "from", old.base.Host, "to", u.base.Host)
		p.current.Store(u)
		old.close()
		a.failures = 0
	} else {
		a.failures++
	}
	wait := min(rediscoverWait<<min(a.failures, 8), rediscoverWaitMax)
	a.next = p.cfg.Now().Add(wait/2 + rand.N(wait/2)) // #nosec G404 -- no secret
	close(a.flight)
	a.flight = nil
}
