package main

import (
	"strings"
	"testing"
	"time"
)

// good is a course without fault: a list and a change each second for a minute.
func good() (course, []event) {
	began := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	c := course{began: began, expired: at(30), cut: at(31), ended: at(60), ticks: map[int]time.Time{}}
	var events []event
	for s := range 60 {
		c.ticks[s+1] = at(s)
		events = append(events, event{at(s), "listed", 31, ""}, event{at(s), "saw", s + 1, ""})
	}
	return c, events
}

func TestJudge(t *testing.T) {
	c, events := good()
	detail, err := judge(c, events)
	if err != nil || detail != "60 lists in 1m0s, no 401, watch reopened after a cut" {
		t.Fatalf("%q, %v", detail, err)
	}
	without := func(kind string, from, to int) func(*course, []event) []event {
		return func(c *course, all []event) (left []event) {
			for _, e := range all {
				s := int(e.at.Sub(c.began) / time.Second)
				if e.kind != kind || s < from || s >= to {
					left = append(left, e)
				}
			}
			return left
		}
	}
	fails := func(s, code int) func(*course, []event) []event {
		return func(c *course, all []event) []event {
			return append(all, event{c.began.Add(time.Duration(s) * time.Second), "failed", code, "why"})
		}
	}
	for name, row := range map[string]struct {
		change func(*course, []event) []event
		want   string // empty: still good
	}{
		"a 401":                         {fails(32, 401), "the program saw a 401 after 32s: why"},
		"a 403":                         {fails(59, 403), "saw a 403"},
		"an error before the cut":       {fails(30, 0), "a request failed after 30s"},
		"an error long after the cut":   {fails(47, 500), "a request failed after 47s"},
		"an error at the cut":           {fails(32, 0), ""},
		"an error where nothing is cut": {func(c *course, e []event) []event { c.cut = time.Time{}; return fails(32, 0)(c, e) }, "a request failed"},
		"no lists":                      {without("listed", 0, 60), "never listed"},
		"no lists for a while":          {without("listed", 20, 40), "no list for 21s after 19s"},
		"no lists at the end":           {without("listed", 40, 60), "no list in the last 21s"},
		"few lists missing":             {without("listed", 20, 30), ""},
		"no watch":                      {without("saw", 0, 60), "the watch gave nothing"},
		"a watch that ends at expiry":   {without("saw", 29, 60), "nothing after 28s; the token ended at 30s"},
		"a watch that ends at the cut":  {without("saw", 31, 60), "nothing after 30s"},
		"a watch that comes late":       {without("saw", 31, 45), ""},
		"changes that were never made":  {func(c *course, e []event) []event { c.ticks = nil; return e }, "the watch gave nothing"},
		"an empty list": {func(c *course, e []event) []event {
			e[8].n = 0
			return e
		}, "no pods"},
	} {
		t.Run(name, func(t *testing.T) {
			c, events := good()
			events = row.change(&c, events)
			_, err := judge(c, events)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestParseEvent(t *testing.T) {
	for line, want := range map[string]event{
		"listed 31":                    {kind: "listed", n: 31},
		"saw 7":                        {kind: "saw", n: 7},
		"failed 401 Unauthorized, so ": {kind: "failed", n: 401, text: "Unauthorized, so"},
		"failed 0":                     {kind: "failed"},
		"listed":                       {},
		"listed many":                  {},
		"Listed 3":                     {},
		"":                             {},
		"SLF4J(W): No providers":       {},
	} {
		got, ok := parseEvent(line, time.Time{})
		if got != want || ok != (want.kind != "") {
			t.Errorf("%q: %+v, %t", line, got, ok)
		}
	}
}
