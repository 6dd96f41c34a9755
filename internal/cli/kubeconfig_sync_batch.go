package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// batch makes of what was found what is to be done with the kubeconfigs, whose
// contexts there are these.
func (s *clusterSync) batch(contexts []kubeconfig.MergedContext) (kubeconfig.Batch, error) {
	there := map[string]kubeconfig.MergedContext{}
	entries := map[string]kubeconfig.Cluster{}
	for _, c := range contexts {
		there[c.Name] = c
		if c.HasCluster {
			entries[c.Cluster] = c.ClusterEntry
		}
	}
	var batch kubeconfig.Batch
	taken := map[string]discovery.Cluster{}
	for _, f := range s.found {
		row, c := s.row(f)
		if c == nil {
			continue
		}
		if row.Outcome == "" {
			if other, ok := taken[row.Context]; ok && other.ARN != c.ARN {
				return kubeconfig.Batch{}, collision(row.Context, other, *c)
			} else if ok {
				row.Outcome, row.Reason = outcomeSkipped, "another profile sees it, too, and is written"
			}
			taken[row.Context] = *c
		}
		if row.Outcome == "" {
			if old, ok := there[row.Context]; ok {
				if reason := s.notOurs(old, *c, row.Profile); reason != "" {
					row.Outcome, row.Reason = outcomeLeft, reason
				}
			}
		}
		if row.Outcome == "" {
			change, err := s.change(row, *c)
			if err == nil {
				if old, ok := entries[c.ARN]; ok && otherWay(old, *c) {
					change.Cluster = kubeconfig.Cluster{}
					change.Warnings = append(change.Warnings, "its cluster entry stays as it is: by its server and tls-server-name it goes another way than to EKS's endpoint")
				}
				s.odd = append(s.odd, change.Warnings)
				s.changes = append(s.changes, len(s.rows))
				batch.Changes = append(batch.Changes, change)
			} else {
				row.Outcome, row.Reason = outcomeSkipped, err.Error()
			}
		}
		s.rows = append(s.rows, row)
	}
	if s.prune {
		s.addPrune(&batch, contexts)
	}
	return batch, nil
}

// row is what is known of a cluster before the kubeconfigs are looked at: it has
// an outcome already if the cluster is skipped. The cluster is nil if it is not
// wanted.
func (s *clusterSync) row(f foundCluster) (syncRow, *discovery.Cluster) {
	c := f.cluster()
	outcome, reason := "", ""
	switch {
	case f.answer.Gone, f.answer.Err != nil && notFound(f.answer.Err):
		outcome, reason = outcomeSkipped, "it went away meanwhile"
	case f.answer.Err != nil:
		outcome, reason = outcomeSkipped, f.answer.Err.Error()
	default:
		c = *f.answer.Cluster
		if !s.tagged(c) {
			return syncRow{}, nil
		}
		if why, _ := c.Unreachable(); why != "" {
			outcome, reason = outcomeSkipped, "it "+why
		}
	}
	row := syncRow{Cluster: c.ARN, Profile: f.profile, Outcome: outcome, Reason: reason}
	if row.Profile == "" {
		row.Profile = s.options.Profile
	}
	if c.ARN == "" {
		row.Cluster = c.Name // of nobody knows which account
		return row, &c
	}
	role := ""
	if n := len(s.options.RoleChain); n > 0 {
		role = s.options.RoleChain[n-1].ARN
	}
	row.Context = s.alias.name(c, row.Profile, role)
	return row, &c
}

// notFound reports whether EKS does not have what it listed a moment ago.
func notFound(err error) bool {
	var api *awserr.APIError
	return errors.As(err, &api) && api.NotFound()
}

func (s *clusterSync) change(row syncRow, c discovery.Cluster) (kubeconfig.Change, error) {
	o := s.options
	o.Alias, o.Profile = row.Context, row.Profile
	o.ClusterARN, o.ClusterName, o.Region = c.ARN, c.TokenName, c.Region
	o.Endpoint, o.CAData = c.Endpoint, []byte(c.CAData)
	o.KeepPrincipal = true
	return kubeconfig.ForEKS(o)
}

func collision(name string, a, b discovery.Cluster) error {
	var fields []string
	for _, f := range []struct{ field, a, b string }{
		{"{account}", a.Account, b.Account}, {"{region}", a.Region, b.Region}, {"{name}", a.Name, b.Name},
	} {
		if f.a != f.b {
			fields = append(fields, f.field)
		}
	}
	return &usageError{
		reason: fmt.Sprintf("two clusters would be context %q: %s and %s", name, a.ARN, b.ARN),
		hint:   "nothing was written; add a field to --alias that tells them apart, such as " + strings.Join(fields, " or "),
	}
}

// addPrune adds the contexts whose clusters are gone.
func (s *clusterSync) addPrune(batch *kubeconfig.Batch, contexts []kubeconfig.MergedContext) {
	type place struct{ account, region string }
	complete := map[place][][]string{}
	for _, l := range s.listings {
		if l.Err == nil && l.Account != "" {
			p := place{l.Account, l.Region}
			complete[p] = append(complete[p], l.Names)
		}
	}
	written := map[string]bool{}
	for _, c := range batch.Changes {
		written[c.Context.Name] = true
	}
	gone := func(c kubeconfig.MergedContext) bool {
		// A context that did not exist, or was another, when the search began may be
		// newer than the listings.
		was, ok := s.before[c.Name]
		if !prunable(c, false) || written[c.Name] || !ok || was.MadeFor != c.MadeFor || !sameCluster(was.EKS, c.EKS) {
			return false
		}
		arn, err := identity.ParseARN(c.MadeFor)
		if err != nil {
			return false
		}
		name, ok := strings.CutPrefix(arn.Resource, "cluster/")
		partition, err := identity.PartitionOfRegion(arn.Region)
		if !ok || err != nil || partition.ID != arn.Partition {
			return false
		}
		lists, ok := complete[place{arn.Account, arn.Region}]
		return ok && !slices.ContainsFunc(lists, func(names []string) bool {
			_, found := slices.BinarySearch(names, name)
			return found
		})
	}
	for _, c := range contexts {
		if gone(c) {
			batch.Remove = append(batch.Remove, c.Name)
			s.rows = append(s.rows, syncRow{Context: c.Name, Cluster: c.MadeFor, Profile: c.EKS.Profile, removed: true})
		}
	}
	batch.Only = gone
}
