package agent

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Healthy reports whether all files contain valid tokens, with a line for each cluster.
func (a *Agent) Healthy() (bool, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := true
	var b strings.Builder
	for i, t := range a.cfg.Targets {
		fresh := a.fresh(i)
		all = all && fresh
		word := "ok"
		if !fresh {
			word = "failed"
		}
		_, _ = fmt.Fprintf(&b, "%s %s", word, t.Name)
		if fresh {
			_, _ = fmt.Fprintf(&b, " until %s", a.states[i].expiry.UTC().Format(time.RFC3339))
		}
		if err := a.states[i].err; err != nil {
			_, _ = fmt.Fprintf(&b, ": %s", strings.Join(strings.Fields(err.Error()), " "))
		}
		b.WriteByte('\n')
	}
	return all, b.String()
}

// ServeHTTP answers GET /healthz: 200 if Healthy, else 503. It refuses requests of web
// pages, and hosts other than loopback.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host != "127.0.0.1" && host != "::1" && host != "localhost" && host != "[::1]" || r.Header.Get("Origin") != "" {
		http.Error(w, "the Host header is not a loopback address, or the request is from a web page", http.StatusForbidden)
		return
	}
	if r.URL.Path != "/healthz" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET is allowed", http.StatusMethodNotAllowed)
		return
	}
	healthy, text := a.Healthy()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(text))
}

// Notify returns a Config.Tell that notifies systemd, on the socket of NOTIFY_SOCKET.
// It is no error if nobody listens. For an empty socket it is nil.
//
// Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
func Notify(socket string) func(state string) {
	if socket == "" {
		return nil
	}
	return func(state string) {
		c, err := net.Dial("unixgram", socket)
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte(state))
	}
}
