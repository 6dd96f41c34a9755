package authproxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// Status is the document in which Kubernetes says that something failed, so that
// its clients show the reason.
//
// Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
type Status struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Metadata   struct{} `json:"metadata"`
	Status     string   `json:"status"`
	Message    string   `json:"message"`
	Reason     string   `json:"reason,omitempty"`
	Code       int      `json:"code"`
}

// reasons are Kubernetes's words for codes.
var reasons = map[int]string{
	http.StatusBadRequest: "BadRequest", http.StatusUnauthorized: "Unauthorized", http.StatusForbidden: "Forbidden",
	http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusServiceUnavailable: "ServiceUnavailable",
	http.StatusGatewayTimeout: "Timeout", http.StatusBadGateway: "BadGateway",
}

// refusal is a Status of the proxy itself.
func refusal(code int, message string) *Status {
	return &Status{
		Kind: "Status", APIVersion: "v1", Status: "Failure", Message: "ekskey proxy: " + message, Reason: reasons[code], Code: code,
	}
}

// asksWhatThereIs reports whether a path is one of those that client-go asks first,
// to learn what the API server has. It reads no Status there: it shows the reason if
// it is plain text, and "unknown" if not; and a text of its own in place of any reason
// if the code is 503 or 504.
//
// Source: k8s.io/client-go/discovery, and NewGenericServerResponse of
// k8s.io/apimachinery/pkg/api/errors.
func asksWhatThereIs(path string) bool {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch parts[0] {
	case "api":
		return len(parts) <= 2 // as /api/v1
	case "apis":
		return len(parts) <= 3 // as /apis/apps/v1
	}
	return parts[0] == "version" || parts[0] == "openapi"
}

func writeStatus(w http.ResponseWriter, r *http.Request, s *Status) {
	body, _ := json.Marshal(s) // strings and a number: it cannot fail
	kind := "application/json"
	if asksWhatThereIs(r.URL.Path) {
		body, kind = []byte(s.Message), "text/plain; charset=utf-8"
		if s.Code > http.StatusBadGateway {
			s.Code = http.StatusBadGateway
		}
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(s.Code)
	_, _ = w.Write(body) // who does not read it has gone
}

// failed answers where the API server did not.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// Nobody is there to read it, or the drain is over.
		p.cfg.Log.Debug("request given up", "method", r.Method, "path", r.URL.Path)
		writeStatus(w, r, refusal(http.StatusServiceUnavailable, "the proxy ends"))
		return
	}
	code, message := http.StatusBadGateway, printable(err.Error())
	var no *noTokenError
	var gone *UnreachableError
	switch {
	case errors.As(err, &no):
		code = http.StatusServiceUnavailable
	case errors.As(err, &gone):
		if gone.Timeout {
			code = http.StatusGatewayTimeout
		}
	case errors.Is(err, context.DeadlineExceeded):
		code = http.StatusGatewayTimeout
	}
	p.cfg.Log.Warn("request failed", "method", r.Method, "path", r.URL.Path, "code", code, "reason", message)
	writeStatus(w, r, refusal(code, message))
}

// printable keeps what others said, as in a certificate, from steering the terminal
// that a client shows it on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
