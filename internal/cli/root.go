package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
)

// globalOptions are the flags that every command has.
type globalOptions struct {
	profile, region       string
	endpointURL, caBundle string
	logLevel, output      string
	roles                 roleFlags
	mfa                   mfaFlags
	forwardSessionName    bool
	noCache, refresh      bool
	cacheAll              bool
	awsOrder              bool // credentials are looked for as the AWS CLI does
}

// newRootCommand makes the command line. Clients run `ekskey token` again and again,
// so where that is what args begin with, the other commands are not made.
func newRootCommand(a *app, args ...string) *cobra.Command {
	root := &cobra.Command{
		Use:   "ekskey",
		Short: "Take an AWS IAM identity into Kubernetes",
		Long: `ekskey takes an AWS IAM identity into an Amazon EKS cluster, and takes it apart
again when it fails: tokens, kubeconfigs, clusters, and who you are.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable AWS credentials,
4 refused, 5 not found.`,
		Example: `  ekskey kubeconfig update --name prod --alias prod
  ekskey token --cluster prod
  ekskey whoami --cluster prod`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			if name := cmd.Name(); name != "token" && name != "get-token" { // these do it themselves
				cmd.SetContext(stoppable(cmd.Context()))
			}
			return a.startLog()
		},
		// No Args: cobra then suggests a command for one that is misspelt.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(&a.out)
	root.SetErr(a.env.Stderr)
	root.SetIn(a.env.Stdin)
	a.global.bind(root.PersistentFlags())
	complete(root, "profile", func() []string { return awsconf.Profiles(a.env.Getenv) })
	complete(root, "region", func() []string { return regionsOf("") })
	complete(root, "duration", func() []string { return []string{"15m", "1h", "12h"} })
	complete(root, "log-level", func() []string { return []string{"debug", "info", "warn", "error"} })
	completeOutput(root)

	root.SetHelpCommand(newHelpCommand())
	root.AddCommand(newTokenCommand(a, a.runToken))
	if len(args) == 0 || args[0] != "token" {
		a.addOtherCommands(root)
	}
	return root
}

func (a *app) addOtherCommands(root *cobra.Command) {
	clusters := newGroup("clusters", "List and describe EKS clusters")
	clusters.AddCommand(newClustersListCommand(a, a.runClustersList), newClustersDescribeCommand(a, a.runClustersDescribe))
	kubeconfig := newGroup("kubeconfig", "Write, list, convert and remove kubeconfig entries")
	kubeconfig.AddCommand(newKubeconfigUpdateCommand(a, a.runKubeconfigUpdate), newKubeconfigConvertCommand(a, a.runKubeconfigConvert),
		newKubeconfigSyncCommand(a, a.runKubeconfigSync), newKubeconfigListCommand(a, a.runKubeconfigList), newKubeconfigRemoveCommand(a, a.runKubeconfigRemove), newKubeconfigPruneCommand(a, a.runKubeconfigPrune))
	cache := newGroup("cache", "List and forget what is cached")
	cache.AddCommand(newCacheListCommand(a, a.runCacheList), newCacheClearCommand(a, a.runCacheClear))
	eks := newGroup("eks", "What the AWS CLI calls it")
	eks.Hidden = true
	eks.AddCommand(newEKSGetTokenCommand(a, a.runEKSGetToken))
	root.AddCommand(
		newInspectCommand(a, a.runInspect),
		newVerifyCommand(a, a.runVerify),
		newWhoamiCommand(a, a.runWhoami),
		clusters,
		kubeconfig,
		cache,
		eks,
		newProxyCommand(a, a.runProxy), newAgentCommand(a, a.runAgent),
		newVersionCommand(a, a.runVersion),
		newCompletionCommand(a),
	)
}

