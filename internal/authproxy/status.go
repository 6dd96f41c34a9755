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

// Status is Kubernetes' error document, so that clients show the message.
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

// reasons are Kubernetes' reasons for codes.
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

// isDiscoveryPath reports whether a path is one that client-go requests first, for API
// discovery. There it does not parse a Status: it shows the message if it is plain
// text, else "unknown"; and for the codes 503 and 504 it shows its own text.
//
// Source: k8s.io/client-go/discovery, and NewGenericServerResponse of
// k8s.io/apimachinery/pkg/api/errors.
func isDiscoveryPath(path string) bool {
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
	if isDiscoveryPath(r.URL.Path) {
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
	_, _ = w.Write(body) // an error means that the client is gone
}

// failed answers a request if the API server did not.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// The client is gone, or the drain is over.
		p.cfg.Log.Debug("request abandoned", "method", r.Method, "path", r.URL.Path)
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

// printable keeps foreign text, as in a certificate, from controlling the terminal on
// which a client shows it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
