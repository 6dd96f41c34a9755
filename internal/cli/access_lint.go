package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/access"
	"github.com/ekskey/ekskey/internal/rbac"
)

// accessLintOptions are the flags of `ekskey access lint`.
type accessLintOptions struct {
	cluster string
	noIAM   bool
}

func newAccessLintCommand(a *app, run func(context.Context, accessLintOptions) error) *cobra.Command {
	var o accessLintOptions
	cmd := &cobra.Command{
		Use:   "lint --cluster NAME",
		Short: "Find mistakes in who has access to a cluster",
		Long: `Find mistakes in who has access to a cluster: entries of aws-auth that EKS drops or
never matches, principals that no longer exist, groups that no binding names, access
entries that give nothing, groups that bypass authorization. Nothing is changed.

The exit code is 1 if a finding is an error.`,
		Example: `  ekskey access lint --cluster prod
  ekskey access lint --cluster prod --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	a.clusterFlag(cmd, &o.cluster)
	cmd.Flags().BoolVar(&o.noIAM, "no-iam", false, "do not ask IAM about the principals")
	return cmd
}

// lintReport is what lint prints.
type lintReport struct {
	Cluster  string           `json:"cluster"`
	ARN      string           `json:"arn"`
	Findings []access.Finding `json:"findings"`
}

func (a *app) runAccessLint(ctx context.Context, o accessLintOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	target, err := a.openAccess(ctx, o.cluster)
	if err != nil {
		return err
	}
	c, err := target.read(ctx, a, !o.noIAM)
	if err != nil {
		return err
	}
	policy, err := target.rbac(ctx)
	if err != nil {
		a.warn("roles and bindings cannot be read, so unbound groups are not found: %v", err)
	}
	findings, err := c.Lint(policy)
	if err != nil {
		return err
	}
	access.SortFindings(findings)
	if findings == nil {
		findings = []access.Finding{}
	}
	errs := 0
	for _, f := range findings {
		if f.Level == access.LevelError {
			errs++
		}
	}
	err = a.write(&a.out, format, lintReport{Cluster: c.Name, ARN: c.ARN, Findings: findings}, func(w io.Writer) {
		for _, f := range findings {
			about := strings.Join(strings.Fields(string(f.Source)+" "+f.Where+" "+f.Principal), " ")
			_, _ = fmt.Fprintf(w, "%s %s: %s: %s\n", f.Level, f.Code, printable(about), printable(f.Message))
			if f.Fix != "" {
				_, _ = fmt.Fprintf(w, "  fix: %s\n", printable(f.Fix))
			}
		}
		if len(findings) == 0 {
			_, _ = fmt.Fprintln(w, "no findings")
		}
	})
	if err == nil && errs > 0 {
		return &resultError{exitFailed, fmt.Sprintf("errors found: %d", errs)}
	}
	return err
}

// rbac reads roles and bindings.
func (t *accessTarget) rbac(ctx context.Context) (*rbac.Policy, error) {
	kube, err := t.kube(ctx)
	if err != nil {
		return nil, err
	}
	return kube.RBAC(ctx)
}
