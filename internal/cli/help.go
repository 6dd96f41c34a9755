package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Groups of commands in the help of ekskey itself.
const (
	groupIdentity = "identity"
	groupClusters = "clusters"
	groupAccess   = "access"
	groupServing  = "serving"
	groupUpkeep   = "maintenance"
)

func addGroups(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: groupIdentity, Title: "Tokens and identity:"},
		&cobra.Group{ID: groupClusters, Title: "Clusters and kubeconfig:"},
		&cobra.Group{ID: groupAccess, Title: "Who has access:"},
		&cobra.Group{ID: groupServing, Title: "Programs without exec plugins:"},
		&cobra.Group{ID: groupUpkeep, Title: "Maintenance:"},
	)
}

// inGroup puts commands into a group of the help.
func inGroup(id string, cmds ...*cobra.Command) []*cobra.Command {
	for _, cmd := range cmds {
		cmd.GroupID = id
	}
	return cmds
}

// isAWSFlag reports whether a global flag acts only on commands that call AWS or
// sign with AWS credentials.
func isAWSFlag(f *pflag.Flag) bool { return f.Name != "log-level" && f.Name != "output" }

// hasEffect reports whether a global flag does something on a command.
func hasEffect(cmd *cobra.Command, f *pflag.Flag) bool {
	if !isAWSFlag(f) {
		return true
	}
	switch strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") {
	case "help", "inspect", "version", "completion", "cache", "cache list", "cache clear",
		"access", "clusters", "kubeconfig", "kubeconfig convert", "kubeconfig remove":
		return false
	case "kubeconfig list", "kubeconfig prune":
		return f.Name != "mfa-code" // they use several profiles, and a code is good for one session
	}
	return true
}

// checkGlobalFlags refuses a global flag that the command would ignore.
func checkGlobalFlags(cmd *cobra.Command) error {
	var unused []string
	global := cmd.Root().PersistentFlags()
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if global.Lookup(f.Name) == f && !hasEffect(cmd, f) {
			unused = append(unused, "--"+f.Name)
		}
	})
	if len(unused) == 0 {
		return nil
	}
	return &usageError{reason: fmt.Sprintf("%q does not use %s", cmd.CommandPath(), strings.Join(unused, ", "))}
}

// hideUnusedFlags keeps the completion of flags from offering what the command that
// args name would refuse.
func hideUnusedFlags(root *cobra.Command, args []string) {
	if len(args) == 0 || args[0] != cobra.ShellCompRequestCmd && args[0] != cobra.ShellCompNoDescRequestCmd {
		return
	}
	if cmd, _, err := root.Find(args[1:]); err == nil {
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = !hasEffect(cmd, f) })
	}
}

// Columns of help text: those of the terminal, within these limits.
const (
	minHelpWidth     = 60
	defaultHelpWidth = 80
	maxHelpWidth     = 110
)

// printHelp is the help of every command.
func (a *app) printHelp(cmd *cobra.Command, _ []string) {
	width := defaultHelpWidth
	if f, ok := a.env.Stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = min(max(w, minHelpWidth), maxHelpWidth)
		}
	}
	w := cmd.OutOrStdout()
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", wrap(about, width))
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	} else {
		fmt.Fprintf(w, "  %s COMMAND [flags]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printCommands(w, cmd, width)

	var own, aws, global pflag.FlagSet
	persistent := cmd.Root().PersistentFlags()
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if persistent.Lookup(f.Name) != f {
			own.AddFlag(f)
		}
	})
	aws.SortFlags, global.SortFlags = false, false
	persistent.VisitAll(func(f *pflag.Flag) {
		switch shown := cmd.Flag(f.Name) == f && hasEffect(cmd, f); {
		case shown && isAWSFlag(f):
			aws.AddFlag(f)
		case shown && f.Name == "output":
			if formats := outputFormats(cmd); len(formats) > 0 {
				output := *f
				output.Usage = "output `format`: " + strings.Join(formats, ", ")
				global.AddFlag(&output)
			}
		case shown:
			global.AddFlag(f)
		}
	})
	awsTitle := "AWS flags"
	if cmd == cmd.Root() {
		awsTitle = "AWS flags, for the commands that use AWS credentials"
	}
	printFlags(w, "Flags", &own, width)
	printFlags(w, awsTitle, &aws, width)
	printFlags(w, "Global flags", &global, width)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nUse \"%s COMMAND --help\" for more about a command.\n", cmd.CommandPath())
	}
}

func printCommands(w io.Writer, cmd *cobra.Command, width int) {
	groups := cmd.Groups()
	if len(groups) == 0 && cmd.HasAvailableSubCommands() {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s\n", g.Title)
		for _, sub := range cmd.Commands() {
			if sub.GroupID == g.ID && !sub.Hidden {
				pad := sub.NamePadding()
				short := strings.ReplaceAll(wrap(sub.Short, width-pad-3), "\n", "\n"+strings.Repeat(" ", pad+3))
				fmt.Fprintf(w, "  %-*s %s\n", pad, sub.Name(), short)
			}
		}
	}
}

func printFlags(w io.Writer, title string, flags *pflag.FlagSet, width int) {
	if flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\n%s:\n%s", title, flags.FlagUsagesWrapped(width))
	}
}

// wrap fills the paragraphs of a text to a width. Lines that begin with a blank stay
// as they are.
func wrap(text string, width int) string {
	var out []string
	line := ""
	flush := func() {
		if line != "" {
			out = append(out, line)
		}
		line = ""
	}
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, " \n")
		if l == "" || l[0] == ' ' {
			flush()
			out = append(out, l)
			continue
		}
		for _, word := range strings.Fields(l) {
			if line != "" && len(line)+1+len(word) > width {
				flush()
			}
			if line != "" {
				line += " "
			}
			line += word
		}
	}
	flush()
	return strings.Join(out, "\n")
}
