package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/access"
)

const formatCSV = "csv"

// accessListOptions are the flags of `ekskey access list`.
type accessListOptions struct {
	cluster   string
	sources   []string
	principal string
	inEffect  bool
	noIAM     bool
}

func newAccessListCommand(a *app, run func(context.Context, accessListOptions) error) *cobra.Command {
	var o accessListOptions
	cmd := &cobra.Command{
		Use:   "list --cluster NAME",
		Short: "List every way into a cluster",
		Long: `List every way into a cluster: access entries, aws-auth, and the cluster's creator
where the authentication mode implies one, with the Kubernetes user, groups and
access policies that each gives.

A principal that has both an access entry and an entry in aws-auth has the access
entry alone: IN EFFECT says which one counts. IAM is asked when each role and user
was created, because a role that was deleted and created again is another one to
its access entry; --no-iam leaves that out.`,
		Example: `  ekskey access list --cluster prod
  ekskey access list --cluster prod --in-effect --principal AWSReservedSSO
  ekskey access list --cluster prod --output csv >access.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	a.clusterFlag(cmd, &o.cluster)
	f.StringSliceVar(&o.sources, "source", nil, "only these `sources`: access-entry, aws-auth, creator")
	f.StringVar(&o.principal, "principal", "", "only principals whose ARN has this `text` in it")
	f.BoolVar(&o.inEffect, "in-effect", false, "only ways in that count")
	f.BoolVar(&o.noIAM, "no-iam", false, "do not ask IAM about the principals")
	complete(cmd, "source", func() []string {
		return []string{string(access.SourceEntry), string(access.SourceAWSAuth), string(access.SourceCreator)}
	})
	return cmd
}

// accessList is what list prints.
type accessList struct {
	Cluster            string       `json:"cluster"`
	ARN                string       `json:"arn"`
	AuthenticationMode access.Mode  `json:"authenticationMode"`
	Access             []access.Way `json:"access"`
}

func (a *app) runAccessList(ctx context.Context, o accessListOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML, formatCSV)
	if err != nil {
		return err
	}
	for _, s := range o.sources {
		if !slices.Contains([]access.Source{access.SourceEntry, access.SourceAWSAuth, access.SourceCreator}, access.Source(s)) {
			return &usageError{reason: fmt.Sprintf("--source %q is not one of access-entry, aws-auth, creator", s)}
		}
	}
	target, err := a.openAccess(ctx, o.cluster)
	if err != nil {
		return err
	}
	c, err := target.read(ctx, a, !o.noIAM)
	if err != nil {
		return err
	}
	ways, err := c.Ways()
	if err != nil {
		return err
	}
	ways = slices.DeleteFunc(ways, func(w access.Way) bool {
		return len(o.sources) > 0 && !slices.Contains(o.sources, string(w.Source)) ||
			!strings.Contains(w.Principal, o.principal) || o.inEffect && !w.InEffect
	})
	report := accessList{Cluster: c.Name, ARN: c.ARN, AuthenticationMode: c.Mode, Access: ways}
	if report.Access == nil {
		report.Access = []access.Way{}
	}
	if format == formatCSV {
		return writeAccessCSV(&a.out, report)
	}
	return a.write(&a.out, format, report, func(w io.Writer) { a.accessTable(w, report) })
}

func (a *app) accessTable(w io.Writer, r accessList) {
	a.fields(w, [2]string{"cluster", r.Cluster}, [2]string{"authentication mode", string(r.AuthenticationMode)})
	_, _ = fmt.Fprintln(w)
	var rows [][]string
	for _, way := range r.Access {
		rows = append(rows, []string{
			principalName(way), sourceName(way), yesNo(way.InEffect), way.Username, orDash(strings.Join(way.Groups, ",")), orDash(policyNames(way)), orDash(strings.Join(way.Findings, ",")),
		})
	}
	a.table(w, []string{"PRINCIPAL", "SOURCE", "IN EFFECT", "USERNAME", "GROUPS", "POLICIES", "FINDINGS"}, rows)
}

func principalName(w access.Way) string {
	if w.Source == access.SourceCreator {
		return "(whoever created the cluster)"
	}
	return w.Principal
}

func sourceName(w access.Way) string {
	if w.Type != "" && w.Type != "STANDARD" {
		return string(w.Source) + " " + w.Type
	}
	return string(w.Source)
}

// policyNames are the policies without the part of their ARNs that they have in common.
func policyNames(w access.Way) string {
	var out []string
	for _, p := range w.Policies {
		name := p.ARN[strings.LastIndex(p.ARN, "/")+1:]
		if p.Scope != "cluster" {
			name += "(" + strings.Join(p.Namespaces, ",") + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// writeAccessCSV writes one row a way in. Lists are joined with spaces, which no ARN,
// group or code has. A cell that a spreadsheet would take for a formula gets an apostrophe.
//
// Source: https://owasp.org/www-community/attacks/CSV_Injection
func writeAccessCSV(to io.Writer, r accessList) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{"cluster", "principal", "kind", "source", "type", "username", "groups", "policies", "in_effect", "created_at", "modified_at", "findings"})
	for _, way := range r.Access {
		created, modified := "", ""
		if way.CreatedAt != nil {
			created, modified = way.CreatedAt.Format(time.RFC3339), way.ModifiedAt.Format(time.RFC3339)
		}
		row := []string{
			r.ARN, way.Principal, string(way.Kind), string(way.Source), way.Type, way.Username, strings.Join(way.Groups, " "),
			strings.ReplaceAll(policyNames(way), ",", " "), yesNo(way.InEffect), created, modified, strings.Join(way.Findings, " "),
		}
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}
