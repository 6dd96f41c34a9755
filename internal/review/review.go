// Package review parses and answers the review objects that kube-apiserver posts to its
// webhooks: TokenReview and SubjectAccessReview.
package review

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
)

// Body reads the body of a request that posts a JSON document of at most limit bytes.
// For any other request, problem is the reason, and status the HTTP status of the
// answer.
func Body(r *http.Request, limit int) (body []byte, status int, problem string) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, "the method must be POST"
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, "the body must be application/json"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		return nil, http.StatusBadRequest, "the body could not be read"
	}
	if len(body) > limit {
		return nil, http.StatusRequestEntityTooLarge, "the body is too long"
	}
	return body, 0, ""
}

// Write answers with a review's status. The request's spec is not repeated:
// kube-apiserver does not read it, and a TokenReview's holds the token.
func Write(w http.ResponseWriter, apiVersion, kind string, status any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     any    `json:"status"`
	}{apiVersion, kind, status})
}
