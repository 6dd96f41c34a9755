// Package resend is what wrappers of an http.RoundTripper need to send a request
// once more, or not at all.
package resend

import "net/http"

// Again is a request to be sent once more, with a body that begins anew. It reports
// false if the body is gone. The request itself is left as it is.
func Again(req *http.Request) (*http.Request, bool) {
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
