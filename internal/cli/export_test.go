package cli

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// CommandPaths lists every command that does something, as words behind the
// program's name.
func CommandPaths() []string {
	root := newRootCommand(newApp(Env{
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		Getenv: func(string) string { return "" }, Now: time.Now,
	}))
	var paths []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if len(c.Commands()) == 0 {
			paths = append(paths, strings.TrimPrefix(c.CommandPath(), "ekskey "))
		}
	}
	walk(root)
	return paths
}
