package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/execplugin"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// updateOptions are the flags of `ekskey kubeconfig update`.
type updateOptions struct {
	name          string
	alias         string
	userAlias     string
	clusterAlias  string
	namespace     string
	server        string
	tlsServerName string
	proxyURL      string
	command       string
	execVersion   string
	files         kubeconfigFlags
	describeRole  string
	noSetContext  bool
	noProfile     bool
	replaceUser   bool
	dryRun        bool
	printOnly     bool
}

func newKubeconfigUpdateCommand(a *app, run func(context.Context, updateOptions) error) *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update --name NAME",
		Short: "Write the context, cluster and user of a cluster",
		Long: `Get a cluster from EKS and write its context, cluster and user to a kubeconfig.
Nothing else in the file changes. Fields of these entries that no flag sets are kept: a
namespace, a proxy, a TLS server name.

--role-arn and --profile are written to the user entry, so that kubectl acts as that
role. The profile of AWS_PROFILE is written too, if it signs. EKS is called with the
profile and without --role-arn; --describe-role-arn sets a role for that call.

An existing context keeps its identity: an update without role and profile that would
change it is refused unless --replace-user is set.

--dry-run prints the change as a unified diff, in which comments and values that may be
secret are replaced by REDACTED; it is for reading, not for patch(1).`,
		Example: `  ekskey kubeconfig update --name prod
  ekskey kubeconfig update --name prod --alias prod-admin --role-arn arn:aws:iam::111122223333:role/admin
  ekskey kubeconfig update --name prod --kubeconfig ./prod.yaml --no-set-context
  ekskey kubeconfig update --name prod --dry-run
  ekskey kubeconfig update --name prod --print --exec-command ekskey >prod.yaml
  ekskey kubeconfig update --name prod --alias tunnel --cluster-alias tunnel \
    --server https://localhost:8443 --tls-server-name ABC.gr7.eu-central-1.eks.amazonaws.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`name` of the cluster")
	f.StringVar(&o.alias, "alias", "", "`name` of the context (default: the cluster's ARN)")
	f.StringVar(&o.userAlias, "user-alias", "", "`name` of the user entry (default: unique to cluster, roles and profile)")
	f.StringVar(&o.clusterAlias, "cluster-alias", "", "`name` of the cluster entry (default: the cluster's ARN)")
	f.StringVar(&o.namespace, "namespace", "", "`namespace` of the context")
	f.StringVar(&o.server, "server", "", "`URL` to connect to instead of the cluster's endpoint, for example of a tunnel")
	f.StringVar(&o.tlsServerName, "tls-server-name", "", "`name` in the server's certificate, if it differs from the host of its URL")
	f.StringVar(&o.proxyURL, "proxy-url", "", "`URL` of an http, https or socks5 proxy to connect through")
	f.StringVar(&o.command, "exec-command", "", "`program` to write instead of this one's path: a name or an absolute path")
	f.StringVar(&o.execVersion, "exec-api-version", "", "ExecCredential `version` in the user entry: v1 (default) or v1beta1")
	o.files.bind(f, "`file` to write; else KUBECONFIG, else ~/.kube/config", true)
	f.StringVar(&o.describeRole, "describe-role-arn", "", "`ARN` of a role with which to call EKS")
	f.BoolVar(&o.noProfile, "no-profile", false, "do not write the profile of AWS_PROFILE")
	f.BoolVar(&o.replaceUser, "replace-user", false, "allow that an existing context gets another identity")
	f.BoolVar(&o.noSetContext, "no-set-context", false, "do not change the current context")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the changes as a diff, and write nothing")
	f.BoolVar(&o.printOnly, "print", false, "print a kubeconfig with only these entries, and write nothing")
	a.completeCluster(cmd)
	complete(cmd, "exec-api-version", func() []string { return []string{"v1", "v1beta1"} })
	return cmd
}

func (a *app) runKubeconfigUpdate(ctx context.Context, o updateOptions) error {
	if err := a.checkUpdate(o); err != nil {
		return err
	}
	config, err := a.awsConfig()
	if err != nil {
		return err
	}
	written := config.Roles
	if err := checkRoles("--role-arn", written); err != nil {
		return err
	}
	if o.command == "" {
		if o.command, err = a.ownPath(); err != nil {
			return err
		}
	}
	options := a.wanted(o, written)
	if err := options.Check(); err != nil {
		return optionUsage(err, "ekskey kubeconfig update")
	}
	config.Roles = nil
	if o.describeRole != "" {
		config.Roles = []awsconf.Role{{ARN: o.describeRole}}
		if err := checkRoles("--describe-role-arn", config.Roles); err != nil {
			return err
		}
	}
	env := a.kubeconfigs(o.files)
	merged := &kubeconfig.Merged{}
	if !o.printOnly {
		// What cannot be written is found before AWS is asked.
		if merged, err = kubeconfig.ReadMerged(ctx, env); err == nil {
			err = merged.Writable()
		}
		if err != nil {
			return err
		}
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
	var note string
	options.Profile, note = a.writtenProfile(session, o.noProfile)
	options = entries(options, cluster, session.Region())
	old, exists := merged.Context(cmp.Or(options.Alias, options.ClusterARN))
	// Nobody who names no principal means another one.
	options.KeepPrincipal = a.global.profile == "" && len(written) == 0 && !o.replaceUser
	if a.global.profile == "" && !o.replaceUser {
		// A context of the AWS CLI keeps its order of credentials, which no flag names.
		want := execplugin.Meaning{Profile: options.Profile, Roles: options.RoleChain, ForwardSessionName: options.ForwardSessionName, AWSOrder: true}
		options.AWSOrder = exists && old.IsEKS && old.EKS.Differs(want) == ""
	}
	change, err := kubeconfig.ForEKS(options)
	if err != nil {
		return err
	}
	for _, w := range change.Warnings {
		a.warn("%s", w)
	}
	if o.printOnly {
		if note != "" {
			_, _ = fmt.Fprintln(a.env.Stderr, note)
		}
		return a.printKubeconfig(change)
	}
	err = a.writeKubeconfig(ctx, env, o, change, note)
	var other *kubeconfig.PrincipalError
	if errors.As(err, &other) {
		return a.principalUsage(other, old, note)
	}
	return err
}

// principalUsage shows the two commands that say what is meant.
func (a *app) principalUsage(err *kubeconfig.PrincipalError, old kubeconfig.MergedContext, note string) error {
	hint := "to change that: " + a.typedAgain(nil, "--replace-user")
	if own, _ := old.UserEntry.Kinds(); old.IsEKS && len(own) == 0 {
		words := principalWords(old.EKS.Meaning)
		if old.EKS.Profile == "" && note != "" {
			words = append(words, "--no-profile")
		}
		hint = "to keep it: " + a.typedAgain([]string{"--no-profile"}, words...) + "; " + hint
	} else {
		hint = "to leave it, name another context with --alias; " + hint
	}
	return &usageError{reason: err.Error(), hint: hint}
}

// checkUpdate finds what makes no sense before AWS is asked for anything.
func (a *app) checkUpdate(o updateOptions) error {
	formats := []string{formatTable}
	if o.printOnly {
		formats = []string{formatYAML, formatJSON}
	}
	if _, err := a.format(formats...); err != nil {
		return err
	}
	switch {
	case o.name == "":
		return &usageError{reason: "cluster name is required", hint: "name it with --name"}
	case o.printOnly && o.dryRun:
		return &usageError{reason: "--print and --dry-run exclude each other", hint: "leave out one of them"}
	case o.noProfile && a.global.profile != "":
		return &usageError{reason: "--profile and --no-profile exclude each other", hint: "leave out one of them"}
	case o.printOnly && o.files.file != "":
		return &usageError{reason: "--print writes no file, so --kubeconfig cannot name one", hint: "leave out one of them"}
	}
	return needCluster(o.name)
}

// wanted are the kubeconfig package's options as far as the flags tell them.
func (a *app) wanted(o updateOptions, roles []awsconf.Role) kubeconfig.Options {
	options := kubeconfig.Options{
		Profile: a.global.profile, Command: o.command, ExecVersion: o.execVersion,
		ForwardSessionName: a.global.forwardSessionName, MFACommand: a.global.mfa.command, CacheAll: a.global.cacheAll,
		Alias: o.alias, UserAlias: o.userAlias, ClusterAlias: o.clusterAlias, Namespace: o.namespace, SetCurrent: !o.noSetContext,
		Server: o.server, TLSServerName: o.tlsServerName, ProxyURL: o.proxyURL,
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

// entries adds to the options what EKS says of a cluster.
func entries(options kubeconfig.Options, c *types.Cluster, region string) kubeconfig.Options {
	encoded, _, _ := caOf(c)
	options.ClusterARN, options.ClusterName, options.Region = aws.ToString(c.Arn), tokenName(c), region
	options.Endpoint, options.CAData = aws.ToString(c.Endpoint), []byte(encoded)
	return options
}

// optionUsage names the flag of a command by which a person gave what is wrong.
func optionUsage(err error, command string) error {
	reason := err.Error()
	var option *kubeconfig.OptionError
	if errors.As(err, &option) {
		flag := option.Option
		switch flag {
		case "command":
			flag = "exec-command"
		case "exec API version":
			flag = "exec-api-version"
		case "role ARN":
			flag = "role-arn"
		}
		reason = "--" + flag + " " + option.Reason
	}
	return &usageError{reason: reason, hint: "see " + command + " --help"}
}

// checkRoles finds a mistyped role, given by a flag, now and not when kubectl first
// runs.
func checkRoles(flag string, roles []awsconf.Role) error {
	for _, r := range roles {
		if p, err := identity.ParsePrincipal(r.ARN); err != nil || p.Kind != identity.KindRole {
			return &usageError{reason: fmt.Sprintf("%s %q is not the ARN of a role", flag, r.ARN), hint: "it looks like arn:aws:iam::111122223333:role/name"}
		}
	}
	return nil
}

// printKubeconfig prints the change as a file of its own, in the style of the
// format asked for.
func (a *app) printKubeconfig(change kubeconfig.Change) error {
	empty := ""
	if a.global.output == formatJSON {
		empty = "{}\n"
	}
	f, err := kubeconfig.Parse("the output", []byte(empty))
	if err != nil {
		return err
	}
	if _, err := f.Apply(change); err != nil {
		return err
	}
	a.out.Write(f.Bytes())
	return nil
}

func (a *app) writeKubeconfig(ctx context.Context, env kubeconfig.Env, o updateOptions, change kubeconfig.Change, note string) error {
	batch := kubeconfig.Batch{Changes: []kubeconfig.Change{change}}
	if o.dryRun {
		report, edits, err := kubeconfig.Plan(ctx, env, batch)
		if err != nil {
			return hintOnCluster(err)
		}
		a.writeDiffs(edits)
		// Not to stdout, which is the diff and no more.
		_, _ = fmt.Fprintln(a.env.Stderr, "dry run: nothing was written")
		a.warnOfSharing(o, report.Results[0])
		summarize(a.env.Stderr, report.Results[0], note)
		return nil
	}
	report, err := kubeconfig.Update(ctx, env, batch)
	if err != nil {
		return hintOnCluster(err)
	}
	a.warnOfSharing(o, report.Results[0])
	summarize(&a.out, report.Results[0], note)
	return nil
}

// warnOfSharing tells what may not be meant, and that another way to the server is there for all contexts of
// the cluster's entry.
func (a *app) warnOfSharing(o updateOptions, r kubeconfig.Result) {
	for _, w := range r.Warnings {
		a.warn("%s", w)
	}
	if o.server+o.tlsServerName+o.proxyURL != "" && o.clusterAlias == "" && r.Cluster.Outcome == kubeconfig.Updated {
		a.warn("every context of cluster %s now connects this way; for an entry of its own, give it a --cluster-alias", r.Cluster.Name)
	}
}

// hintOnCluster names the flag that helps where the entry in the way is the
// cluster's.
func hintOnCluster(err error) error {
	var conflict *kubeconfig.ConflictError
	if errors.As(err, &conflict) && conflict.Kind == "cluster" {
		return &hintError{err, "nothing was written; choose another name with --cluster-alias, or another file with --kubeconfig"}
	}
	return err
}

func summarize(w io.Writer, r kubeconfig.Result, note string) {
	inFile := func(item kubeconfig.Item) string {
		if item.File == r.File || item.File == "" {
			return ""
		}
		return " (in " + printable(item.File) + ")"
	}
	for _, item := range []struct {
		what string
		item kubeconfig.Item
	}{{"context", r.Context}, {"user", r.User}, {"cluster", r.Cluster}} {
		_, _ = fmt.Fprintf(w, "%s %s: %s%s\n", item.what, printable(item.item.Name), item.item.Outcome, inFile(item.item))
	}
	if r.Current.Name != "" {
		_, _ = fmt.Fprintf(w, "current context: %s%s\n", printable(r.Current.Name), inFile(r.Current))
	}
	if note != "" {
		_, _ = fmt.Fprintln(w, note)
	}
	_, _ = fmt.Fprintf(w, "kubeconfig: %s\n", printable(r.File))
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
