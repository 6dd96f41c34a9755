package authproxy

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// check decides whether an authenticated request may be forwarded. It does not read the
// body.
func (p *Proxy) check(r *http.Request) *Status {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return refusal(http.StatusMethodNotAllowed, "the method is none of an API server")
	}
	if !strings.HasPrefix(r.URL.Path, "/") {
		return refusal(http.StatusBadRequest, "the path does not begin with a slash")
	}
	if hasDots(r.URL.Path) {
		// A server on the way could resolve them, and then execute another request than
		// the one that was checked.
		return refusal(http.StatusBadRequest, "the path has . or .. in it")
	}
	if protocol := upgrade(r); protocol != "" {
		if p.cfg.ReadOnly {
			return refusal(http.StatusForbidden, "the proxy is read-only: no upgrades")
		}
		// Other protocols, such as h2c, would bypass these checks.
		if !strings.EqualFold(protocol, "websocket") && !strings.EqualFold(protocol, "SPDY/3.1") {
			return refusal(http.StatusBadRequest, "only upgrades to websocket and SPDY/3.1 are passed on")
		}
	}
	if p.cfg.ReadOnly {
		return checkReadOnly(r.Method, r.URL)
	}
	return nil
}

// checkSender refuses web pages and clients without the bearer token.
func (p *Proxy) checkSender(r *http.Request) *Status {
	// A page whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name here.
	if !p.cfg.AnyHost && !isLoopbackName(hostOnly(r.Host)) {
		return refusal(http.StatusForbidden, "the Host header is not a loopback address")
	}
	for _, origin := range r.Header.Values("Origin") {
		if !sameOrigin(origin, r.Host, r.TLS != nil) {
			return refusal(http.StatusForbidden, "the request comes from a web page of another origin")
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return refusal(http.StatusForbidden, "the request comes from a web page of another site")
	}
	if p.cfg.Bearer == "" {
		return nil
	}
	// Exactly one, so that it is clear which one counts.
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return refusal(http.StatusUnauthorized, "the proxy wants its own bearer token, which is in the kubeconfig it wrote")
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(value)), []byte(p.cfg.Bearer)) != 1 {
		return refusal(http.StatusUnauthorized, "this is not the proxy's bearer token; it changes with each start")
	}
	return nil
}

func isLoopbackName(host string) bool {
	return host == "127.0.0.1" || host == "::1" || strings.EqualFold(host, "localhost")
}

// sameOrigin reports whether an Origin is that of the proxy itself: some clients other
// than browsers send it with WebSockets.
func sameOrigin(origin, host string, secure bool) bool {
	u, err := url.Parse(origin)
	if err != nil || !isLoopbackName(u.Hostname()) || !strings.EqualFold(u.Host, host) || u.Path != "" || u.User != nil {
		return false
	}
	return u.Scheme == map[bool]string{false: "http", true: "https"}[secure]
}

// upgrade is the protocol that a request wants to upgrade to, or empty. A request with
// an Upgrade header but no Connection header, or the reverse, counts as an upgrade too.
func upgrade(r *http.Request) string {
	if protocols := r.Header.Values("Upgrade"); len(protocols) > 0 {
		return strings.Join(protocols, ",")
	}
	for _, v := range r.Header.Values("Connection") {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return "?"
			}
		}
	}
	return ""
}

// hasDots reports whether a decoded path has an element . or .., also after a
// backslash, which some programs treat as a slash.
func hasDots(p string) bool {
	for element := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '/' || r == '\\' }) {
		if element == "." || element == ".." {
			return true
		}
	}
	return false
}

// execSubresources are the subresources through which a GET runs or accesses programs
// in pods and on nodes.
//
// Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
var execSubresources = map[string]bool{"exec": true, "attach": true, "portforward": true, "proxy": true}

// checkReadOnly allows requests that only read. It parses paths as an API server does
// (RequestInfoFactory), so every other spelling of a path is refused first.
func checkReadOnly(method string, u *url.URL) *Status {
	if method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions {
		return refusal(http.StatusForbidden, "the proxy is read-only: only GET, HEAD and OPTIONS")
	}
	if !plainPath(u) {
		return refusal(http.StatusBadRequest, "the proxy is read-only, and this path can be read in more than one way")
	}
	if subresource := subresourceOf(u.Path); execSubresources[subresource] {
		return refusal(http.StatusForbidden, "the proxy is read-only: no "+subresource)
	}
	return nil
}

// plainPath reports whether a path is unambiguous: no doubled slashes, no backslashes,
// spaces or control characters, and no encoded separators.
func plainPath(u *url.URL) bool {
	if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
		return false
	}
	if strings.ContainsFunc(u.Path, func(r rune) bool {
		return r < ' ' || unicode.IsSpace(r) || r == 0x7f || r == '\\' || r == ';' || r == '%'
	}) {
		return false
	}
	// Only a slash would give the decoded path more elements.
	return strings.Count(u.EscapedPath(), "/") == strings.Count(u.Path, "/")
}

// subresourceOf is the subresource of a path, or empty.
//
// Source: RequestInfoFactory.NewRequestInfo in k8s.io/apiserver
func subresourceOf(p string) string {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		parts = parts[3:]
	default:
		return ""
	}
	// Old servers have the verb in the path.
	if parts[0] == "proxy" || parts[0] == "redirect" {
		return "proxy"
	}
	if parts[0] == "watch" {
		parts = parts[1:]
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		// namespaces/NAME/status is a subresource, namespaces/NAME/pods is not.
		if len(parts) == 3 {
			return parts[2]
		}
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[2]
	}
	return ""
}
