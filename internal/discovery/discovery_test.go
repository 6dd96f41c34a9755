package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// text is a listing in one line.
func text(l discovery.Listing) string {
	s := fmt.Sprintf("%s %s %s %d", l.Profile, l.Region, l.Account, len(l.Names))
	var api *awserr.APIError
	if errors.As(l.Err, &api) {
		return s + " " + api.Code
	}
	if l.Err != nil {
		s += " failed"
	}
	return s
}

func check(t *testing.T, got []discovery.Listing, want ...string) {
	t.Helper()
	var lines []string
	for _, l := range got {
		lines = append(lines, text(l))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("c%03d", i))
	}
	return all
}

func TestList(t *testing.T) {
	w := newWorld(t)
	w.add(t, accountA, regionA, "x", "b")
	w.add(t, accountA, regionB, names(230)...)
	w.add(t, accountB, regionB, "y")
	sources := w.sources(t, "b", "a")
	sources = append(sources, discovery.Source{Profile: "lost", Err: errors.New("no such profile")})
	var last discovery.Progress
	f := discovery.New(discovery.Config{Progress: func(p discovery.Progress) { last = p }})
	got, err := f.List(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, "b eu-central-1 444455556666 0", "b us-east-1 444455556666 1",
		"a eu-central-1 111122223333 2", "a us-east-1 111122223333 230", "lost   0 failed")
	if !slices.Equal(got[2].Names, []string{"b", "x"}) {
		t.Errorf("names %q", got[2].Names)
	}
	if want := (discovery.Progress{Listed: 5, Listings: 5}); last != want {
		t.Errorf("progress %+v", last)
	}
}

