package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/discovery"
)

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		done, all, width int
		want             string
	}{
		{0, 10, 79, "describing 0/10 [........................................]"},
		{5, 10, 79, "describing 5/10 [####################....................]"},
		{10, 10, 30, "describing 10/10 [###########]"},
		{10, 10, 20, "describing 10/10"},
		{10, 10, 7, "describ"},
		{10, 10, 0, ""},
		{0, 0, 79, "describing 0/0"},
	} {
		if got := bar("describing", tt.done, tt.all, tt.width); got != tt.want || len(got) > tt.width {
			t.Errorf("%d of %d in %d columns: %q, want %q", tt.done, tt.all, tt.width, got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	run := func(width int) string {
		var out bytes.Buffer
		a := testApp()
		now := time.Unix(0, 0)
		a.env.Stderr, a.env.Now = &out, func() time.Time { now = now.Add(redraw / 4); return now }
		p := a.newProgress()
		if width > 0 {
			p.width = func() int { return width }
		}
		for i := range 6 {
			p.show(discovery.Progress{Listed: i, Listings: 5})
		}
		for i := range 201 {
			p.show(discovery.Progress{Listed: 5, Listings: 5, Described: i, Clusters: 200})
		}
		p.end()
		p.end()
		return out.String()
	}
	// 207 steps of redraw/4 each.
	const want = "describing clusters: 73 of 200\ndescribing clusters: 153 of 200\n"
	if plain := run(0); plain != want {
		t.Errorf("plain: %q", plain)
	}
	terminal := run(60)
	if strings.ContainsAny(terminal, "\n\x1b") || !strings.HasSuffix(terminal, "\r") {
		t.Errorf("terminal: %q", terminal)
	}
	lines := strings.Split(strings.TrimSuffix(terminal, "\r"), "\r")
	if last := lines[len(lines)-1]; strings.TrimSpace(last) != "" || len(last) < len(strings.TrimRight(lines[len(lines)-3], " ")) {
		t.Errorf("terminal: it is not erased: %q", terminal)
	}
	if len(lines) < 10 || len(lines) > 80 {
		t.Errorf("terminal: %d lines of 207 steps", len(lines))
	}
	for _, l := range lines {
		if len(l) > 59 {
			t.Errorf("terminal: %q is %d columns", l, len(l))
		}
	}
}
