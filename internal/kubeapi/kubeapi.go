// Package kubeapi makes the client's few Kubernetes API calls, with net/http alone:
// client-go would cost size and start-up time.
package kubeapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ekskey/ekskey/token"
)

// DefaultTimeout bounds one call.
const DefaultTimeout = 15 * time.Second

// idleTimeout is how long a connection waits for another call.
const idleTimeout = 5 * time.Second

// maxAnswer is the largest response that is read, in bytes. The requested ones have a
// few KiB.
const maxAnswer = 1 << 20

// Config configures a Client.
type Config struct {
	// Server is the API server's URL, https only. Required.
	Server string
	// CA are PEM certificates, the only trusted ones; empty means the system's.
	CA []byte
	// Token is sent as the bearer token. Required.
	Token token.Token
	// Proxy selects an HTTP proxy for a request; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Timeout bounds one call; zero means DefaultTimeout.
	Timeout time.Duration
}

// ConfigError reports an invalid field of Config.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return "Kubernetes API client: " + e.Field + " " + e.Reason }

// StatusError reports an error response of the API server.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Message is from the API server's Status document; it may be empty.
	Message string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("the API server answered %d %s", e.Code, http.StatusText(e.Code))
	if e.Message != "" && !strings.EqualFold(e.Message, http.StatusText(e.Code)) {
		text += ": " + e.Message
	}
	return text
}

// UnreachableError reports that the API server did not answer, or that the response is
// not from Kubernetes.
type UnreachableError struct {
	Host string
	// Reason is the innermost cause.
	Reason string
	Err    error
}

func (e *UnreachableError) Error() string {
	return "calling the API server " + e.Host + ": " + e.Reason
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Client calls one API server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token token.Token
	http  *http.Client
}

// New returns a Client. It fails with *ConfigError and uses no network.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.Server)
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, &ConfigError{Field: "Server", Reason: "is not an https URL"}
	}
	if c.Token.Value() == "" {
		return nil, &ConfigError{Field: "Token", Reason: "is required"}
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, &ConfigError{Field: "CA", Reason: "contains no PEM certificate"}
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return &Client{base: base, token: c.Token, http: &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			Proxy: c.Proxy, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxAnswer, IdleConnTimeout: idleTimeout,
		},
		// An API server does not redirect, and the token is for no other host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// UserInfo is the Kubernetes identity of the caller.
type UserInfo struct {
	Username string              `json:"username"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// WhoAmI returns the caller's Kubernetes identity. It requests v1 and, from servers
// before 1.28, v1beta1. It fails with *StatusError or *UnreachableError.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review
func (c *Client) WhoAmI(ctx context.Context) (UserInfo, error) {
	info, err := c.whoAmI(ctx, "v1")
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return c.whoAmI(ctx, "v1beta1")
	}
	return info, err
}

func (c *Client) whoAmI(ctx context.Context, version string) (UserInfo, error) {
	request := map[string]string{"apiVersion": "authentication.k8s.io/" + version, "kind": "SelfSubjectReview"}
	var answer struct {
		Kind   string `json:"kind"`
		Status struct {
			UserInfo UserInfo `json:"userInfo"`
		} `json:"status"`
	}
	if err := c.post(ctx, "apis/authentication.k8s.io/"+version+"/selfsubjectreviews", request, &answer); err != nil {
		return UserInfo{}, err
	}
	if answer.Kind != "SelfSubjectReview" || answer.Status.UserInfo.Username == "" {
		return UserInfo{}, c.odd(nil)
	}
	return answer.Status.UserInfo, nil
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, request{method: http.MethodPost, path: path, body: in, most: maxAnswer}, out)
}

// request is one call.
type request struct {
	method, path string
	query        url.Values
	body         any    // nil means none
	contentType  string // empty means JSON
	most         int64  // the largest response that is read, in bytes
}

func (c *Client) call(ctx context.Context, r request, out any) error {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	address := c.base.JoinPath(r.path)
	address.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, address.String(), body)
	if err != nil {
		return err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", cmp.Or(r.contentType, "application/json"))
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Value())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ekskey")
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, r.most+1))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	// A fake API server might echo the token so that it is shown.
	data = bytes.ReplaceAll(data, []byte(c.token.Value()), []byte(c.token.String()))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		var status struct {
			Kind    string `json:"kind"`
			Message string `json:"message"`
		}
		if json.Unmarshal(data, &status) != nil || status.Kind != "Status" {
			status.Message = ""
		}
		return &StatusError{Code: res.StatusCode, Message: status.Message}
	}
	if int64(len(data)) > r.most {
		return c.odd(nil)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return c.odd(err)
	}
	return nil
}

func (c *Client) odd(err error) error {
	return &UnreachableError{Host: c.base.Host, Reason: "the response is not from a Kubernetes API server", Err: err}
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reason := err.Error()
	var u *url.Error
	if errors.As(err, &u) {
		reason = u.Err.Error()
		if u.Timeout() {
			reason = "no answer in time"
		}
	}
	return &UnreachableError{Host: c.base.Host, Reason: reason, Err: err}
}
