package awserr

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// ProxyHint names the variable of a proxy that a request could not get through to;
// empty if the error is of another kind.
func ProxyHint(err error) string {
	var op *net.OpError
	var request *url.Error
	viaProxy := errors.As(err, &op) && op.Op == "proxyconnect"
	if !viaProxy && (!errors.As(err, &request) || errors.As(err, &op)) {
		return ""
	}
	scheme := "https"
	if request != nil || errors.As(err, &request) {
		if u, err := url.Parse(request.URL); err == nil {
			scheme = u.Scheme
		}
	}
	if !viaProxy {
		// A proxy that refuses: the transport has no type for it, only its status line.
		if code := proxyStatus(request.Err.Error()); code == "" {
			return ""
		}
	}
	for _, name := range []string{strings.ToUpper(scheme) + "_PROXY", scheme + "_proxy"} {
		if os.Getenv(name) != "" {
			return "the proxy of " + name + " does not answer or does not let the request through: check " + name + ", or name the host in NO_PROXY"
		}
	}
	return ""
}

// proxyStatus is what a proxy answered CONNECT with, such as "Forbidden".
func proxyStatus(text string) string {
	for _, code := range []int{http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		if text == http.StatusText(code) {
			return text
		}
	}
	return ""
}
