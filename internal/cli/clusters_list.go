package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
)

// listAtOnce bounds the calls under way at one time.
const listAtOnce = 16

// pageSize is how many clusters are asked for at once, the most that EKS gives;
// maxPages is how often, far beyond any account's quota of clusters.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html
const (
	pageSize = 100
	maxPages = 1000
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
		Short: "List the clusters that the identity can see",
		Long: `List the clusters of one or several profiles and regions, asked side by side. A
region or profile that fails is reported and left out; only if all fail does the
command.`,
		Example: `  ekskey clusters list
  ekskey clusters list --regions all
  ekskey clusters list --profiles dev,prod --regions eu-central-1,us-east-1 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.regions, "regions", nil, "`regions` to ask, separated by commas, or all of the partition")
	f.StringSliceVar(&o.profiles, "profiles", nil, "`profiles` to ask with, separated by commas")
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

// listing is one question: the clusters of one profile in one region.
type listing struct {
	session *awsconf.Session
	profile string // as typed; empty if none was
	region  string
	account string
	names   []string
	err     error
}

func (a *app) runClustersList(ctx context.Context, o listOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	for _, r := range o.regions {
		if _, err := identity.PartitionOfRegion(r); err != nil && r != "all" {
			return err
		}
	}
	listings, err := a.listings(ctx, o)
	if err != nil {
		return err
	}
	if listings, err = withCredentials(ctx, listings); err != nil {
		return err
	}
	if err := ask(ctx, listings); err != nil {
		return err
	}
	if err := a.reportFailures(listings); err != nil {
		return err
	}
	rows := []listedCluster{}
	for _, l := range listings {
		for _, name := range l.names {
			rows = append(rows, listedCluster{Name: name, Region: l.region, Account: l.account, Profile: l.profile})
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

// listings prepares the questions. A profile that cannot be loaded is a listing
// that has failed already.
func (a *app) listings(ctx context.Context, o listOptions) ([]*listing, error) {
	config, err := a.awsConfig()
	if err != nil {
		return nil, err
	}
	profiles := o.profiles
	if len(profiles) == 0 {
		profiles = []string{""}
	}
	var all []*listing
	for _, p := range profiles {
		c := config
		if p != "" {
			c.Profile = p
		}
		if len(o.regions) > 0 && c.Region == "" && o.regions[0] != "all" {
			c.Region = o.regions[0] // so that roles are assumed in the right partition
		}
		session, err := a.loadConfig(ctx, c)
		if err != nil {
			if len(profiles) == 1 {
				return nil, err
			}
			all = append(all, &listing{profile: p, err: err})
			continue
		}
		regions, err := regionsFor(session, o.regions)
		if err != nil {
			return nil, err
		}
		for _, r := range regions {
			all = append(all, &listing{session: session, profile: p, region: r})
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
	seen := map[string]bool{}
	return slices.DeleteFunc(regions, func(r string) bool {
		again := seen[r]
		seen[r] = true
		return again
	}), nil
}

// withCredentials gets the credentials of each session, one after the other, for
// each may have a question to the user. Of a session that has none, one failed
// listing stays. It fails only when the context ends.
func withCredentials(ctx context.Context, listings []*listing) ([]*listing, error) {
	asked := map[*awsconf.Session]error{}
	var kept []*listing
	for _, l := range listings {
		if l.err != nil {
			kept = append(kept, l)
			continue
		}
		err, again := asked[l.session]
		if !again {
			_, err = l.session.Credentials().Retrieve(ctx)
			asked[l.session] = err
		}
		switch {
		case err == nil:
			kept = append(kept, l)
		case !again:
			kept = append(kept, &listing{profile: l.profile, err: err})
		}
	}
	return kept, ctx.Err()
}

// ask puts the questions side by side. It fails only when the context ends.
func ask(ctx context.Context, listings []*listing) error {
	accounts := map[*awsconf.Session]*string{}
	var group errgroup.Group
	group.SetLimit(listAtOnce)
	for _, l := range listings {
		if l.err == nil && accounts[l.session] == nil {
			accounts[l.session] = new(string)
			session, account := l.session, accounts[l.session]
			group.Go(func() error {
				// The account is worth a column, but no failure.
				if out, err := session.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
					*account = aws.ToString(out.Account)
				}
				return nil
			})
		}
	}
	for _, l := range listings {
		if l.err == nil {
			group.Go(func() error {
				l.names, l.err = listRegion(ctx, l.session, l.region)
				return nil
			})
		}
	}
	_ = group.Wait()
	for _, l := range listings {
		if l.session != nil {
			l.account = *accounts[l.session]
		}
	}
	return ctx.Err()
}

func listRegion(ctx context.Context, session *awsconf.Session, region string) ([]string, error) {
	var names []string
	pages := eks.NewListClustersPaginator(session.EKS(region), &eks.ListClustersInput{MaxResults: aws.Int32(pageSize)},
		// Never again from the same place, or a bad server could keep us for ever.
		func(o *eks.ListClustersPaginatorOptions) { o.StopOnDuplicateToken = true })
	for n := 0; pages.HasMorePages(); n++ {
		if n == maxPages || len(names) > maxPages*pageSize {
			return nil, errors.New("calling EKS ListClusters: the list does not end")
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, session.Explain(err)
		}
		names = append(names, page.Clusters...)
	}
	slices.Sort(names)
	return names, nil
}

// reportFailures warns of each listing that failed, or fails if none did not.
// Regions that do not know the credentials are gathered, where others do know
// them: they are the ones that are not enabled for the account.
func (a *app) reportFailures(listings []*listing) error {
	var firstErr error
	failed, unknown := 0, []string(nil)
	for _, l := range listings {
		if l.err != nil {
			failed++
			if firstErr == nil {
				firstErr = l.err
			}
		}
	}
	if failed > 0 && failed == len(listings) {
		if failed == 1 {
			return firstErr
		}
		return &hintError{err: newAllFailed(listings), hint: hintFor(firstErr)}
	}
	for _, l := range listings {
		if l.err == nil {
			continue
		}
		var api *awsconf.APIError
		if errors.As(l.err, &api) && api.Code == "UnrecognizedClientException" {
			unknown = append(unknown, l.place())
			continue
		}
		a.warn("%s: %v", l.place(), l.err)
	}
	if len(unknown) > 0 {
		a.warn("the credentials are not known in: %s (regions must be enabled for the account)", strings.Join(unknown, ", "))
	}
	return nil
}

func (l *listing) place() string {
	switch {
	case l.region == "":
		return "profile " + l.profile
	case l.profile == "":
		return l.region
	}
	return l.region + " (profile " + l.profile + ")"
}

// allFailedError says that no listing succeeded, whatever the reasons.
type allFailedError struct {
	first error
	alike bool // all have one exit code
}

func newAllFailed(listings []*listing) *allFailedError {
	e := &allFailedError{first: listings[0].err, alike: true}
	for _, l := range listings {
		e.alike = e.alike && exitCode(l.err) == exitCode(e.first)
	}
	return e
}

func (e *allFailedError) Error() string { return "every listing failed, the first: " + e.first.Error() }

// Unwrap gives the first error where it stands for all.
func (e *allFailedError) Unwrap() error {
	if e.alike {
		return e.first
	}
	return nil
}
