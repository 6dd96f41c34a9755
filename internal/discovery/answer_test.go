package discovery_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/discovery"
)

// A bad server makes no listing hold much, and is told apart from an empty one.
func TestHugeAnswers(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"a long token", `{"clusters":["x"],"nextToken":"` + strings.Repeat("t", 64<<10+1) + `"}`,
			"calling EKS ListClusters: the response's nextToken has more than 65536 bytes"},
		{"a long answer", `{"clusters":["x"],"nextToken":"` + strings.Repeat("t", 1<<20) + `"}`,
			"calling EKS ListClusters: the response has more than 1048576 bytes"},
		{"a proxy's answer", `{"message":"blocked by proxy"}`, "calling EKS ListClusters: the response is not a list of clusters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			calls := 0
			w.first(func(rw http.ResponseWriter, r *http.Request) bool {
				if _, service := to(r); service != "eks" {
					return false
				}
				calls++
				return answer(rw, tt.body)
			})
			sources := w.sources(t, "a")
			sources[0].Regions = sources[0].Regions[:1]
			got, err := discovery.New(discovery.Config{}).List(t.Context(), sources)
			if err != nil {
				t.Fatal(err)
			}
			if l := got[0]; l.Err == nil || l.Err.Error() != tt.want || l.Names != nil || calls != 1 {
				t.Errorf("%v, %q, %d calls", l.Err, l.Names, calls)
			}
		})
	}
	w := newWorld(t) // a long token that is none too long leads to the next page
	w.first(func(rw http.ResponseWriter, r *http.Request) bool {
		switch _, service := to(r); {
		case service != "eks":
			return false
		case r.URL.Query().Get("nextToken") != "":
			return answer(rw, `{"clusters":[]}`)
		}
		return answer(rw, `{"clusters":["x"],"nextToken":"`+strings.Repeat("t", 64<<10)+`"}`)
	})
	got, err := discovery.New(discovery.Config{}).List(t.Context(), w.sources(t, "a"))
	if err != nil || got[0].Err != nil || len(got[0].Names) != 1 {
		t.Errorf("%v, %+v", err, got)
	}
}

// What an interrupt breaks off is not done.
func TestProgressAtTheEnd(t *testing.T) {
	for _, hangs := range []string{"sts", "eks"} {
		for what, do := range map[string]func(context.Context, *discovery.Finder, []discovery.Source) error{
			"list": func(ctx context.Context, f *discovery.Finder, sources []discovery.Source) error {
				_, err := f.List(ctx, sources)
				return err
			},
			"describe": func(ctx context.Context, f *discovery.Finder, sources []discovery.Source) error {
				s := sources[0].Session
				_, err := f.Describe(ctx, []discovery.Question{{Session: s, Region: regionA, Name: "x"}, {Session: s, Region: regionA, Name: "y"}})
				return err
			},
		} {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			w.first(func(_ http.ResponseWriter, r *http.Request) bool {
				if _, service := to(r); service != hangs {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
				cancel()
				<-r.Context().Done()
				return true
			})
			var last discovery.Progress
			f := discovery.New(discovery.Config{Progress: func(p discovery.Progress) { last = p }})
			if err := do(ctx, f, w.sources(t, "a")); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, %s hangs: %v", what, hangs, err)
			}
			if last.Listings+last.Clusters != 2 || last.Listed+last.Described != 0 {
				t.Errorf("%s, %s hangs: %+v", what, hangs, last)
			}
		}
	}
}
