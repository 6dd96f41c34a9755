package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// listContextsOptions are the flags of `ekskey kubeconfig list`.
type listContextsOptions struct {
	files   kubeconfigFlags
	offline bool
}

func newKubeconfigListCommand(a *app, run func(context.Context, listContextsOptions) error) *cobra.Command {
	var o listContextsOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List contexts with their cluster, identity and state",
		Long: `List the contexts of all kubeconfigs, merged as kubectl merges them: the cluster, its
account and region, the identity that the context authenticates as, and whether the
cluster still exists in EKS with the endpoint of the entry.

EKS is called with each context's own profile, and with its roles only if the profile
is of another account than the cluster; or with --profile and --role-arn for all
contexts. A "stale" context can no longer work, and the reason is shown. If the state
cannot be determined, it is "unknown". --offline makes no network calls.`,
		Example: `  ekskey kubeconfig list
  ekskey kubeconfig list --offline
  ekskey kubeconfig list --output json | jq -r '.[] | select(.state == "stale") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	o.files.bind(f, "`file` to list; else all of KUBECONFIG, else ~/.kube/config", false)
	f.BoolVar(&o.offline, "offline", false, "read only the files, and make no network calls")
	return cmd
}

// contextRow is a context in the list.
type contextRow struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	// Cluster is the name in EKS, or of the entry where it is none of EKS.
	Cluster    string   `json:"cluster"`
	ClusterARN string   `json:"clusterArn,omitempty"`
	Account    string   `json:"account,omitempty"`
	Region     string   `json:"region,omitempty"`
	Who        string   `json:"authenticatesAs"`
	Program    string   `json:"program,omitempty"`
	Profile    string   `json:"profile,omitempty"`
	Roles      []string `json:"roles,omitempty"`
	Namespace  string   `json:"namespace,omitempty"`
	Kubeconfig string   `json:"kubeconfig"`
	MadeByUs   bool     `json:"madeByEkskey"`
	State      string   `json:"state,omitempty"` // empty where nobody was asked
	Reason     string   `json:"reason,omitempty"`
}

func (a *app) runKubeconfigList(ctx context.Context, o listContextsOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	merged, err := kubeconfig.ReadMerged(ctx, a.kubeconfigs(o.files))
	if err != nil {
		return err
	}
	contexts := merged.Contexts()
	states := make([]contextState, len(contexts))
	for i, c := range contexts {
		states[i] = a.offlineState(c)
	}
	if !o.offline {
		if err := a.askStates(ctx, contexts, states, o.files); err != nil {
			return err
		}
	}
	rows := make([]contextRow, len(contexts))
	for i, c := range contexts {
		rows[i] = newContextRow(c, states[i])
	}
	if name, file := merged.Current(); name != "" && !hasContext(contexts, name) {
		a.warn("%s: the current context %q does not exist", file, name)
	}
	return a.write(&a.out, format, rows, func(w io.Writer) { a.contextTable(w, rows, o.offline) })
}

func hasContext(contexts []kubeconfig.MergedContext, name string) bool {
	for _, c := range contexts {
		if c.Name == name {
			return true
		}
	}
	return false
}

func newContextRow(c kubeconfig.MergedContext, s contextState) contextRow {
	row := contextRow{
		Name: c.Name, Current: c.Current, Cluster: c.Cluster, Who: s.who, Namespace: c.Namespace,
		Kubeconfig: c.File, MadeByUs: c.MadeFor != "", State: string(s.state), Reason: s.reason,
	}
	if c.IsEKS {
		t := c.EKS
		row.Cluster, row.ClusterARN, row.Account, row.Region = clusterNameOf(t), t.ARN, t.Account, t.Region
		row.Program, row.Profile = t.Program, t.Profile
		for _, h := range t.Roles {
			row.Roles = append(row.Roles, h.ARN)
		}
	}
	return row
}

func (a *app) contextTable(w io.Writer, rows []contextRow, offline bool) {
	if len(rows) == 0 {
		_, _ = io.WriteString(w, "there is no context\n")
		return
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		current := ""
		if r.Current {
			current = "*"
		}
		cells[i] = []string{current, r.Name, dash(r.Cluster), dash(r.Account), dash(r.Region), dash(r.Who)}
		if !offline {
			cells[i] = append(cells[i], dash(r.State))
		}
		cells[i] = append(cells[i], r.Reason)
	}
	header := []string{"", "CONTEXT", "CLUSTER", "ACCOUNT", "REGION", "AUTHENTICATES AS"}
	if !offline {
		header = append(header, "STATE")
	}
	a.table(w, append(header, "WHY"), cells)
}

// whoOf says whom a context authenticates as, as far as its own words tell. What a
// user entry holds itself goes before its plugin (k8s.io/client-go/plugin/pkg/client/auth/exec).
func (a *app) whoOf(c kubeconfig.MergedContext) string {
	if !c.HasUser {
		return ""
	}
	who := ""
	own, as := c.UserEntry.Kinds()
	switch {
	case len(own) > 0:
		who = "its own " + strings.Join(own, ", ")
	case c.IsEKS && len(c.EKS.Roles) > 0:
		who = c.EKS.Roles[len(c.EKS.Roles)-1].ARN
	case c.IsEKS:
		who = "the environment's credentials"
		if profile := a.profileOf(c); profile != "" {
			who = "profile " + profile
		}
	case c.UserEntry.Exec != nil:
		who = "plugin " + programName(c.UserEntry.Exec.Command)
	}
	if as && who != "" {
		who += ", acting as another"
	}
	return who
}

// programName is the last part of a path of any system.
func programName(command string) string {
	return command[strings.LastIndexAny(command, `/\`)+1:]
}
