package cli

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/safefile"
)

func newCompletionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a shell completion script",
		Example: `  source <(ekskey completion bash)
  ekskey completion zsh >"${fpath[1]}/_ekskey"
  ekskey completion fish | source
  ekskey completion powershell | Out-String | Invoke-Expression`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(&a.out, true)
			case "zsh":
				return root.GenZshCompletion(&a.out)
			case "fish":
				return root.GenFishCompletion(&a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(&a.out)
			}
			return &usageError{reason: fmt.Sprintf("no completion for shell %q", args[0])}
		},
	}
}

// complete offers values for a flag.
func complete(cmd *cobra.Command, flag string, values func() []string) {
	// It fails only for a flag that does not exist, which the tests would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeOutput offers the formats that the command has.
func completeOutput(root *cobra.Command) {
	_ = root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return outputFormats(cmd), cobra.ShellCompDirectiveNoFileComp
	})
}

// outputFormats are the values of --output that a command accepts.
func outputFormats(cmd *cobra.Command) []string {
	switch cmd.Name() {
	case "token":
		return []string{formatJSON, formatToken}
	case "get-token":
		return []string{formatJSON}
	case "agent", "proxy", "completion", "help":
		return nil
	}
	return []string{formatTable, formatJSON, formatYAML}
}

// maxKubeconfig is how large a kubeconfig may be to be looked at for completion,
// in bytes.
const maxKubeconfig = 1 << 20

// completeCluster offers the clusters that stand in the user's kubeconfigs, which
// takes no network.
func (a *app) completeCluster(cmd *cobra.Command) {
	for _, flag := range clusterFlags() {
		if cmd.Flags().Lookup(flag) != nil {
			complete(cmd, flag, a.clustersInKubeconfigs)
		}
	}
}

func (a *app) clustersInKubeconfigs() []string {
	env := a.kubeconfigs(kubeconfigFlags{})
	env.Warn = nil
	paths, err := env.Files()
	if err != nil {
		return nil
	}
	arn := regexp.MustCompile(`arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{12}:cluster/([A-Za-z0-9_-]+)`)
	var names []string
	for _, path := range paths {
		data, err := safefile.Read(path, maxKubeconfig)
		if err != nil {
			continue
		}
		for _, match := range arn.FindAllSubmatch(data, -1) {
			names = append(names, string(match[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
