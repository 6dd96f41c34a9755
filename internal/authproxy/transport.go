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
	// maxHeld is how large a request's body may be, in bytes, to be kept until the
	// answer is there, so that it can be sent again with a new token.
	maxHeld = 256 << 10
	// maxDrained is how much of a 401's body is read so that its connection can be
	// used again.
	maxDrained = 16 << 10
	// askAgain and askAgainMax are the first and the longest wait between two
	// questions where the API server is.
	askAgain    = 5 * time.Second
	askAgainMax = 5 * time.Minute
	// askTimeout bounds one.
	askTimeout = 30 * time.Second
)

// noTokenError says that there is no token to send.
type noTokenError struct{ err error }

func (e *noTokenError) Error() string { return e.err.Error() }
func (e *noTokenError) Unwrap() error { return e.err }

// UnreachableError says that the API server gave no answer.
type UnreachableError struct {
	Host string
	// Reason is the innermost cause in words.
	Reason string
	// Asked is why it is not known where else it might be; nil if that was not asked.
	Asked   error
	Timeout bool
	Err     error
}

func (e *UnreachableError) Error() string {
	text := "calling the API server " + e.Host + ": " + e.Reason
	if e.Asked != nil {
		text += "; asking for its address again: " + e.Asked.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RoundTrip sends a request with a token, once more with another if it was refused,
// and once more to another address if there is one.
func (p *Proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	body, again, err := hold(req)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	tok, err := p.cfg.Tokens.Token(req.Context())
	if err != nil {
		return nil, &noTokenError{err}
	}
	asked, rawPath := req.URL.Path, req.URL.RawPath
	u := p.current.Load()
	res, had, err := u.do(req, asked, rawPath, tok)
	if err != nil && (!had || neverSent(err)) && req.Context().Err() == nil {
		next, why := p.elsewhere(req.Context(), u)
		if next == nil || !again {
			return nil, unreachable(u, err, why)
		}
		u, req = next, anew(req, body)
		res, _, err = u.do(req, asked, rawPath, tok)
	}
	if err != nil {
		return nil, unreachable(u, err, nil)
	}
	if res.StatusCode != http.StatusUnauthorized {
		p.worked(tok, res)
		return res, nil
	}
	// Where there is no other, what the API server says is more than why.
	next, ok, err := p.cfg.Tokens.Replace(req.Context(), tok)
	if err != nil || !ok || !again || maybeAnother(req.Method, asked) {
		return res, nil
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDrained) // for the connection's sake only
	_ = res.Body.Close()
	if res, _, err = u.do(anew(req, body), asked, rawPath, next); err != nil {
		return nil, unreachable(u, err, nil)
	}
	p.worked(next, res)
	return res, nil
}

// worked tells of a token that was taken. A server in trouble says nothing of it.
func (p *Proxy) worked(tok token.Token, res *http.Response) {
	if res.StatusCode != http.StatusUnauthorized && res.StatusCode < http.StatusInternalServerError {
		p.cfg.Tokens.Worked(tok)
	}
}

// maybeAnother reports whether a 401 may be that of a program behind the API server
// that has done something already: one that a `proxy` subresource leads to.
func maybeAnother(method, p string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return subresourceOf(path.Clean(p)) == "proxy"
}

// hold keeps a small body, and reports whether the request can be sent again.
func hold(req *http.Request) (body []byte, again bool, err error) {
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

// anew is a request to send again. The one sent may still be in use.
func anew(req *http.Request, body []byte) *http.Request {
	req = req.Clone(req.Context())
	if body != nil {
		req.Body, _ = req.GetBody() // which does not fail
	}
	return req
}

// neverSent reports whether an error means that the name, the address or the
// certificate is wrong, so that nothing of the request was seen by anybody, though a
// connection that had just ended may have been tried before.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.As(err, &cert) ||
		errors.As(err, &host) || errors.As(err, &record)
}

func unreachable(u *upstream, err, asked error) error {
	reason, timeout := err.Error(), false
	var op *net.OpError
	var dns *net.DNSError
	var wait net.Error
	if timeout = errors.As(err, &wait) && wait.Timeout(); timeout {
		reason = "no answer in time"
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		reason = "there is no such host"
	case timeout:
	case errors.As(err, &op):
		reason = op.Err.Error()
	}
	return &UnreachableError{Host: u.base.Host, Reason: reason, Asked: asked, Timeout: timeout, Err: err}
}

// asking asks where the API server is, one at a time and not too often.
type asking struct {
	mu       sync.Mutex
	next     time.Time
	failures int
	last     error
	flight   chan struct{}
}

// elsewhere is another way to the API server than old, or nil and why there is none.
func (p *Proxy) elsewhere(ctx context.Context, old *upstream) (*upstream, error) {
	if p.cfg.Resolve == nil {
		return nil, nil
	}
	a := &p.asking
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
		go p.ask(context.WithoutCancel(ctx), old)
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

// ask asks once, for all who wait.
func (p *Proxy) ask(ctx context.Context, old *upstream) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	target, err := p.cfg.Resolve(ctx)
	var u *upstream
	if err == nil && !target.same(old.target) {
		u, err = newUpstream(target, p.cfg.Proxy)
	}
	a := &p.asking
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = err
	if u != nil {
		p.cfg.Log.Info("the API server has moved", "from", old.base.Host, "to", u.base.Host)
		p.current.Store(u)
		old.close()
		a.failures = 0
	} else {
		a.failures++
	}
	wait := min(askAgain<<min(a.failures, 8), askAgainMax)
	a.next = p.cfg.Now().Add(wait/2 + rand.N(wait/2)) // #nosec G404 -- no secret
	close(a.flight)
	a.flight = nil
}
