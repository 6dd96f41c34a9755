package token

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ekskey/ekskey/internal/resend"
)

// OAuth2 returns an oauth2.TokenSource with the source's tokens. It holds one token and
// renews it in time, so create it once and not for each request. ctx is the context of
// minting: when it has ended, there are no new tokens. It fails as Token does.
func (s *Source) OAuth2(ctx context.Context) oauth2.TokenSource {
	return oauth2Source{ctx: ctx, keeper: s.keeper()}
}

// RoundTripper sends requests through base with the source's tokens, as
// Keeper.RoundTripper does. Nil means http.DefaultTransport.
func (s *Source) RoundTripper(base http.RoundTripper) http.RoundTripper {
	return s.keeper().RoundTripper(base)
}

// Invalidate reloads the credentials for the next token, if their provider has an
// Invalidate method.
func (s *Source) Invalidate() {
	if cache, ok := s.credentials.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
}

func (s *Source) keeper() *Keeper { return newKeeper(KeeperConfig{Minter: s, Now: s.now}) }

type oauth2Source struct {
	ctx    context.Context
	keeper *Keeper
}

// Token returns a token as a bearer token with its expiry.
func (o oauth2Source) Token() (*oauth2.Token, error) {
	tok, err := o.keeper.Token(o.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: tok.Value(), TokenType: "Bearer", Expiry: tok.Expiry}, nil
}

// ClearTextError reports an attempt to send a token without TLS.
type ClearTextError struct{ Host string }

func (e *ClearTextError) Error() string {
	return "a token is not sent to " + e.Host + " without TLS"
}

// RoundTripper sends requests through base, each with the Keeper's token; nil means
// http.DefaultTransport. A request that has an Authorization header is sent unchanged.
// A redirect to another host gets no token, nor does any request after it. After a 401
// the token is replaced, and the request is sent once more if its body can be replayed,
// unless it may have changed something behind the proxy of a service, pod or node; the
// second response is returned to the caller, whatever its status. It fails with
// *ClearTextError without https, and with the errors of base and of the Keeper.
func (k *Keeper) RoundTripper(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &roundTripper{keeper: k, base: base}
}

type roundTripper struct {
	keeper *Keeper
	base   http.RoundTripper
}

// WrappedRoundTripper is the method by which Kubernetes' libraries unwrap transports.
func (t *roundTripper) WrappedRoundTripper() http.RoundTripper { return t.base }

// RoundTrip implements http.RoundTripper.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header.Values("Authorization")) > 0 || redirected(req) {
		return t.base.RoundTrip(req)
	}
	if req.URL.Scheme != "https" {
		resend.Close(req)
		return nil, &ClearTextError{Host: req.URL.Host}
	}
	ctx := req.Context()
	tok, err := t.keeper.Token(ctx)
	if err != nil {
		resend.Close(req)
		return nil, err
	}
	res, err := t.send(req, tok)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusUnauthorized {
		if res.StatusCode < http.StatusInternalServerError {
			t.keeper.Worked(tok)
		}
		return res, nil
	}
	newer, ok, err := t.keeper.Replace(ctx, tok)
	if err != nil {
		discard(res)
		return nil, fmt.Errorf("replacing a token that was refused: %w", err)
	}
	if !ok || !repeatable(req) {
		return res, nil
	}
	again, can := resend.Clone(req)
	if !can {
		return res, nil
	}
	discard(res)
	if res, err = t.send(again, newer); err == nil && res.StatusCode < http.StatusInternalServerError &&
		res.StatusCode != http.StatusUnauthorized {
		t.keeper.Worked(newer)
	}
	return res, err
}

// send sends a copy, because a RoundTripper must not change a request.
func (t *roundTripper) send(req *http.Request, tok Token) (*http.Response, error) {
	with := req.Clone(req.Context())
	with.Header.Set("Authorization", "Bearer "+tok.Value())
	res, err := t.base.RoundTrip(with)
	if res != nil {
		res.Request = req // so that printing the response's request does not print the token
	}
	return res, err
}

// redirected reports whether a server has redirected the caller to another host, which
// must not get the token: an application behind an API server's proxy can do that. A
// redirect back changes nothing: the other host chose the request.
func redirected(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; {
		r = r.Response.Request
		if r.URL.Scheme != req.URL.Scheme || r.URL.Host != req.URL.Host {
			return true
		}
	}
	return false
}

// repeatable reports whether a request that got a 401 cannot have had an effect. The
// API server refuses before it acts, but below the proxy of a service, pod or node the
// response may be that of the program behind it.
// Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	parts := strings.Split(req.URL.Path, "/")
	for i := 2; i < len(parts); i++ {
		// As in /api/v1/namespaces/{namespace}/services/{name}/proxy/{path}.
		if kind := parts[i-2]; parts[i] == "proxy" && (kind == "services" || kind == "pods" || kind == "nodes") {
			return false
		}
	}
	return true
}

// maxDiscard is how much of an unwanted response is read to keep its connection.
const maxDiscard = 64 << 10

func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxDiscard)
	_ = res.Body.Close()
}
