package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// eksGetTokenOptions are the flags of `ekskey eks get-token` that the other
// commands do not have.
type eksGetTokenOptions struct {
	clusterName, clusterID string
	debug                  bool
	query                  string
	noSignRequest, version bool
}

// awsRoleSession is what `aws eks get-token` calls the sessions of --role-arn.
// Kubernetes usernames are made of it, so permissions may hang on it.
//
// Source: https://github.com/aws/aws-cli/blob/develop/awscli/customizations/eks/get_token.py
const awsRoleSession = "EKSGetTokenAuth"

func newEKSGetTokenCommand(a *app, run func(context.Context, eksGetTokenOptions) error) *cobra.Command {
	var o eksGetTokenOptions
	cmd := &cobra.Command{
		Use:   "get-token --cluster-name NAME",
		Short: "Mint a token, with the AWS CLI's flags",
		Long: `Mint a token like "ekskey token", but with the flags of "aws eks get-token", so that
a kubeconfig works after replacing only the name of the command. Flags of the AWS
CLI that ekskey cannot support are refused; harmless ones are ignored.`,
		Example: `  ekskey eks get-token --cluster-name prod
  ekskey --region eu-central-1 eks get-token --cluster-name prod --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.clusterName, "cluster-name", "", "`name` of the cluster")
	f.StringVar(&o.clusterID, "cluster-id", "", "`ID` of a local cluster on Outposts")
	f.BoolVar(&o.debug, "debug", false, "the same as --log-level debug")
	f.StringVar(&o.query, "query", "", "not supported")
	f.BoolVar(&o.noSignRequest, "no-sign-request", false, "not supported")
	f.BoolVar(&o.version, "version", false, "not supported")
	for _, name := range awsSwitches() {
		f.Bool(name, false, "ignored")
	}
	for _, name := range awsWords() {
		f.String(name, "", "ignored")
	}
	for _, name := range slices.Concat(awsSwitches(), awsWords(), []string{"query", "no-sign-request", "version"}) {
		f.Lookup(name).Hidden = true
	}
	a.completeCluster(cmd)
	return cmd
}

// awsSwitches and awsWords are the AWS CLI's global options, without a value and
// with one, that change nothing of a token: no call here has pages, a pager,
// colours or a body. Certificates are verified even with --no-verify-ssl.
//
// Source: https://docs.aws.amazon.com/cli/latest/reference/eks/get-token.html and
// its like for version 1
func awsSwitches() []string {
	return []string{"no-verify-ssl", "no-paginate", "no-cli-pager", "cli-auto-prompt", "no-cli-auto-prompt", "v2-debug"}
}

func awsWords() []string {
	return []string{"color", "cli-read-timeout", "cli-connect-timeout", "cli-binary-format", "cli-error-format"}
}

func (a *app) runEKSGetToken(ctx context.Context, o eksGetTokenOptions) error {
	refuse := func(flag, hint string) error {
		return &usageError{reason: "eks get-token cannot do " + flag, hint: hint}
	}
	bare := "for the bare token: ekskey token --cluster NAME --output token"
	switch {
	case o.query != "":
		return refuse("--query", bare)
	case a.global.output != "" && a.global.output != formatJSON:
		return refuse("--output "+a.global.output+", only json", bare)
	case o.noSignRequest:
		return refuse("--no-sign-request", "a token is a signature; leave the option out")
	case o.version:
		return refuse("--version", "see ekskey version")
	case o.clusterName != "" && o.clusterID != "":
		return &usageError{reason: "--cluster-name and --cluster-id exclude each other", hint: "give one of them"}
	case o.clusterName+o.clusterID == "":
		return &usageError{reason: "cluster name is required", hint: "name it with --cluster-name"}
	}
	if o.debug {
		a.global.logLevel, a.quiet = "debug", false
		if err := a.startLog(); err != nil {
			return err
		}
	}
	// The AWS CLI's get-token does not look at it, and may be given one of EKS, that
	// would not answer for STS.
	a.global.endpointURL = ""
	a.global.awsOrder = true
	if !a.global.forwardSessionName {
		a.global.roles.sessionName = awsRoleSession
	}
	return a.runToken(ctx, tokenOptions{cluster: o.clusterName + o.clusterID})
}

// awsOrder puts a command line of the AWS CLI, which takes its global options
// anywhere and all options by the beginning of their names, into words that cobra
// takes: `--debug eks --regio r get-token --cluster-n c` becomes `eks get-token
// --debug --region r --cluster-name c`. It returns all others as they are.
func awsOrder(root *cobra.Command, args []string) []string {
	if !slices.Contains(args, "eks") || !slices.Contains(args, "get-token") {
		return args
	}
	cmd, _, err := root.Find([]string{"eks", "get-token"})
	if err != nil {
		return args
	}
	cmd.InheritedFlags() // has cobra add them to Flags
	words := []string{"eks", "get-token"}
	ordered := slices.Clone(words)
	for i := 0; i < len(args); i++ {
		option, isOption := strings.CutPrefix(args[i], "--")
		if !isOption {
			switch {
			case len(words) == 0:
				ordered = append(ordered, args[i])
			case args[i] == words[0]:
				words = words[1:]
			default:
				return args // another command
			}
			continue
		}
		name, value, hasValue := strings.Cut(option, "=")
		flag := cmd.Flags().Lookup(name)
		if flag == nil {
			flag = cmd.Flags().Lookup(fullAWSName(name))
		}
		if flag == nil {
			// Whether it takes the next word is not known either. It is cobra who says so.
			if len(words) > 0 {
				return args
			}
			return append(ordered, args[i:]...)
		}
		ordered = append(ordered, "--"+flag.Name)
		switch {
		case hasValue:
			ordered[len(ordered)-1] += "=" + value
		case flag.NoOptDefVal == "" && i+1 < len(args):
			i++
			ordered = append(ordered, args[i])
		}
	}
	if len(words) > 0 {
		return args
	}
	return ordered
}

// fullAWSName is the AWS CLI's option that begins like this; empty if there is
// none or more than one. As its parser does, it looks among the global ones
// first.
func fullAWSName(beginning string) string {
	global := []string{"debug", "endpoint-url", "output", "query", "profile", "region", "version", "no-sign-request", "ca-bundle"}
	global = slices.Concat(global, awsSwitches(), awsWords())
	for _, names := range [][]string{global, {"cluster-name", "cluster-id", "role-arn"}} {
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, beginning) })
		if len(names) == 1 && beginning != "" {
			return names[0]
		}
		if len(names) > 1 {
			return ""
		}
	}
	return ""
}
