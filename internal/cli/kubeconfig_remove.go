package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// removeOptions are the flags of `ekskey kubeconfig remove`.
type removeOptions struct {
	contexts []string
	files    kubeconfigFlags
	dryRun   bool
}

func newKubeconfigRemoveCommand(a *app, run func(context.Context, removeOptions) error) *cobra.Command {
	var o removeOptions
	cmd := &cobra.Command{
		Use:   "remove CONTEXT...",
		Short: "Remove contexts, and the clusters and users that only they use",
		Long: `Remove contexts from the kubeconfigs, and the cluster and user entries that no other
context uses. Nothing else in the files changes.

A user entry that contains credentials, such as a certificate or a token, stays,
because ekskey could not restore it. If one of the names does not exist, nothing is
removed.`,
		Example: `  ekskey kubeconfig remove old-dev
  ekskey kubeconfig remove old-dev old-test --dry-run`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{reason: "no context is named", hint: "list the contexts: ekskey kubeconfig list --offline"}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return a.contextNames(o.files), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.contexts = args
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	o.files.bind(f, "`file` to remove from; else all of KUBECONFIG, else ~/.kube/config", true)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the changes as a diff, and write nothing")
	return cmd
}

// removedRow is an entry that went with a context, or that stayed.
type removedRow struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Kubeconfig string `json:"kubeconfig"`
	State      string `json:"state"` // removed, kept
	Reason     string `json:"reason,omitempty"`
}

func (a *app) runKubeconfigRemove(ctx context.Context, o removeOptions) error {
	allowed := []string{formatTable, formatJSON, formatYAML}
	if o.dryRun {
		allowed = allowed[:1]
	}
	format, err := a.format(allowed...)
	if err != nil {
		return err
	}
	return a.removeContexts(ctx, format, o.files, o.dryRun, kubeconfig.Batch{Remove: o.contexts})
}

// removeContexts removes what the batch names, or shows what that would change.
func (a *app) removeContexts(ctx context.Context, format string, files kubeconfigFlags, dryRun bool, batch kubeconfig.Batch) error {
	env := a.kubeconfigs(files)
	if dryRun {
		report, edits, err := kubeconfig.Plan(ctx, env, batch)
		if err != nil {
			return hintOnMissing(err)
		}
		a.writeDiffs(edits)
		_, _ = fmt.Fprintln(a.env.Stderr, "dry run: nothing was written")
		a.removedTable(a.env.Stderr, removedRows(report), "would go")
		return nil
	}
	report, err := kubeconfig.Update(ctx, env, batch)
	if err != nil {
		return hintOnMissing(err)
	}
	rows := removedRows(report)
	return a.write(&a.out, format, rows, func(w io.Writer) { a.removedTable(w, rows, stateRemoved) })
}

const (
	stateRemoved = "removed"
	stateKept    = "kept"
)

func removedRows(report kubeconfig.Report) []removedRow {
	rows := make([]removedRow, len(report.Removed))
	for i, r := range report.Removed {
		rows[i] = removedRow{Kind: r.Kind, Name: r.Name, Kubeconfig: r.File, State: stateRemoved, Reason: r.Kept}
		if r.Kept != "" {
			rows[i].State = stateKept
		}
	}
	return rows
}

func (a *app) removedTable(w io.Writer, rows []removedRow, removed string) {
	if len(rows) == 0 {
		_, _ = fmt.Fprintln(w, "there is nothing to remove")
		return
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		state := r.State
		if state == stateRemoved {
			state = removed
		}
		cells[i] = []string{r.Kind, r.Name, r.Kubeconfig, state, r.Reason}
	}
	a.table(w, []string{"KIND", "NAME", "KUBECONFIG", "STATE", "WHY"}, cells)
}

// hintOnMissing gives what no kubeconfig has its exit code.
func hintOnMissing(err error) error {
	var missing *kubeconfig.MissingError
	if errors.As(err, &missing) {
		return &codeError{code: exitNotFound, reason: missing.Error(), hint: "nothing was written; list the contexts: ekskey kubeconfig list --offline"}
	}
	return err
}
