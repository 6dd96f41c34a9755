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

// OAuth2 gives the source's tokens to what takes an oauth2.TokenSource. It keeps
// one and renews it in time, so it is to be made once and not for each request.
// ctx is what tokens are minted in: when it has ended, there are no new ones. It
// fails as Token does.
func (s *Source) OAuth2(ctx context.Context) oauth2.TokenSource {
	return oauth2Source{ctx: ctx, keeper: s.keeper()}
}

// RoundTripper sends requests through base with the source's tokens, as
// Keeper.RoundTripper does. Nil means http.DefaultTransport.
func (s *Source) RoundTripper(base http.RoundTripper) http.RoundTripper {
	return s.keeper().RoundTripper(base)
}

// Invalidate has credentials got anew for the next token, where their provider
// has an Invalidate method.
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

// Token gives a token. A bearer token is what it is to the caller; the expiry is
// the token's own.
func (o oauth2Source) Token() (*oauth2.Token, error) {
	tok, err := o.keeper.Token(o.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: tok.Value(), TokenType: "Bearer", Expiry: tok.Expiry}, nil
}

// ClearTextError says that a token was to be sent without TLS.
type ClearTextError struct{ Host string }

func (e *ClearTextError) Error() string {
	return "a token is not sent to " + e.Host + " without TLS"
}

// RoundTripper sends requests through base, each with the Keeper's token; nil
// means http.DefaultTransport. A request that has an Authorization header goes as
// it is. A redirect to another host gets no token, and nothing after it does. After
// a 401 the token is replaced, and the request is sent once more if its body can be,
// and unless it may have changed what is behind the proxy of a service, pod or node;
// the second answer is the caller's, whatever it says. It fails with *ClearTextError for
// what is not https, with what base fails with, and with what the Keeper does.
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

// WrappedRoundTripper is what Kubernetes' libraries look for transports by.
func (t *roundTripper) WrappedRoundTripper() http.RoundTripper { return t.base }

// RoundTrip sends a request.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header.Values("Authorization")) > 0 || elsewhere(req) {
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
	again, can := resend.Again(req)
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

// send sends a copy, because a RoundTripper leaves a request as it is.
func (t *roundTripper) send(req *http.Request, tok Token) (*http.Response, error) {
	with := req.Clone(req.Context())
	with.Header.Set("Authorization", "Bearer "+tok.Value())
	res, err := t.base.RoundTrip(with)
	if res != nil {
		res.Request = req // and nobody who prints the answer's request prints the token
	}
	return res, err
}

// elsewhere reports whether a server has sent the caller to another host, who
// must not get the token: anything behind an API server's proxy can do that. A way
// back does not change it: it is the other host that chose the request.
func elsewhere(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; {
		r = r.Response.Request
		if r.URL.Scheme != req.URL.Scheme || r.URL.Host != req.URL.Host {
			return true
		}
	}
	return false
}

// repeatable reports whether a request that got a 401 can have done nothing yet.
// The API server refuses before it does anything, but below the proxy of a
// service, pod or node the answer may be of what stands behind it.
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

// maxDiscard is how much of an unwanted answer is read to keep its connection.
const maxDiscard = 64 << 10

func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxDiscard)
	_ = res.Body.Close()
}
