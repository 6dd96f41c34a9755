package authproxy

import (
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
)

// stripped are the names or prefixes of the headers that are not forwarded, in lower
// case. They claim an identity or an origin, or override the method; only the proxy may
// set those.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
// (impersonation, authenticating proxy), and k8s.io/apimachinery/pkg/util/net,
// whose GetClientIP believes X-Forwarded-For and X-Real-Ip for audit logs.
var (
	strippedNames = map[string]bool{
		"authorization": true, "proxy-authorization": true, "cookie": true, "forwarded": true, "x-real-ip": true,
		"x-http-method-override": true, "x-http-method": true, "x-method-override": true,
		// The proxy has handled it.
		"expect": true,
		// The browser headers were checked by the proxy.
		"origin": true,
	}
	strippedPrefixes = []string{"impersonate-", "x-remote-", "x-forwarded-", "sec-fetch-"}
)

// bearerProtocol begins a WebSocket subprotocol in which API servers accept a token
// instead of a header.
//
// Source: k8s.io/apiserver/pkg/authentication/request/websocket
const bearerProtocol = "base64url.bearer.authorization.k8s.io." // #nosec G101 -- what a protocol is called

// ownOrigin is the Origin of forwarded WebSockets. The API server refuses a watch
// without an Origin with 403, and accepts any.
//
// Source: golang.org/x/net/websocket, Origin, which k8s.io/apiserver watches with
const ownOrigin = "https://kubernetes"

// rewrite builds the outgoing request. ReverseProxy has removed the headers that
// Connection names before; headers that are added later stay.
func rewrite(r *httputil.ProxyRequest) {
	h := r.Out.Header
	for name := range h {
		if isStripped(name) {
			delete(h, name)
		}
	}
	if protocols := h.Values("Sec-Websocket-Protocol"); len(protocols) > 0 {
		h.Del("Sec-Websocket-Protocol")
		if kept := withoutBearer(protocols); kept != "" {
			h.Set("Sec-Websocket-Protocol", kept)
		}
	}
	if strings.EqualFold(r.In.Header.Get("Upgrade"), "websocket") {
		h.Set("Origin", ownOrigin)
	}
	// Trailers could contain stripped headers.
	r.Out.Trailer = nil
	h.Del("Te")
	r.Out.Host = "" // use the URL's host, which the API server's certificate has
}

// isStripped treats an underscore as a dash, as some servers do.
func isStripped(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if strippedNames[name] {
		return true
	}
	for _, prefix := range strippedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func withoutBearer(protocols []string) string {
	var kept []string
	for _, line := range protocols {
		for protocol := range strings.SplitSeq(line, ",") {
			protocol = textproto.TrimString(protocol)
			if protocol != "" && !strings.HasPrefix(strings.ToLower(protocol), bearerProtocol) {
				kept = append(kept, protocol)
			}
		}
	}
	return strings.Join(kept, ", ")
}

func impersonates(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			return true
		}
	}
	return false
}
