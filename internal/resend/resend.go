// Package resend has what a wrapper of an http.RoundTripper needs to send a request
// once more, or not at all.
package resend

import "net/http"

// Clone returns a copy of a request for a retry, with the body from its start. It
// reports false if the body cannot be replayed. The request itself is unchanged.
func Clone(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := *req
	again.Body = body
	return &again, true
}

// Close closes the body of a request that is not sent, as a RoundTripper has to.
func Close(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
