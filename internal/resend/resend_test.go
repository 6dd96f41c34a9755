package resend_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/resend"
)

func TestAgain(t *testing.T) {
	broken := func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	for _, tt := range []struct {
		name   string
		body   io.Reader
		change func(*http.Request)
		can    bool
	}{
		{"no body", nil, func(*http.Request) {}, true},
		{"an empty one", http.NoBody, func(*http.Request) {}, true},
		{"one that can be read again", strings.NewReader("text"), func(*http.Request) {}, true},
		{"one that cannot", strings.NewReader("text"), func(r *http.Request) { r.GetBody = nil }, false},
		{"one that fails", strings.NewReader("text"), func(r *http.Request) { r.GetBody = broken }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://host/path", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(req)
			before := req.Body
			again, can := resend.Clone(req)
			if can != tt.can || req.Body != before {
				t.Fatalf("%v", can)
			}
			if !can || before == nil || before == http.NoBody {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body) // the first time
			if text, err := io.ReadAll(again.Body); string(text) != "text" || err != nil {
				t.Errorf("%q %v", text, err)
			}
		})
	}
}

type closing struct{ io.Reader }

var errClosed = errors.New("closed")

func (c *closing) Close() error { c.Reader = nil; return errClosed }

func TestClose(t *testing.T) {
	body := &closing{strings.NewReader("text")}
	resend.Close(&http.Request{Body: body})
	if body.Reader != nil {
		t.Error("it is open")
	}
	resend.Close(&http.Request{})
}
