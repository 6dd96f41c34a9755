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

// globalOptions are the flags that every command parses; see [hasEffect].
type globalOptions struct {
	profile, region       string
	endpointURL, caBundle string
	logLevel, output      string
	roles                 roleFlags
	mfa                   mfaFlags
	forwardSessionName    bool
	noCache, refresh      bool
	cacheAll              bool
	awsOrder              bool // look for credentials in the AWS CLI's order
}

// newRootCommand builds the command line. Clients run `ekskey token` all the time, so
// if args begin with it, the other commands are not built.
func newRootCommand(a *app, args ...string) *cobra.Command {
	root := &cobra.Command{
		Use:   "ekskey",
		Short: "Authenticate to Amazon EKS clusters with AWS IAM",
		Long: `ekskey authenticates to Amazon EKS clusters with an AWS IAM identity: it mints
tokens, writes kubeconfigs, finds clusters, and explains why access fails.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 no usable AWS credentials,
4 refused (invalid token, not authorized, not mapped), 5 not found.`,
		Example: `  ekskey kubeconfig update --name prod --alias prod
  ekskey token --cluster prod
  ekskey whoami --cluster prod`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.started = true
			if err := checkGlobalFlags(cmd); err != nil {
				return err
			}
			if err := a.takeClusterARNs(cmd, args); err != nil {
				return err
			}
			if name := cmd.Name(); name != "token" && name != "get-token" { // these do it themselves
				cmd.SetContext(stoppable(cmd.Context()))
			} else if a.quiet = !cmd.Flags().Changed("log-level"); a.quiet {
				return nil
			}
			return a.startLog()
		},
		// Args stays nil: cobra then suggests a command for a misspelt one.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(&a.out)
	root.SetErr(a.env.Stderr)
	root.SetIn(a.env.Stdin)
	root.SetHelpFunc(a.printHelp)
	addGroups(root)
	a.global.bind(root.PersistentFlags())
	complete(root, "profile", func() []string { return awsconf.Profiles(a.env.Getenv) })
	complete(root, "region", func() []string { return regionsOf("") })
	complete(root, "duration", func() []string { return []string{"15m", "1h", "12h"} })
	complete(root, "log-level", func() []string { return []string{"debug", "info", "warn", "error"} })
	completeOutput(root)

	root.SetHelpCommand(newHelpCommand())
	root.SetHelpCommandGroupID(groupUpkeep)
	root.AddCommand(inGroup(groupIdentity, newTokenCommand(a, a.runToken))...)
	if len(args) == 0 || args[0] != "token" {
		a.addOtherCommands(root)
	}
	return root
}

func (a *app) addOtherCommands(root *cobra.Command) {
	clusters := newGroup("clusters", "List and describe EKS clusters",
		newClustersListCommand(a, a.runClustersList), newClustersDescribeCommand(a, a.runClustersDescribe))
	kubeconfig := newGroup("kubeconfig", "Write, list, convert and remove kubeconfig entries",
		newKubeconfigUpdateCommand(a, a.runKubeconfigUpdate), newKubeconfigConvertCommand(a, a.runKubeconfigConvert),
		newKubeconfigSyncCommand(a, a.runKubeconfigSync), newKubeconfigListCommand(a, a.runKubeconfigList), newKubeconfigRemoveCommand(a, a.runKubeconfigRemove), newKubeconfigPruneCommand(a, a.runKubeconfigPrune))
	cache := newGroup("cache", "List and clear cached credentials",
		newCacheListCommand(a, a.runCacheList), newCacheClearCommand(a, a.runCacheClear))
	who := newGroup("access", "Show and change who has access to a cluster",
		newAccessListCommand(a, a.runAccessList), newAccessWhoCanCommand(a, a.runAccessWhoCan), newAccessLintCommand(a, a.runAccessLint),
		newAccessGrantCommand(a, a.runAccessGrant), newAccessRevokeCommand(a, a.runAccessRevoke), newAccessExpireCommand(a, a.runAccessExpire))
	eks := newGroup("eks", "Commands under the AWS CLI's names", newEKSGetTokenCommand(a, a.runEKSGetToken))
	eks.Hidden = true
	root.AddCommand(inGroup(groupIdentity,
		newInspectCommand(a, a.runInspect), newVerifyCommand(a, a.runVerify), newWhoamiCommand(a, a.runWhoami))...)
	root.AddCommand(inGroup(groupClusters, clusters, kubeconfig)...)
	root.AddCommand(inGroup(groupAccess, who)...)
	root.AddCommand(inGroup(groupServing, newProxyCommand(a, a.runProxy), newAgentCommand(a, a.runAgent))...)
	root.AddCommand(inGroup(groupUpkeep, cache, newVersionCommand(a, a.runVersion), newCompletionCommand(a))...)
	root.AddCommand(eks)
}

