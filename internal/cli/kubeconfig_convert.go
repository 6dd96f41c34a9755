package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// What users are converted to.
const (
	convertToOurs = "ekskey"
	convertToAWS  = "aws"
)

// convertOptions are the flags of `ekskey kubeconfig convert`.
type convertOptions struct {
	to       string
	contexts []string
	files    kubeconfigFlags
	dryRun   bool
}

func newKubeconfigConvertCommand(a *app, run func(context.Context, convertOptions) error) *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Convert users of other token programs to ekskey, or back",
		Long: `Change users that run "aws eks get-token", aws-iam-authenticator or
heptio-authenticator-aws so that they run ekskey as the same AWS principal. Nothing
else in the files changes. The command works offline.

A user for whom the principal is not certain is not changed, and the reason is shown.
With --to aws, users that run ekskey run the AWS CLI again, or aws-iam-authenticator if
they name their cluster by --cluster-id.`,
		Example: `  ekskey kubeconfig convert --dry-run
  ekskey kubeconfig convert
  ekskey kubeconfig convert --context prod --context staging
  ekskey kubeconfig convert --to aws`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", convertToOurs, "`program` that users should run: ekskey or aws")
	f.StringArrayVar(&o.contexts, "context", nil, "`name` of a context whose user is converted; repeatable (default all users)")
	o.files.bind(f, "`file` to convert; else all of KUBECONFIG, else ~/.kube/config", true)
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change, and write nothing")
	complete(cmd, "to", func() []string { return []string{convertToOurs, convertToAWS} })
	complete(cmd, "context", func() []string { return a.contextNames(o.files) })
	return cmd
}

// convertReport is what became of the users.
type convertReport struct {
	DryRun bool               `json:"dryRun"`
	Users  []convertedUserRow `json:"users"`
}

type convertedUserRow struct {
	Kubeconfig string   `json:"kubeconfig"`
	Line       int      `json:"line"`
	User       string   `json:"user"`
	Contexts   []string `json:"contexts"`
	From       string   `json:"from,omitempty"`
	To         string   `json:"to,omitempty"`
	State      string   `json:"state"`
	Reason     string   `json:"reason,omitempty"`
}

func (a *app) runKubeconfigConvert(ctx context.Context, o convertOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	if o.to != convertToOurs && o.to != convertToAWS {
		return &usageError{reason: fmt.Sprintf("--to %q is neither ekskey nor aws", o.to)}
	}
	command, err := a.ownPath()
	if err != nil {
		return err
	}
	conversion := kubeconfig.Conversion{ToAWS: o.to == convertToAWS, Command: command, Contexts: o.contexts}
	var users []kubeconfig.ConvertedUser
	if o.dryRun {
		users, err = kubeconfig.PlanConversion(ctx, a.kubeconfigs(o.files), conversion)
	} else {
		users, err = kubeconfig.Convert(ctx, a.kubeconfigs(o.files), conversion)
	}
	if err != nil {
		return hintOnMissing(err)
	}
	report := convertReport{DryRun: o.dryRun, Users: make([]convertedUserRow, len(users))}
	for i, u := range users {
		report.Users[i] = convertedUserRow{
			Kubeconfig: u.File, Line: u.Line, User: u.Name, Contexts: append([]string{}, u.Contexts...),
			From: u.From, To: u.To, State: string(u.State), Reason: u.Reason,
		}
	}
	return a.write(&a.out, format, report, func(w io.Writer) { a.convertTable(w, report) })
}

func (a *app) convertTable(w io.Writer, report convertReport) {
	if report.DryRun {
		_, _ = io.WriteString(w, "dry run: nothing was written\n")
	}
	rows := make([][]string, len(report.Users))
	for i, u := range report.Users {
		what := u.Reason
		if u.To != "" {
			what = u.From + " became " + u.To
		}
		rows[i] = []string{fmt.Sprintf("%s:%d", u.Kubeconfig, u.Line), u.User, dash(strings.Join(u.Contexts, ", ")), u.State, what}
	}
	a.table(w, []string{"KUBECONFIG", "USER", "CONTEXTS", "STATE", "WHY"}, rows)
}

// contextNames are those of all kubeconfigs that can be read, for completion. What
// steers a terminal is left out.
func (a *app) contextNames(k kubeconfigFlags) []string {
	quiet := a.kubeconfigs(k)
	quiet.Warn = nil
	return slices.DeleteFunc(quiet.ContextNames(), func(name string) bool { return printable(name) != name })
}
