package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/execplugin"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// look reads the kubeconfigs before AWS is asked for anything: what cannot be read
// is refused at once, and only what is there by now may be pruned.
func (s *clusterSync) look(ctx context.Context, env kubeconfig.Env) error {
	merged, err := kubeconfig.ReadMerged(ctx, env)
	if err == nil {
		err = merged.Writable()
	}
	if err != nil || !s.prune {
		return err
	}
	s.before = map[string]kubeconfig.MergedContext{}
	for _, c := range merged.Contexts() {
		if prunable(c, false) {
			c.ClusterEntry, c.UserEntry = kubeconfig.Cluster{}, kubeconfig.User{} // long
			s.before[c.Name] = c
		}
	}
	return nil
}

// write makes a batch, or plans it. A change that cannot be made is left out, and
// its context left alone.
func (s *clusterSync) write(ctx context.Context, env kubeconfig.Env, batch kubeconfig.Batch, dryRun bool) (report kubeconfig.Report, edits []kubeconfig.Edit, err error) {
	for ctx.Err() == nil {
		if dryRun {
			report, edits, err = kubeconfig.Plan(ctx, env, batch)
		} else {
			report, err = kubeconfig.Update(ctx, env, batch)
		}
		var one *kubeconfig.ChangeError
		if !errors.As(err, &one) {
			return report, edits, err
		}
		i := one.Index
		row := &s.rows[s.changes[i]]
		row.Outcome, row.Reason = outcomeLeft, one.Error()
		batch.Changes = slices.Delete(batch.Changes, i, i+1)
		s.changes = slices.Delete(s.changes, i, i+1)
		s.odd = slices.Delete(s.odd, i, i+1)
	}
	return kubeconfig.Report{}, nil, ctx.Err()
}

// notOurs says why a context of the name that a cluster's is to have may not be
// overwritten. It may, if tokens are made for that very cluster already, as the
// same principal, or if it was made for it and has lost its user.
func (s *clusterSync) notOurs(old kubeconfig.MergedContext, c discovery.Cluster, profile string) string {
	switch t := old.EKS; {
	case !old.IsEKS && !old.HasUser && old.MadeFor == c.ARN:
		return ""
	case !old.IsEKS:
		return "it was not made by ekskey, or was changed since"
	case t.ARN != "" && t.ARN != c.ARN:
		return "it is for " + t.ARN
	case t.ARN == "" && (t.Cluster != c.TokenName || t.Region != "" && t.Region != c.Region):
		return "it is for another cluster, " + t.Cluster
	case t.ARN == "" && !(old.HasCluster && old.ClusterEntry.Server == c.Endpoint):
		// Of a cluster of this name, but nobody knows in which account.
		return "it may be for the cluster of this name in another account"
	case old.Cluster != c.ARN && otherWay(old.ClusterEntry, c):
		return "by its server and tls-server-name it goes another way than to EKS's endpoint"
	}
	return s.otherPrincipal(old, profile)
}

// otherWay reports whether a cluster entry leads elsewhere than to the cluster's
// endpoint and says itself whom it expects there, as to a tunnel.
func otherWay(entry kubeconfig.Cluster, c discovery.Cluster) bool {
	return entry.TLSServerName != "" && endpointOf(entry.Server) != endpointOf(c.Endpoint)
}

// otherPrincipal says how the one that a context authenticates as differs from the
// one that would be written; empty where both are the same. Nobody's context is to
// act as somebody else because a key of a profile broke, or because a flag was left
// out.
func (s *clusterSync) otherPrincipal(old kubeconfig.MergedContext, profile string) string {
	want := execplugin.Meaning{Profile: profile, Roles: s.options.RoleChain, ForwardSessionName: s.options.ForwardSessionName}
	own, impersonates := old.UserEntry.Kinds()
	switch {
	case len(own) > 0:
		return "its user has credentials of its own: " + strings.Join(own, ", ")
	case impersonates:
		return "its user acts as another (as, as-groups and the like)"
	case old.EKS.Beyond != "":
		return "of its plugin's words, " + old.EKS.Beyond
	}
	return old.EKS.Differs(want)
}