func (g *globalOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&g.profile, "profile", "", "AWS `profile` to use; goes before keys in the environment")
	f.StringVar(&g.region, "region", "", "AWS `region`")
	f.StringVar(&g.endpointURL, "endpoint-url", "", "`URL` to send AWS API calls to; tokens are still minted for AWS's host")
	f.StringVar(&g.caBundle, "ca-bundle", "", "PEM `file` of the CAs to trust for AWS API calls")
	f.StringVar(&g.logLevel, "log-level", "warn", "`level` of the log on stderr: debug, info, warn, error")
	f.StringVarP(&g.output, "output", "o", "", "output `format`: table, json, yaml, as far as the command has them")
	f.Var(g.roles.value(roleARN), "role-arn", "`ARN` of a role to assume; again for a chain")
	f.Var(g.roles.value(roleExternalID), "external-id", "external `id` for the role before it")
	f.Var(g.roles.value(roleSessionName), "session-name", "session `name` for the role before it")
	f.Var(g.roles.value(roleMFASerial), "mfa-serial", "`serial` number of the second factor for the role before it")
	f.Var(g.roles.value(roleDuration), "duration", "`time` that the session of the role before it lives, 15m to 12h (default 1h)")
	f.BoolVar(&g.forwardSessionName, "forward-session-name", false, "give the roles' sessions the session name of the caller")
	f.StringVar(&g.mfa.code, "mfa-code", "", "`code` of the second factor, good for one use")
	f.StringVar(&g.mfa.command, "mfa-command", "", "shell `command` that prints the code of the second factor")
	f.BoolVar(&g.noCache, "no-cache", false, "neither use nor write the cache")
	f.BoolVar(&g.cacheAll, "cache-all", false, "also cache what comes of a credential_process, a container or an instance, which may have changed unseen")
	f.BoolVar(&g.refresh, "refresh", false, "load credentials and mint tokens anew, and cache those")
}

// newHelpCommand is cobra's, but fails for what there is no help on.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND...]",
		Short:   "Help about a command",
		Example: "  ekskey help kubeconfig update",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if on, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range on.Commands() {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			on, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageOf(err)
			}
			if len(rest) > 0 {
				return &usageError{reason: fmt.Sprintf("unknown command %q for %q", rest[0], on.CommandPath())}
			}
			return on.Help()
		},
	}
}

// newGroup is a command that only holds others.
func newGroup(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short,
		SuggestionsMinimumDistance: 2,
		Example:                    "  ekskey " + name + " --help",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				u := &usageError{reason: fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())}
				if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
					u.hint = "did you mean: " + strings.Join(names, ", ")
				}
				return u
			}
			return &usageError{reason: cmd.CommandPath() + " needs a command"}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
}

// awsConfig is the AWS configuration that the flags ask for.
func (a *app) awsConfig() (awsconf.Config, error) {
	roles, err := a.global.roles.chain()
	if err != nil {
		return awsconf.Config{}, err
	}
	if a.global.forwardSessionName && slices.ContainsFunc(roles, func(r awsconf.Role) bool { return r.SessionName != "" }) {
		return awsconf.Config{}, &usageError{
			reason: "--forward-session-name and --session-name exclude each other",
			hint:   "leave out one of them",
		}
	}
	secondFactor, err := a.secondFactor()
	if err != nil {
		return awsconf.Config{}, err
	}
	store, err := a.store()
	if err != nil {
		return awsconf.Config{}, err
	}
	return awsconf.Config{
		Profile: a.global.profile, ProfileRoleFirst: a.global.awsOrder, Region: a.global.region,
		EndpointURL: a.global.endpointURL, CABundle: a.global.caBundle,
		Roles: roles, ForwardSessionName: a.global.forwardSessionName,
		MFACode: secondFactor, Store: store, CacheOpaque: a.global.cacheAll, Log: a.log, Getenv: a.env.Getenv,
	}, nil
}

// regionsOf lists the regions of a partition, or of all if it is empty, sorted as
// in the table.
func regionsOf(partition string) []string {
	var regions []string
	seen := map[string]bool{}
	for _, e := range identity.STSEndpoints() {
		if (partition == "" || e.Partition == partition) && !seen[e.Region] {
			seen[e.Region] = true
			regions = append(regions, e.Region)
		}
	}
	return regions
}
