package authproxy

import (
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
)

// stripped are the headers that do not go through, by their names or by how these
// begin, in lower case. They say who asks, or where from, or that the method is
// another; all of that is for the proxy to say.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
// (impersonation, authenticating proxy), and k8s.io/apimachinery/pkg/util/net,
// whose GetClientIP believes X-Forwarded-For and X-Real-Ip for audit logs.
var (
	strippedNames = map[string]bool{
		"authorization": true, "proxy-authorization": true, "cookie": true, "forwarded": true, "x-real-ip": true,
		"x-http-method-override": true, "x-http-method": true, "x-method-override": true,
		// Answered by the server in front already.
		"expect": true,
		// A browser's, which said enough.
		"origin": true,
	}
	strippedPrefixes = []string{"impersonate-", "x-remote-", "x-forwarded-", "sec-fetch-"}
)

// bearerProtocol begins a WebSocket subprotocol in which API servers look for a
// token where there is no header.
//
// Source: k8s.io/apiserver/pkg/authentication/request/websocket
const bearerProtocol = "base64url.bearer.authorization.k8s.io." // #nosec G101 -- what a protocol is called

// ownOrigin is what the API server is told of where a WebSocket comes from. It
// answers a watch without an Origin with 403, and takes any.
//
// Source: golang.org/x/net/websocket, Origin, which k8s.io/apiserver watches with
const ownOrigin = "https://kubernetes"

// rewrite makes the request that goes out. ReverseProxy has taken away what the
// Connection header names, before: what is added later stays.
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
	// Trailers could name again what was stripped.
	r.Out.Trailer = nil
	h.Del("Te")
	r.Out.Host = "" // that of the URL, which the API server's certificate is for
}

// isStripped takes an underscore for a dash, as some servers do.
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
