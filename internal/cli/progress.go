package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ekskey/ekskey/internal/discovery"
)

// redraw is how often the bar is drawn at the most, and tell how often a line is
// written where there is none.
const (
	redraw = 100 * time.Millisecond
	tell   = 2 * time.Second
)

// progress tells on stderr how far a search is: on a terminal in one line that is
// written over and erased at the end, with no escape sequences but carriage
// returns; elsewhere, if it takes long, in a plain line every now and then.
type progress struct {
	app   *app
	width func() int // in columns; nil where there is no line to write over
	drawn int        // columns of the line that stands there
	last  time.Time
}

func (a *app) newProgress() *progress {
	p := &progress{app: a, last: a.env.Now()}
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
	if now.Clusters > 0 {
		p.count("describing clusters", now.Described, now.Clusters)
		return
	}
	p.count("listing regions", now.Listed, now.Listings)
}

// count shows how many of how many things are done. One goroutine at a time calls it.
func (p *progress) count(what string, done, all int) {
	often := redraw
	if p.width == nil {
		often = tell
	}
	at := p.app.env.Now()
	if at.Sub(p.last) < often {
		return
	}
	p.last = at
	if p.width == nil {
		_, _ = fmt.Fprintf(p.app.env.Stderr, "%s: %d of %d\n", what, done, all)
		return
	}
	p.draw(bar(what, done, all, p.width()-1)) // the last column makes some terminals begin a new line
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