func (g *globalOptions) bind(f *pflag.FlagSet) {
	f.SortFlags = false // the help lists them by subject
	f.StringVar(&g.profile, "profile", "", "AWS `profile`; takes precedence over keys in the environment")
	f.StringVar(&g.region, "region", "", "AWS `region`")
	f.Var(g.roles.value(roleARN), "role-arn", "`ARN` of a role to assume; repeat for a role chain")
	f.Var(g.roles.value(roleExternalID), "external-id", "external `ID` for the preceding role")
	f.Var(g.roles.value(roleSessionName), "session-name", "session `name` for the preceding role")
	f.Var(g.roles.value(roleDuration), "duration", "session `duration` for the preceding role, 15m to 12h (default 1h)")
	f.Var(g.roles.value(roleMFASerial), "mfa-serial", "`serial` number or ARN of the MFA device for the preceding role")
	f.BoolVar(&g.forwardSessionName, "forward-session-name", false, "use the caller's session name for the roles' sessions")
	f.StringVar(&g.mfa.code, "mfa-code", "", "MFA `code`; valid for one use")
	f.StringVar(&g.mfa.command, "mfa-command", "", "shell `command` that prints an MFA code")
	f.BoolVar(&g.noCache, "no-cache", false, "do not read or write the credential cache")
	f.BoolVar(&g.cacheAll, "cache-all", false, "also cache credentials from credential_process, container and instance endpoints, whose changes ekskey cannot detect")
	f.BoolVar(&g.refresh, "refresh", false, "ignore cached credentials, and cache new ones")
	f.StringVar(&g.endpointURL, "endpoint-url", "", "`URL` for AWS API calls; tokens are still minted for AWS's own host")
	pathVar(f, &g.caBundle, "ca-bundle", "PEM `file` of the CA certificates to trust for AWS API calls")
	f.StringVarP(&g.output, "output", "o", "", "output `format`: table, json or yaml, as the command supports")
	f.StringVar(&g.logLevel, "log-level", "warn", "log `level` on stderr: debug, info, warn or error")
}

// newHelpCommand is cobra's, but fails for an unknown command.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND...]",
		Short:   "Show help about a command",
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

// newGroup is a command that only has subcommands.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: name, Short: short,
		SuggestionsMinimumDistance: 2,
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
	group.AddCommand(commands...)
	var examples []string
	for _, c := range commands {
		first, _, _ := strings.Cut(c.Example, "\n")
		examples = append(examples, first)
	}
	group.Example = strings.Join(examples, "\n")
	return group
}

// awsConfig is the AWS configuration that the flags select.
func (a *app) awsConfig() (awsconf.Config, error) {
	roles, err := a.global.roles.chain()
	if err != nil {
		return awsconf.Config{}, err
	}
	if a.global.forwardSessionName && slices.ContainsFunc(roles, func(r awsconf.Role) bool { return r.SessionName != "" }) {
		return awsconf.Config{}, &usageError{
			reason: "--forward-session-name and --session-name are mutually exclusive",
			hint:   "remove one of them",
		}
	}
	mfaCode, err := a.secondFactor()
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
		MFACode: mfaCode, Store: store, CacheOpaque: a.global.cacheAll, Log: a.log, Getenv: a.env.Getenv,
	}, nil
}

// regionsOf lists the regions of a partition, or of all partitions if it is empty, in
// the order of the table.
func regionsOf(partition string) []string {
	var regions []string
	listed := map[string]bool{}
	for _, e := range identity.STSEndpoints() {
		if (partition == "" || e.Partition == partition) && !listed[e.Region] {
			listed[e.Region] = true
			regions = append(regions, e.Region)
		}
	}
	return regions
}
