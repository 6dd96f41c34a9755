package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// updateOptions are the flags of `ekskey kubeconfig update`.
type updateOptions struct {
	name         string
	alias        string
	userAlias    string
	namespace    string
	kubeconfig   string
	describeRole string
	noSetContext bool
	dryRun       bool
}

func newKubeconfigUpdateCommand(a *app, run func(context.Context, updateOptions) error) *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update --name NAME",
		Short: "Write a cluster's entries into a kubeconfig",
		Long: `Ask EKS for a cluster and write its context, cluster and user into a kubeconfig.
All else in the file stays as it is, byte for byte.

--role-arn and --profile are written into the user entry, so that kubectl acts as
that role. EKS is asked with --profile and without --role-arn; --describe-role-arn
names a role to ask with.`,
		Example: `  ekskey kubeconfig update --name prod
  ekskey kubeconfig update --name prod --alias prod-admin --role-arn arn:aws:iam::111122223333:role/admin
  ekskey kubeconfig update --name prod --kubeconfig ./prod.yaml --no-set-context`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`name` of the cluster")
	f.StringVar(&o.alias, "alias", "", "`name` of the context; the cluster's ARN if not given")
	f.StringVar(&o.userAlias, "user-alias", "", "`name` of the user entry; unique to cluster, roles and profile if not given")
	f.StringVar(&o.namespace, "namespace", "", "`namespace` of the context")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` to write; else KUBECONFIG, else ~/.kube/config")
	f.StringVar(&o.describeRole, "describe-role-arn", "", "`ARN` of a role to ask EKS with")
	f.BoolVar(&o.noSetContext, "no-set-context", false, "leave the current context as it is")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would change, and write nothing")
	a.completeCluster(cmd)
	return cmd
}

func (a *app) runKubeconfigUpdate(ctx context.Context, o updateOptions) error {
	if _, err := a.format(formatTable); err != nil {
		return err
	}
	if o.name == "" {
		return &usageError{reason: "no cluster is named", hint: "name it with --name"}
	}
	if err := needCluster(o.name); err != nil {
		return err
	}
	config, err := a.awsConfig()
	if err != nil {
		return err
	}
	written := config.Roles
	if err := checkRoles(written); err != nil {
		return err
	}
	config.Roles = nil
	if o.describeRole != "" {
		config.Roles = []awsconf.Role{{ARN: o.describeRole}}
	}
	session, err := a.loadConfig(ctx, config)
	if err != nil {
		return err
	}
	cluster, err := a.describe(ctx, session, o.name)
	if err != nil {
		return err
	}
	if err := needEndpoint(cluster); err != nil {
		return err
	}
	command, err := a.ownPath()
	if err != nil {
		return err
	}
	options := o.entries(cluster, a.global.profile, session.Region(), written, command)
	options.ForwardSessionName = a.global.forwardSessionName
	options.MFACommand, options.CacheAll = a.global.mfa.command, a.global.cacheAll
	change, err := kubeconfig.ForEKS(options)
	if err != nil {
		return err
	}
	for _, w := range change.Warnings {
		a.warn("%s", w)
	}
	return a.writeKubeconfig(ctx, o, change)
}

// entries are the kubeconfig package's options for a cluster.
func (o updateOptions) entries(c *types.Cluster, profile, region string, roles []awsconf.Role, command string) kubeconfig.Options {
	given, _, _ := caOf(c)
	options := kubeconfig.Options{
		ClusterARN: aws.ToString(c.Arn), ClusterName: tokenName(c), Region: region,
		Endpoint: aws.ToString(c.Endpoint), CAData: []byte(given),
		Profile: profile, Command: command,
		Alias: o.alias, UserAlias: o.userAlias, Namespace: o.namespace, SetCurrent: !o.noSetContext,
	}
	for _, r := range roles {
		hop := kubeconfig.Hop{ARN: r.ARN, ExternalID: r.ExternalID, SessionName: r.SessionName, MFASerial: r.MFASerial}
		if r.Duration != 0 {
			hop.Duration = r.Duration.String()
		}
		options.RoleChain = append(options.RoleChain, hop)
	}
	return options
}

// checkRoles finds a mistyped role now and not when kubectl first runs.
func checkRoles(roles []awsconf.Role) error {
	for _, r := range roles {
		if p, err := identity.ParsePrincipal(r.ARN); err != nil || p.Kind != identity.KindRole {
			return &usageError{reason: fmt.Sprintf("--role-arn %q is not the ARN of a role", r.ARN), hint: "it looks like arn:aws:iam::111122223333:role/name"}
		}
	}
	return nil
}

func (a *app) writeKubeconfig(ctx context.Context, o updateOptions, change kubeconfig.Change) error {
	home, _ := os.UserHomeDir() // if there is none, Locate says so where it matters
	location, err := kubeconfig.Locate(kubeconfig.Env{
		Flag: o.kubeconfig, Kubeconfig: a.env.Getenv("KUBECONFIG"), Home: home,
	}, kubeconfig.NamesOf(change))
	if err != nil {
		return err
	}
	results, err := a.apply(ctx, location, change, o.dryRun)
	if err != nil {
		return err
	}
	r := results[0]
	if o.dryRun {
		a.out.WriteString("dry run: nothing was written\n")
	}
	for _, item := range []struct {
		what string
		item kubeconfig.Item
	}{{"context", r.Context}, {"user", r.User}, {"cluster", r.Cluster}} {
		fmt.Fprintf(&a.out, "%s %s: %s\n", item.what, printable(item.item.Name), item.item.Outcome)
	}
	if !o.noSetContext {
		fmt.Fprintf(&a.out, "current context: %s\n", printable(change.Context.Name))
	}
	fmt.Fprintf(&a.out, "kubeconfig: %s\n", printable(location.Path))
	return nil
}

func (a *app) apply(ctx context.Context, location kubeconfig.Location, change kubeconfig.Change, dryRun bool) ([]kubeconfig.Result, error) {
	if !dryRun {
		return kubeconfig.Update(ctx, location, change)
	}
	return kubeconfig.Plan(location, change)
}

// ownPath is the path by which the user called this program, made absolute and
// with symbolic links left alone: what they point at goes away when a package
// manager upgrades.
func (a *app) ownPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the path of ekskey: %w", err)
	}
	path, err := exec.LookPath(a.env.Program)
	if err != nil || !sameFile(path, self) {
		path = self
	}
	return filepath.Abs(path)
}

// sameFile keeps another program from kubeconfigs: a caller may give a program
// any name.
func sameFile(path, self string) bool {
	found, err := os.Stat(path)
	if err != nil {
		return false
	}
	own, err := os.Stat(self)
	return err == nil && os.SameFile(found, own)
}
