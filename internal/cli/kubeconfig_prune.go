package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// pruneOptions are the flags of `ekskey kubeconfig prune`.
type pruneOptions struct {
	files  kubeconfigFlags
	all    bool
	dryRun bool
}

func newKubeconfigPruneCommand(a *app, run func(context.Context, pruneOptions) error) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove contexts whose cluster no longer exists",
		Long: `Look up the cluster of each context that ekskey created, and remove the contexts
whose cluster no longer exists, like "ekskey kubeconfig remove".

A cluster no longer exists only if EKS says so to credentials of the cluster's own
account. If the call fails, the context stays, and a warning says why. A context that
was changed to another cluster since ekskey wrote it stays, too. --all also removes
contexts of other tools, such as "aws eks update-kubeconfig".`,
		Example: `  ekskey kubeconfig prune --dry-run
  ekskey kubeconfig prune
  ekskey kubeconfig prune --all --profile audit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	o.files.bind(f, "`file` to prune; else all of KUBECONFIG, else ~/.kube/config", true)
	f.BoolVar(&o.all, "all", false, "also remove contexts that other tools created")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the changes as a diff, and write nothing")
	return cmd
}

func (a *app) runKubeconfigPrune(ctx context.Context, o pruneOptions) error {
	allowed := []string{formatTable, formatJSON, formatYAML}
	if o.dryRun {
		allowed = allowed[:1]
	}
	format, err := a.format(allowed...)
	if err != nil {
		return err
	}
	merged, err := kubeconfig.ReadMerged(ctx, a.kubeconfigs(o.files))
	if err != nil {
		return err
	}
	if err := merged.Writable(); err != nil {
		return err
	}
	var contexts []kubeconfig.MergedContext
	for _, c := range merged.Contexts() {
		if prunable(c, o.all) {
			contexts = append(contexts, c)
		}
	}
	states := make([]contextState, len(contexts))
	if err := a.askStates(ctx, contexts, states, o.files); err != nil {
		return err
	}
	batch := kubeconfig.Batch{}
	gone := map[string]kubeconfig.Target{}
	unknown := 0
	for i, c := range contexts {
		switch {
		case states[i].gone:
			batch.Remove = append(batch.Remove, c.Name)
			gone[c.Name] = c.EKS
		case states[i].err != nil:
			unknown++
			a.warn("context %s: not known whether its cluster is there: %s", c.Name, states[i].reason)
		}
	}
	if unknown > 0 && unknown == len(contexts) {
		return states[0].err
	}
	batch.Only = func(c kubeconfig.MergedContext) bool {
		was, ok := gone[c.Name]
		return ok && prunable(c, o.all) && sameCluster(c.EKS, was)
	}
	return a.removeContexts(ctx, format, o.files, o.dryRun, batch)
}

// prunable reports whether a context may be removed because its cluster is gone:
// one whose cluster is known down to its account, and that ekskey made for just
// that cluster.
func prunable(c kubeconfig.MergedContext, all bool) bool {
	return c.IsEKS && c.EKS.ARN != "" && (all || c.MadeFor == c.EKS.ARN)
}

func sameCluster(a, b kubeconfig.Target) bool { return a.ARN == b.ARN && a.Cluster == b.Cluster }
