package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpOf is what `ekskey … --help` prints.
func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	a := testApp()
	root := newRootCommand(a)
	root.SetArgs(append(args, "--help"))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return a.out.String()
}

// The help of a command has the AWS flags in a group of their own, and only those that
// do something there; the others are refused.
func TestHelpOffersFlagsWithEffect(t *testing.T) {
	for _, c := range []struct {
		command string
		has     []string
		hasNot  []string
	}{
		{"token --cluster c", []string{"AWS flags:", "--profile", "--mfa-code", "--refresh", "Global flags:", "--log-level", "json, token"}, nil},
		{"eks get-token --cluster-name c", []string{"AWS flags:", "--profile", "--role-arn"}, nil},
		{"whoami", []string{"AWS flags:", "--profile", "--mfa-code"}, nil},
		{"kubeconfig update --name c", []string{"AWS flags:", "--profile", "--mfa-code"}, nil},
		{"kubeconfig list", []string{"AWS flags:", "--profile", "--mfa-command"}, []string{"--mfa-code"}},
		{"kubeconfig prune", []string{"AWS flags:", "--profile"}, []string{"--mfa-code"}},
		{"kubeconfig convert", []string{"--output"}, []string{"AWS flags", "--profile", "--no-cache"}},
		{"kubeconfig remove", nil, []string{"AWS flags", "--profile"}},
		{"inspect", []string{"--output"}, []string{"AWS flags", "--profile", "--region"}},
		{"cache list", nil, []string{"AWS flags", "--profile", "--role-arn"}},
		{"cache clear", nil, []string{"AWS flags", "--profile"}},
		{"version", nil, []string{"AWS flags", "--profile"}},
		{"completion", nil, []string{"AWS flags", "--profile", "--output"}},
		{"agent", []string{"AWS flags:", "--profile"}, []string{"--output"}},
		{"kubeconfig", []string{"Commands:", "  update"}, []string{"AWS flags"}},
		{"", []string{"Tokens and identity:\n", "Clusters and kubeconfig:\n", "Programs without exec plugins:\n", "Maintenance:\n", "AWS flags, for"}, []string{"get-token", "Additional"}},
	} {
		help := helpOf(t, strings.Fields(c.command)...)
		for _, text := range c.has {
			if !strings.Contains(help, text) {
				t.Errorf("the help of %q lacks %q:\n%s", c.command, text, help)
			}
		}
		for _, text := range c.hasNot {
			if strings.Contains(help, text) {
				t.Errorf("the help of %q has %q:\n%s", c.command, text, help)
			}
		}
		for line := range strings.Lines(help) {
			if len(line) > 81 && !strings.HasPrefix(line, "  ekskey ") && !strings.HasPrefix(line, "    --") { // examples
				t.Errorf("the help of %q has a long line: %s", c.command, line)
			}
		}
	}
}

// Whether a global flag is refused and whether the help offers it is one decision, for
// every command there is and wherever the flag stands.
func TestFlagsWithoutEffectAreRefused(t *testing.T) {
	commands := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if cmd.HasSubCommands() || strings.HasPrefix(cmd.Name(), "__") {
			return
		}
		commands++
		path := strings.Fields(cmd.CommandPath())[1:]
		cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
			value := "1h" // is good for all but
			if f.Value.Type() == "bool" {
				value = "true"
			}
			set := "--" + f.Name + "=" + value
			for _, args := range [][]string{append([]string{set}, path...), append(append([]string{}, path...), set)} {
				root := newRootCommand(testApp())
				found, rest, err := root.Find(args)
				if err != nil {
					t.Fatal(err)
				}
				if err := found.ParseFlags(rest); err != nil {
					t.Fatal(err)
				}
				if found.Flags().Lookup(f.Name) != root.PersistentFlags().Lookup(f.Name) {
					continue // the command has its own
				}
				err = checkGlobalFlags(found)
				if offered := strings.Contains(helpOf(t, path...), "--"+f.Name+" "); offered != (err == nil) && f.Name != "output" {
					t.Errorf("%q: offered %v, refused: %v", args, offered, err)
				}
			}
		})
	}
	visit(newRootCommand(testApp()))
	if commands < 15 {
		t.Errorf("only %d commands were found", commands)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"one two\nthree", "one two\nthree"},
		{"one\ntwo\n\nthree", "one two\n\nthree"},
		{"one\n  two three four\nfive six", "one\n  two three four\nfive six"},
		{"averylongword x", "averylongword\nx"},
	} {
		if got := wrap(c.text, 9); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}
