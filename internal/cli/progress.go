package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ekskey/ekskey/internal/discovery"
)

// redraw is how often the bar is drawn at the most.
const redraw = 100 * time.Millisecond

// progress tells on stderr how far a search is: on a terminal in one line that is
// written over and erased at the end, with no escape sequences but carriage
// returns; elsewhere in a few plain lines.
type progress struct {
	app   *app
	width func() int // in columns; nil where there is no line to write over
	drawn int        // columns of the line that stands there
	last  time.Time
	tenth [2]int // of listings and of clusters, that was told of last
}

func (a *app) newProgress() *progress {
	p := &progress{app: a}
	if f, ok := a.env.Stderr.(*os.File); ok && isTerminal(f) && a.env.Getenv("TERM") != "dumb" {
		p.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		}
	}
	return p
}

func (p *progress) show(now discovery.Progress) {
	if p.width == nil {
		p.line(0, "listed", now.Listed, now.Listings, "regions")
		p.line(1, "described", now.Described, now.Clusters, "clusters")
		return
	}
	at := p.app.env.Now()
	if at.Sub(p.last) < redraw {
		return
	}
	p.last = at
	what, done, all := "listing regions", now.Listed, now.Listings
	if now.Clusters > 0 {
		what, done, all = "describing clusters", now.Described, now.Clusters
	}
	p.draw(bar(what, done, all, p.width()-1)) // the last column makes some terminals begin a new line
}

// line tells when another tenth is done.
func (p *progress) line(which int, what string, done, all int, of string) {
	if all == 0 || done == 0 {
		return
	}
	tenth := done * 10 / all
	if all < 10 && done < all || tenth == p.tenth[which] {
		return
	}
	p.tenth[which] = tenth
	_, _ = fmt.Fprintf(p.app.env.Stderr, "%s %d of %d %s\n", what, done, all, of)
}

// bar is such a line of at most so many columns.
func bar(what string, done, all, width int) string {
	text := fmt.Sprintf("%s %d/%d", what, done, all)
	room := min(width-len(text)-3, 40)
	if room < 5 || all == 0 {
		return text[:max(0, min(len(text), width))]
	}
	full := room * done / all
	return text + " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]"
}

func (p *progress) draw(text string) {
	blank := strings.Repeat(" ", max(0, p.drawn-len(text)))
	_, _ = fmt.Fprint(p.app.env.Stderr, "\r"+text+blank)
	p.drawn = len(text)
}

// end erases the line. It may be called again.
func (p *progress) end() {
	if p.drawn > 0 {
		p.draw("")
		_, _ = fmt.Fprint(p.app.env.Stderr, "\r")
	}
}
