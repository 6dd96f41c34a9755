package review_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ekskey/ekskey/internal/review"
)

func TestBody(t *testing.T) {
	for name, c := range map[string]struct {
		method, contentType, body string
		want                      int
	}{
		"good":          {http.MethodPost, "application/json", "{}", 0},
		"with charset":  {http.MethodPost, "application/json; charset=utf-8", "{}", 0},
		"at the limit":  {http.MethodPost, "application/json", "12345678", 0},
		"over it":       {http.MethodPost, "application/json", "123456789", http.StatusRequestEntityTooLarge},
		"GET":           {http.MethodGet, "application/json", "{}", http.StatusMethodNotAllowed},
		"PUT":           {http.MethodPut, "application/json", "{}", http.StatusMethodNotAllowed},
		"no type":       {http.MethodPost, "", "{}", http.StatusUnsupportedMediaType},
		"a form":        {http.MethodPost, "application/x-www-form-urlencoded", "{}", http.StatusUnsupportedMediaType},
		"a patch":       {http.MethodPost, "application/json-patch+json", "{}", http.StatusUnsupportedMediaType},
		"broken type":   {http.MethodPost, "application/json; =", "{}", http.StatusUnsupportedMediaType},
		"protobuf":      {http.MethodPost, "application/vnd.kubernetes.protobuf", "{}", http.StatusUnsupportedMediaType},
		"type in title": {http.MethodPost, "Application/JSON", "{}", 0},
	} {
		r := httptest.NewRequest(c.method, "/", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.contentType)
		body, _, status, problem := review.Body(r, 8)
		if status != c.want || (problem == "") != (c.want == 0) || c.want == 0 && string(body) != c.body || c.want != 0 && body != nil {
			t.Errorf("%s: %q %d %q", name, body, status, problem)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(errors.New("cut")))
	r.Header.Set("Content-Type", "application/json")
	if _, _, status, _ := review.Body(r, 8); status != http.StatusBadRequest {
		t.Errorf("a body that breaks off: %d", status)
	}
}

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	review.Write(w, "g/v1", "SomeReview", map[string]bool{"allowed": true})
	if got := w.Body.String(); got != `{"apiVersion":"g/v1","kind":"SomeReview","status":{"allowed":true}}`+"\n" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", got, w.Header())
	}
}
