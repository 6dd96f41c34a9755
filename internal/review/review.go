// Package review parses and answers the review objects that kube-apiserver posts to its
// webhooks: TokenReview and SubjectAccessReview.
package review

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// Body reads the body of a request that posts a JSON document of at most limit bytes.
// For any other request, problem is the reason, and status the HTTP status of the
// answer. The caller calls release once it has decoded the body; it is never nil. What
// all bodies hold until then is bounded by the [Budget] of the connection, if it has one:
// beyond it the status is 429.
func Body(r *http.Request, limit int) (body []byte, release func(), status int, problem string) {
	if r.Method != http.MethodPost {
		return nil, nothing, http.StatusMethodNotAllowed, "the method must be POST"
	}
	if t := r.Header.Get("Content-Type"); t != "application/json" {
		if t, _, err := mime.ParseMediaType(t); err != nil || t != "application/json" {
			return nil, nothing, http.StatusUnsupportedMediaType, "the body must be application/json"
		}
	}
	if r.ContentLength > int64(limit) {
		return nil, nothing, http.StatusRequestEntityTooLarge, "the body is too long"
	}
	lease := newLease(r.Context())
	fail := func(status int, problem string) ([]byte, func(), int, string) {
		lease.release()
		return nil, nothing, status, problem
	}
	size := int(r.ContentLength)
	if size < 0 || size > firstRead {
		size = firstRead
	}
	// The buffer grows with what has arrived, not with what was announced. One byte more
	// than the limit is read, to see that there is more.
	for {
		if !lease.take(size + 1 - cap(body)) {
			return fail(http.StatusTooManyRequests, "too many requests")
		}
		body = append(make([]byte, 0, size+1), body...)
		n, err := io.ReadFull(r.Body, body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return body, lease.release, 0, ""
		case err != nil:
			return fail(http.StatusBadRequest, "the body could not be read")
		case len(body) > limit:
			return fail(http.StatusRequestEntityTooLarge, "the body is too long")
		}
		size = min(2*size+firstRead, limit)
	}
}

const firstRead = 8 << 10

func nothing() {}

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
