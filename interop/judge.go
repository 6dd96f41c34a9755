package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// event is one thing that a client told.
type event struct {
	at   time.Time
	kind string // listed, saw or failed
	n    int    // pods, tick or HTTP status
	text string
}

// parseEvent reads a line of a client; others, such as warnings, are none.
func parseEvent(line string, at time.Time) (event, bool) {
	f := strings.SplitN(strings.TrimSpace(line), " ", 3)
	if len(f) < 2 || f[0] != "listed" && f[0] != "saw" && f[0] != "failed" {
		return event{}, false
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return event{}, false
	}
	e := event{at: at, kind: f[0], n: n}
	if len(f) == 3 {
		e.text = f[2]
	}
	return e, true
}

const (
	// quiet is how long a client that asks each second may say nothing: two cores
	// are shared by all of them.
	quiet = 15 * time.Second
	// recovery is how long after its connections were cut a client may say so.
	recovery = 15 * time.Second
)

// course is what was done to a client.
type course struct {
	began time.Time // its first list
	// expired is when the token it began with was refused for certain.
	expired time.Time
	// cut is when its connections were broken; zero if they were not.
	cut   time.Time
	ended time.Time
	ticks map[int]time.Time // when each change to a pod was made
}

// judge says what is wrong, or in a few words what was seen.
func judge(c course, events []event) (string, error) {
	lists, last, newest := 0, c.began, time.Time{}
	for _, e := range events {
		switch e.kind {
		case "failed":
			if e.n == http.StatusUnauthorized || e.n == http.StatusForbidden {
				return "", fmt.Errorf("the program saw a %d after %s: %s", e.n, since(c.began, e.at), e.text)
			}
			if c.cut.IsZero() || e.at.Before(c.cut) || e.at.After(c.cut.Add(recovery)) {
				return "", fmt.Errorf("a request failed after %s: %d %s", since(c.began, e.at), e.n, e.text)
			}
		case "listed":
			if e.n == 0 {
				return "", fmt.Errorf("no pods in the list after %s", since(c.began, e.at))
			}
			if e.at.Sub(last) > quiet {
				return "", fmt.Errorf("no list for %s after %s", e.at.Sub(last).Round(time.Second), since(c.began, last))
			}
			lists, last = lists+1, e.at
		case "saw":
			if made, ok := c.ticks[e.n]; ok && made.After(newest) {
				newest = made
			}
		}
	}
	switch {
	case lists == 0:
		return "", fmt.Errorf("it never listed pods")
	case c.ended.Sub(last) > quiet:
		return "", fmt.Errorf("no list in the last %s", c.ended.Sub(last).Round(time.Second))
	case newest.IsZero():
		return "", fmt.Errorf("the watch gave nothing")
	case newest.Before(c.expired), newest.Before(c.cut):
		return "", fmt.Errorf("the watch gave nothing after %s; the token ended at %s", since(c.began, newest), since(c.began, c.expired))
	case c.ended.Sub(newest) > 2*quiet:
		return "", fmt.Errorf("the watch gave nothing in the last %s", c.ended.Sub(newest).Round(time.Second))
	}
	how := "watch kept"
	if !c.cut.IsZero() {
		how = "watch reopened after a cut"
	}
	return fmt.Sprintf("%d lists in %s, no 401, %s", lists, since(c.began, c.ended), how), nil
}

func since(a, b time.Time) string { return b.Sub(a).Round(time.Second).String() }
