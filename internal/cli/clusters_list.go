package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
)

// listOptions are the flags of `ekskey clusters list`.
type listOptions struct {
	regions  []string
	profiles []string
}

func newClustersListCommand(a *app, run func(context.Context, listOptions) error) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the clusters in accounts and regions",
		Long: `List the clusters of one or more profiles and regions, concurrently. A region or
profile that fails is reported and skipped; the command fails only if all fail.`,
		Example: `  ekskey clusters list
  ekskey clusters list --regions all
  ekskey clusters list --profiles dev,prod --regions eu-central-1,us-east-1 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyElement(cmd, "profiles", "regions"); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.regions, "regions", nil, "`regions` to list, separated by commas, or \"all\" of the partition")
	f.StringSliceVar(&o.profiles, "profiles", nil, "`profiles` to use, separated by commas")
	complete(cmd, "regions", func() []string { return append([]string{"all"}, regionsOf("")...) })
	complete(cmd, "profiles", func() []string { return awsconf.Profiles(a.env.Getenv) })
	return cmd
}

// listedCluster is a row of the list.
type listedCluster struct {
	Name    string `json:"name"`
	Region  string `json:"region"`
	Account string `json:"account,omitempty"`
	Profile string `json:"profile,omitempty"`
}

func (a *app) runClustersList(ctx context.Context, o listOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	config, err := a.awsConfig()
	if err != nil {
		return err
	}
	config.Connections = awsconf.NewConnections(discovery.AtOnce)
	sources, err := a.sources(ctx, config, o.profiles, o.regions)
	if err != nil {
		return err
	}
	listings, err := discovery.New(discovery.Config{}).List(ctx, sources)
	if err != nil {
		return err
	}
	if err := a.reportFailures(listings); err != nil {
		return err
	}
	rows := []listedCluster{}
	for _, l := range listings {
		for _, name := range l.Names {
			rows = append(rows, listedCluster{Name: name, Region: l.Region, Account: l.Account, Profile: l.Profile})
		}
	}
	return a.write(&a.out, format, rows, func(w io.Writer) {
		cells := make([][]string, len(rows))
		for i, r := range rows {
			cells[i] = []string{r.Name, r.Region, r.Account, r.Profile}
		}
		header := []string{"NAME", "REGION", "ACCOUNT"}
		if len(o.profiles) > 0 {
			header = append(header, "PROFILE")
		}
		a.table(w, header, cells)
	})
}

// noEmptyElement refuses lists in which something is missing, as where a variable of
// a script is empty: to go on without it would be to ask as somebody else, or
// elsewhere.
func noEmptyElement(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if !cmd.Flags().Changed(name) {
			continue
		}
		list, err := cmd.Flags().GetStringSlice(name)
		if err != nil {
			return err
		}
		if len(list) == 0 || slices.Contains(list, "") {
			return &usageError{reason: "--" + name + " has an empty element", hint: "separate them by one comma, or leave the flag out"}
		}
	}
	return nil
}

// sources prepares a question for each profile, each once. A profile that cannot
// be loaded is a source that has failed already, if there are others.
func (a *app) sources(ctx context.Context, config awsconf.Config, profiles, regions []string) ([]discovery.Source, error) {
	for _, r := range regions {
		if _, err := identity.PartitionOfRegion(r); err != nil && r != "all" {
			return nil, err
		}
	}
	if config.Region == "" && len(regions) > 0 && regions[0] != "all" {
		config.Region = regions[0] // so that roles are assumed in the right partition
	}
	profiles = once(profiles)
	if len(profiles) > 0 && config.Profile != "" {
		return nil, &usageError{reason: "--profile and --profiles exclude each other", hint: "leave out one of them"}
	}
	if len(profiles) == 0 {
		profiles = []string{""}
	}
	var all []discovery.Source
	for _, p := range profiles {
		c := config
		if p != "" {
			c.Profile = p
		}
		session, err := a.loadConfig(ctx, c)
		var asked []string
		if err == nil {
			asked, err = regionsFor(session, regions)
		}
		switch {
		case err == nil:
			all = append(all, discovery.Source{Session: session, Profile: p, Regions: asked})
		case len(profiles) == 1:
			return nil, err
		default:
			all = append(all, discovery.Source{Profile: p, Err: err})
		}
	}
	return all, nil
}

func regionsFor(session *awsconf.Session, asked []string) ([]string, error) {
	if len(asked) == 0 {
		region, err := session.NeedRegion()
		return []string{region}, err
	}
	var regions []string
	for _, r := range asked {
		if r != "all" {
			regions = append(regions, r)
			continue
		}
		partition := "aws"
		if p, err := identity.PartitionOfRegion(session.Region()); err == nil {
			partition = p.ID
		}
		regions = append(regions, regionsOf(partition)...)
	}
	return once(regions), nil
}

// once keeps the first of each.
func once(list []string) []string {
	var kept []string
	found := map[string]bool{}
	for _, s := range list {
		if !found[s] {
			found[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}

// reportFailures warns of each listing that failed, or fails if none did not.
// Regions that do not know the credentials are gathered, where others do know
// them: they are the ones that are not enabled for the account.
func (a *app) reportFailures(listings []discovery.Listing) error {
	var errs []error
	for _, l := range listings {
		if l.Err != nil {
			errs = append(errs, l.Err)
		}
	}
	if len(errs) > 0 && len(errs) == len(listings) {
		return allFailed("every listing failed", errs)
	}
	var unknown []string
	for _, l := range listings {
		if l.Err == nil {
			continue
		}
		var api *awserr.APIError
		if errors.As(l.Err, &api) && api.Code == "UnrecognizedClientException" {
			unknown = append(unknown, placeOf(l))
			continue
		}
		a.warn("%s: %v", placeOf(l), l.Err)
	}
	if len(unknown) > 0 {
		a.warn("the credentials are not known in: %s (regions must be enabled for the account)", strings.Join(unknown, ", "))
	}
	return nil
}

func placeOf(l discovery.Listing) string {
	switch {
	case l.Region == "":
		return "profile " + l.Profile
	case l.Profile == "":
		return l.Region
	}
	return l.Region + " (profile " + l.Profile + ")"
}

// allFailedError says that nothing succeeded, whatever the reasons.
type allFailedError struct {
	what  string
	first error
	alike bool // all have one exit code
}

// allFailed makes one error of all that there are: the only one itself, with its
// exit code and hint, or one that names the first.
func allFailed(what string, errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	e := &allFailedError{what: what, first: errs[0], alike: true}
	for _, err := range errs {
		e.alike = e.alike && exitCode(err) == exitCode(e.first)
	}
	return &hintError{err: e, hint: hintFor(e.first)}
}

func (e *allFailedError) Error() string { return e.what + ", the first: " + e.first.Error() }

// Unwrap gives the first error where it stands for all.
func (e *allFailedError) Unwrap() error {
	if e.alike {
		return e.first
	}
	return nil
}
