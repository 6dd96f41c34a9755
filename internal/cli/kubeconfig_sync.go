package cli

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// gcPercent is how much garbage there may be for so much of what is in use.
const gcPercent = 30

// syncOptions are the flags of `ekskey kubeconfig sync`.
type syncOptions struct {
	profiles     []string
	regions      []string
	match        []string
	tags         []string
	alias        string
	namespace    string
	proxyURL     string
	command      string
	execVersion  string
	files        kubeconfigFlags
	describeRole string
	prune        bool
	noProfile    bool
	dryRun       bool
}

func newKubeconfigSyncCommand(a *app, run func(context.Context, syncOptions) error) *cobra.Command {
	var o syncOptions
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Write entries for all clusters of accounts and regions",
		Long: `List the clusters of one or more profiles and regions concurrently, and write a
context, cluster and user for each to a kubeconfig, in one write. The current context
and everything that "ekskey kubeconfig update" would keep are not changed.

Clusters without an endpoint are skipped. An existing context of the same name that is
for another cluster, or authenticates as another identity, is not changed, and a
warning says so. An account or region that fails is reported and skipped; the command
fails only if all fail.

--role-arn is assumed to list the clusters and written to the user entries, and so is
the profile that listed a cluster. With --describe-role-arn that role is assumed
instead, and --role-arn is only written.

--alias names the contexts by a pattern with the fields {account}, {region}, {name},
{profile}, {partition}, {arn} and {role}, the name of the last role. If two clusters
would get the same name, nothing is written.

--prune removes contexts that ekskey created for clusters that no longer exist: those
whose account and region were listed completely, without the cluster.`,
		Example: `  ekskey kubeconfig sync --regions all
  ekskey kubeconfig sync --profiles dev,prod --regions eu-central-1,us-east-1 --prune
  ekskey kubeconfig sync --role-arn arn:aws:iam::111122223333:role/viewer --alias '{name}-{role}'
  ekskey kubeconfig sync --match 'prod-*' --tag team=payments --alias '{name}' --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyElement(cmd, "profiles", "regions"); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.profiles, "profiles", nil, "`profiles` to use, separated by commas")
	f.StringSliceVar(&o.regions, "regions", nil, "`regions` to list, separated by commas, or \"all\" of the partition")
	f.StringArrayVar(&o.match, "match", nil, "`pattern` of cluster names, such as prod-*; repeatable, any may match")
	f.StringArrayVar(&o.tags, "tag", nil, "`key[=value]` of a tag that a cluster must have; repeatable, all must match")
	f.StringVar(&o.alias, "alias", defaultAlias, "`pattern` for the names of contexts")
	f.StringVar(&o.namespace, "namespace", "", "`namespace` of the contexts")
	f.StringVar(&o.proxyURL, "proxy-url", "", "`URL` of an http, https or socks5 proxy to connect through")
	f.StringVar(&o.command, "exec-command", "", "`program` to write instead of this one's path: a name or an absolute path")
	f.StringVar(&o.execVersion, "exec-api-version", "", "ExecCredential `version` in the user entry: v1 (default) or v1beta1")
	o.files.bind(f, "`file` to write; else KUBECONFIG, else ~/.kube/config", true)
	f.StringVar(&o.describeRole, "describe-role-arn", "", "`ARN` of the role with which to list clusters, instead of --role-arn")
	f.BoolVar(&o.noProfile, "no-profile", false, "do not write the profile of AWS_PROFILE")
	f.BoolVar(&o.prune, "prune", false, "remove contexts that ekskey created for clusters that no longer exist")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the changes as a diff, and write nothing")
	complete(cmd, "regions", func() []string { return append([]string{"all"}, regionsOf("")...) })
	complete(cmd, "profiles", func() []string { return awsconf.Profiles(a.env.Getenv) })
	complete(cmd, "exec-api-version", func() []string { return []string{"v1", "v1beta1"} })
	return cmd
}

func (a *app) runKubeconfigSync(ctx context.Context, o syncOptions) error {
	formats := []string{formatTable, formatJSON, formatYAML}
	if o.dryRun {
		formats = formats[:1] // stdout is the diff
	}
	format, err := a.format(formats...)
	if err != nil {
		return err
	}
	s, config, err := a.newSync(o)
	if err != nil {
		return err
	}
	env := a.kubeconfigs(o.files)
	if err := s.look(ctx, env); err != nil {
		return err
	}
	if err := a.find(ctx, s, config, o); err != nil {
		return err
	}
	// Thousands of entries are read, compared and written at once: memory is scarcer
	// than time. What the search needed goes first.
	if a.env.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	debug.FreeOSMemory()
	merged, err := kubeconfig.ReadMerged(ctx, env)
	if err != nil {
		return err
	}
	batch, err := s.batch(merged.Contexts())
	if err != nil {
		return err
	}
	report, edits, err := s.write(ctx, env, batch, o.dryRun)
	if err != nil {
		return err
	}
	if o.dryRun {
		a.writeDiffs(edits)
		_, _ = fmt.Fprintln(a.env.Stderr, "dry run: nothing was written")
	}
	s.settle(report)
	a.warnOfSync(s, report)
	if o.dryRun {
		a.syncTable(a.env.Stderr, s)
		return nil
	}
	return a.writeSync(format, s)
}

// newSync checks the flags, before AWS is asked for anything, and gives the
// configuration to find clusters with.
func (a *app) newSync(o syncOptions) (*clusterSync, awsconf.Config, error) {
	config, err := a.awsConfig()
	if err != nil {
		return nil, config, err
	}
	written := config.Roles
	if err := checkRoles("--role-arn", written); err != nil {
		return nil, config, err
	}
	if o.describeRole != "" {
		config.Roles = []awsconf.Role{{ARN: o.describeRole}}
		if err := checkRoles("--describe-role-arn", config.Roles); err != nil {
			return nil, config, err
		}
	}
	if o.command == "" {
		if o.command, err = a.ownPath(); err != nil {
			return nil, config, err
		}
	}
	s := &clusterSync{prune: o.prune, match: o.match, options: a.wanted(updateOptions{
		namespace: o.namespace, proxyURL: o.proxyURL, command: o.command, execVersion: o.execVersion, noSetContext: true,
	}, written)}
	if err := s.options.Check(); err != nil {
		return nil, config, optionUsage(err, "ekskey kubeconfig sync")
	}
	if o.noProfile && (a.global.profile != "" || len(o.profiles) > 0) {
		return nil, config, &usageError{reason: "--no-profile excludes --profile and --profiles", hint: "leave out one of them"}
	}
	if s.alias, err = parseAlias(o.alias); err != nil {
		return nil, config, err
	}
	if s.alias.has("role") && len(written) == 0 {
		return nil, config, &usageError{reason: "--alias has {role}, and there is no --role-arn", hint: aliasHint}
	}
	if s.alias.has("profile") && len(o.profiles) == 0 && a.global.profile == "" {
		return nil, config, &usageError{reason: "--alias has {profile}, and there is neither --profiles nor --profile", hint: aliasHint}
	}
	for _, pattern := range o.match {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, config, &usageError{reason: fmt.Sprintf("--match %q is not a pattern", pattern), hint: "a pattern looks like prod-* or team-[ab]-?"}
		}
	}
	for _, text := range o.tags {
		key, value, valued := strings.Cut(text, "=")
		if key == "" {
			return nil, config, &usageError{reason: fmt.Sprintf("--tag %q names no key", text), hint: "a tag looks like team or team=payments"}
		}
		s.tags = append(s.tags, wantedTag{key, value, valued})
	}
	return s, config, nil
}

// find lists the clusters and has those described that are wanted. It leaves
// nothing behind but what was found.
func (a *app) find(ctx context.Context, s *clusterSync, config awsconf.Config, o syncOptions) error {
	config.Connections = awsconf.NewConnections(discovery.AtOnce)
	defer config.Connections.Close()
	sources, err := a.sources(ctx, config, o.profiles, o.regions)
	if err != nil {
		return err
	}
	if len(o.profiles) == 0 {
		s.options.Profile, s.note = a.writtenProfile(sources[0].Session, o.noProfile)
	}
	var keys []string
	for _, t := range s.tags {
		keys = append(keys, t.key)
	}
	bar := a.newProgress()
	defer bar.end()
	finder := discovery.New(discovery.Config{Tags: keys, Progress: bar.show})
	if s.listings, err = finder.List(ctx, sources); err != nil {
		return err
	}
	if err := s.describe(ctx, finder); err != nil {
		return err
	}
	for i := range s.listings {
		s.listings[i].Session = nil
	}
	bar.end()
	if err := a.reportFailures(s.listings); err != nil {
		return err
	}
	var failed []error
	for _, c := range s.found {
		if c.answer.Err != nil {
			failed = append(failed, c.answer.Err)
		}
	}
	if len(failed) > 0 && len(failed) == len(s.found) {
		return allFailed("no cluster could be described", failed)
	}
	return nil
}
