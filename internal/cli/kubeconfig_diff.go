package cli

import (
	"runtime"
	"strings"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// The colours of a diff, as git has them (ECMA-48, SGR).
const (
	sgrBold  = "\x1b[1m"
	sgrRed   = "\x1b[31m"
	sgrGreen = "\x1b[32m"
	sgrCyan  = "\x1b[36m"
	sgrReset = "\x1b[m"
)

// writeDiffs writes what would change, nothing where nothing would.
func (a *app) writeDiffs(edits []kubeconfig.Edit) {
	colour := wantColour(isTerminal(a.env.Stdout), runtime.GOOS, a.env.Getenv)
	for _, e := range edits {
		diff := e.Diff()
		if colour {
			diff = paint(diff)
		}
		a.out.WriteString(diff)
	}
}

// wantColour reports whether colours are shown as such, and wanted
// (https://no-color.org). On Windows only a terminal that says what it is is
// known to have them.
func wantColour(terminal bool, system string, getenv func(string) string) bool {
	if !terminal || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	return system != "windows" || getenv("WT_SESSION") != "" || getenv("TERM") != ""
}

// paint colours the unified diff of one file, whose first two lines name it.
func paint(diff string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(diff) {
		text := strings.TrimSuffix(line, "\n")
		colour := ""
		switch {
		case n < 2:
			colour = sgrBold
		case strings.HasPrefix(text, "@@"):
			colour = sgrCyan
		case strings.HasPrefix(text, "-"):
			colour = sgrRed
		case strings.HasPrefix(text, "+"):
			colour = sgrGreen
		}
		n++
		if colour == "" {
			b.WriteString(line)
			continue
		}
		b.WriteString(colour + text + sgrReset + line[len(text):])
	}
	return b.String()
}