// What fails is told, and stops nothing else.
func TestListFaults(t *testing.T) {
	secondPage := func(r *http.Request) bool { return r.URL.Query().Get("nextToken") != "" }
	inB := func(r *http.Request) bool {
		region, service := to(r)
		return region == regionB && service == "eks"
	}
	for _, tt := range []struct {
		name   string
		struck func(*http.Request) bool
		answer func(http.ResponseWriter) bool
		want   string // of region B
	}{
		{"a region", inB, func(rw http.ResponseWriter) bool {
			return refuse(rw, "UnrecognizedClientException", http.StatusForbidden)
		}, "UnrecognizedClientException"},
		{"the second page", secondPage, func(rw http.ResponseWriter) bool {
			return refuse(rw, "AccessDeniedException", http.StatusForbidden)
		}, "AccessDeniedException"},
		{"a second page that is nothing", secondPage, func(rw http.ResponseWriter) bool { return answer(rw, `<html>`) }, "failed"},
		{"an empty second page", secondPage, func(rw http.ResponseWriter) bool { return answer(rw, ``) }, "failed"},
		{"an empty answer", inB, func(rw http.ResponseWriter) bool { return answer(rw, ``) }, "failed"},
		{"an empty object", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{}`) }, "failed"},
		{"no list", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":null}`) }, "failed"},
		{"a list that is a string", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":"[]"}`) }, "failed"},
		{"a list that is an object", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":{}}`) }, "failed"},
		{"a list under another name", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"Clusters":[]}`) }, "failed"},
		{"a proxy's answer", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"message":"blocked by proxy"}`) }, "failed"},
		{"null", inB, func(rw http.ResponseWriter) bool { return answer(rw, `null`) }, "failed"},
		{"an array", inB, func(rw http.ResponseWriter) bool { return answer(rw, `[]`) }, "failed"},
		{"garbage behind", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":[]} garbage`) }, "failed"},
		{"a second answer behind", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":[]}{"clusters":["x"]}`) }, "failed"},
		{"half an answer", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":["x"]`) }, "failed"},
		{"no name", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":[null]}`) }, "failed"},
		{"a token that is no string", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":[],"nextToken":{}}`) }, "failed"},
		{"no content", inB, func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusNoContent); return true }, "failed"},
		{"no end", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":["x"],"nextToken":"again"}`) }, "failed"},
		{"a name that leads elsewhere", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":["../x"]}`) }, "failed"},
		{"a name with an escape", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":["x\u001b[2J"]}`) }, "failed"},
		{"an empty name", inB, func(rw http.ResponseWriter) bool { return answer(rw, `{"clusters":[""]}`) }, "failed"},
		{"a long name", inB, func(rw http.ResponseWriter) bool {
			return answer(rw, `{"clusters":["`+strings.Repeat("x", 101)+`"]}`)
		}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.add(t, accountA, regionA, "x")
			w.add(t, accountA, regionB, names(101)...)
			w.first(func(rw http.ResponseWriter, r *http.Request) bool { return tt.struck(r) && tt.answer(rw) })
			got, err := discovery.New(discovery.Config{}).List(t.Context(), w.sources(t, "a"))
			if err != nil {
				t.Fatal(err)
			}
			check(t, got, "a eu-central-1 111122223333 1", "a us-east-1 111122223333 0 "+tt.want)
		})
	}
}

func TestNoAccount(t *testing.T) {
	w := newWorld(t)
	w.add(t, accountA, regionA, "x")
	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "AccessDenied"})
	f := discovery.New(discovery.Config{})
	sources := w.sources(t, "a")
	got, err := f.List(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, "a eu-central-1  1", "a us-east-1  0")
	answers, err := f.Describe(t.Context(), []discovery.Question{
		{Session: sources[0].Session, Region: regionA, Name: "x"},
		{Session: sources[0].Session, Region: regionA, Name: "x", Account: accountB},
		{Session: sources[0].Session, Region: regionA, Name: "gone", Account: accountA},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := answers[0].Cluster; c == nil || c.Account != accountA {
		t.Errorf("%+v", answers[0])
	}
	if answers[1].Err == nil {
		t.Error("the cluster of another account was taken for the one asked for")
	}
	if answers[2].Gone || answers[2].Err == nil {
		t.Errorf("nobody knows who asked, and yet: %+v", answers[2])
	}
}

// Too many calls: all wait, and all succeed, but where the user has said how often
// to try.
func TestThrottling(t *testing.T) {
	for _, tt := range []struct {
		name, variable, value string
		times                 int
		ok                    bool
	}{
		{"a while", "", "", 30, true},
		{"for ever", "", "", 0, false},
		{"said: once", "AWS_MAX_ATTEMPTS", "1", 1, false},
		{"said: in this mode", "AWS_RETRY_MODE", "standard", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.add(t, accountA, regionA, names(20)...)
			if tt.variable != "" {
				t.Setenv(tt.variable, tt.value)
			}
			s := w.session(t, "a", nil)
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Code: "Throttling", Times: tt.times})
			var questions []discovery.Question
			for _, n := range names(20)[:max(1, min(tt.times, 20))] {
				questions = append(questions, discovery.Question{Session: s, Region: regionA, Name: n, Account: accountA})
			}
			answers, err := discovery.New(discovery.Config{Backoff: time.Millisecond}).Describe(t.Context(), questions)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range answers {
				var api *awserr.APIError
				if ok := a.Cluster != nil; ok != tt.ok || !ok && (!errors.As(a.Err, &api) || !api.Throttled()) {
					t.Errorf("%d: %+v", i, a)
				}
			}
			if n := w.aws.Counts()[fakeaws.DescribeCluster]; tt.ok && n != 50 || tt.value == "1" && n != 1 || tt.value == "standard" && n != 3 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.add(t, accountA, regionA, names(30)...)
	w.add(t, accountA, regionB, names(30)...)
	w.add(t, accountB, regionB, names(30)...)
	var calls gauge
	w.first(func(rw http.ResponseWriter, r *http.Request) bool {
		region, _ := to(r)
		_, who, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		who, _, _ = strings.Cut(who, "/")
		for _, key := range []string{"all", who + region} {
			calls.add(key, 1)
			defer calls.add(key, -1)
		}
		time.Sleep(2 * time.Millisecond) // as AWS takes its time
		w.aws.ServeHTTP(rw, r)
		return true
	})
	f := discovery.New(discovery.Config{AtOnce: 7, PerRegion: 3})
	listings, err := f.List(t.Context(), w.sources(t, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	var questions []discovery.Question
	for _, l := range listings {
		for _, n := range l.Names {
			questions = append(questions, discovery.Question{Session: l.Session, Region: l.Region, Name: n, Account: l.Account})
		}
	}
	answers, err := f.Describe(t.Context(), questions)
	if err != nil || len(answers) != 90 {
		t.Fatal(err, len(answers))
	}
	for i, a := range answers {
		if a.Cluster == nil || a.Cluster.Name != questions[i].Name || a.Cluster.Account != questions[i].Account {
			t.Errorf("%d: %+v", i, a)
		}
	}
	for key, n := range calls.most {
		if key == "all" && n > 7 || key != "all" && n > 3 {
			t.Errorf("%s: %d calls at once", key, n)
		}
	}
	if n := w.connections.Load(); n > 14 {
		t.Errorf("%d connections for 7 calls at once", n)
	}
}

// All sessions and regions use the same connections.
func TestConnections(t *testing.T) {
	w := newWorld(t)
	got, err := discovery.New(discovery.Config{AtOnce: 1}).List(t.Context(), w.sources(t, "a", "b", "a", "b"))
	if err != nil || len(got) != 8 {
		t.Fatal(err, len(got))
	}
	if n := w.connections.Load(); n > 2 {
		t.Errorf("%d connections for calls that came one after the other", n)
	}
}

func TestContextEnds(t *testing.T) {
	w := newWorld(t)
	w.add(t, accountA, regionA, names(100)...)
	sources := w.sources(t, "a")
	if _, err := discovery.New(discovery.Config{}).List(ended(), sources); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
	f := discovery.New(discovery.Config{})
	var questions []discovery.Question
	for _, n := range names(100) {
		questions = append(questions, discovery.Question{Session: sources[0].Session, Region: regionA, Name: n})
	}
	if _, err := f.Describe(ended(), questions); !errors.Is(err, context.Canceled) {
		t.Errorf("describe: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.first(func(rw http.ResponseWriter, r *http.Request) bool {
		if _, service := to(r); service != "eks" {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := discovery.New(discovery.Config{}).Describe(ctx, questions); !errors.Is(err, context.Canceled) {
		t.Errorf("describe, hanging: %v", err)
	}
	// A pause of an hour.
	later, end := context.WithCancel(t.Context())
	defer end()
	w.first(func(rw http.ResponseWriter, r *http.Request) bool {
		if _, service := to(r); service != "eks" {
			return false
		}
		defer time.AfterFunc(10*time.Millisecond, end)
		return refuse(rw, "ThrottlingException", http.StatusTooManyRequests)
	})
	if _, err := discovery.New(discovery.Config{Backoff: time.Hour}).Describe(later, questions); !errors.Is(err, context.Canceled) {
		t.Errorf("describe, throttled: %v", err)
	}
}
