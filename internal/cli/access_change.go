package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/access"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/rbac"
)

// changeOptions are the flags that all changes have.
type changeOptions struct {
	cluster             string
	yes, dryRun         bool
	allowLockout, noIAM bool
}

func (o *changeOptions) bind(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	a.clusterFlag(cmd, &o.cluster)
	f.BoolVarP(&o.yes, "yes", "y", false, "make the change without confirmation")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the plan, and change nothing")
	f.BoolVar(&o.allowLockout, "allow-lockout", false, "make the change even if it may lock somebody out")
	f.BoolVar(&o.noIAM, "no-iam", false, "do not ask IAM about the principals")
}

// changeReport is what a change prints.
type changeReport struct {
	Cluster string          `json:"cluster"`
	Steps   []access.Step   `json:"steps"`
	Notes   []string        `json:"notes"`
	Dangers []access.Danger `json:"dangers"`
	// Done is how many steps have been carried out.
	Done int `json:"done"`
}

// change plans a change, shows it, asks, and carries it out.
//
// about is the principal that the change is about, whom IAM is asked about too.
func (a *app) change(ctx context.Context, o changeOptions, about string, plan func(*access.Cluster) (access.Plan, error)) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	mayAsk := isTerminal(a.env.Stdin) && isTerminal(a.env.Stderr)
	if !o.yes && !o.dryRun && !mayAsk {
		return &usageError{reason: "there is no terminal to ask on", hint: "add --yes to make the change, or --dry-run to see the plan"}
	}
	target, err := a.openAccess(ctx, o.cluster)
	if err != nil {
		return err
	}
	c, err := target.read(ctx, a, !o.noIAM)
	if err != nil {
		return err
	}
	// A plan that does not know all that is there could lock somebody out.
	if err := errors.Join(c.EntriesErr, c.AWSAuthErr); err != nil && !o.allowLockout {
		return &codeError{exitRefused, "nothing was changed: not all ways in are known, so it cannot be told whom the change locks out", "--allow-lockout makes it all the same"}
	}
	if !o.noIAM {
		target.lookUp(ctx, a, c, about)
	}
	p, err := plan(c)
	if err != nil {
		return accessUsage(err)
	}
	policy, err := target.rbac(ctx)
	if err != nil {
		a.warn("roles and bindings cannot be read, so only %s and AmazonEKSClusterAdminPolicy count as administrators: %v", "system:masters", err)
		policy = nil
	}
	dangers, err := a.dangers(ctx, target, c, p, policy)
	if err != nil {
		return err
	}
	report := changeReport{Cluster: c.Name, Steps: p.Steps, Notes: p.Notes, Dangers: dangers}
	if len(dangers) > 0 && !o.allowLockout && !o.dryRun {
		a.showPlan(a.env.Stderr, report)
		return &codeError{exitRefused, "nothing was changed: " + dangers[0].Text, "--allow-lockout makes the change all the same"}
	}
	if len(p.Steps) > 0 && !o.dryRun {
		if !o.yes {
			a.showPlan(a.env.Stderr, report)
			if err := a.confirm("make this change"); err != nil {
				return err
			}
		}
		t := &access.Target{EKS: target.session.EKS(target.region), Kube: target.kube}
		err := p.Apply(ctx, t, func(s access.Step) {
			report.Done++
			a.log.Info("done", "step", s.Text)
		})
		var failed *access.StepError
		if errors.As(err, &failed) {
			return a.stepError(target, failed, report.Done)
		}
		if err != nil {
			return err
		}
	}
	return a.write(&a.out, format, report, func(w io.Writer) {
		switch {
		case len(p.Steps) == 0:
			_, _ = fmt.Fprintln(w, "nothing to change")
		case o.dryRun:
			a.showPlan(w, report)
		default:
			for _, s := range p.Steps {
				_, _ = fmt.Fprintln(w, "done: "+printable(s.Text))
			}
		}
	})
}

// dangers asks who the caller is, and what the change would take away.
func (a *app) dangers(ctx context.Context, target *accessTarget, c *access.Cluster, p access.Plan, policy *rbac.Policy) ([]access.Danger, error) {
	if len(p.Steps) == 0 {
		return []access.Danger{}, nil
	}
	out, err := target.session.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err := target.session.Explain(err); err != nil {
		return nil, err
	}
	dangers, err := c.Guard(c.After(p), canonical(aws.ToString(out.Arn)), policy)
	if dangers == nil {
		dangers = []access.Danger{}
	}
	return dangers, err
}

func (a *app) stepError(t *accessTarget, failed *access.StepError, done int) error {
	reason := t.session.Explain(failed.Err)
	var api *awserr.APIError
	hint := "run the command again to do what is left"
	switch {
	case errors.As(reason, &api) && api.Unauthorized():
		hint = "the caller needs " + strings.TrimPrefix(failed.Step.Call, "patch ") + " on the cluster"
	case done == 0:
		hint = "nothing was changed"
	}
	return &hintError{fmt.Errorf("%s: %w", failed.Step.Text, reason), hint}
}

func (a *app) showPlan(w io.Writer, r changeReport) {
	_, _ = fmt.Fprintln(w, "plan for cluster "+r.Cluster+":")
	for i, s := range r.Steps {
		_, _ = fmt.Fprintf(w, "  %d. %s (%s)\n", i+1, printable(s.Text), s.Call)
	}
	for _, n := range r.Notes {
		_, _ = fmt.Fprintln(w, "note: "+printable(n))
	}
	for _, d := range r.Dangers {
		_, _ = fmt.Fprintln(w, "danger: "+printable(d.Text))
	}
}

// confirm asks on the terminal. Anything but yes is no.
func (a *app) confirm(what string) error {
	_, _ = fmt.Fprint(a.env.Stderr, what+"? [y/N] ")
	line, _ := bufio.NewReader(a.env.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return &codeError{exitFailed, "nothing was changed", ""}
}

// accessUsage makes what cannot be planned as it was asked for wrong usage.
func accessUsage(err error) error {
	var request *access.RequestError
	if errors.As(err, &request) {
		return &usageError{reason: request.Reason, hint: request.Hint}
	}
	return err
}

func newAccessGrantCommand(a *app, run func(context.Context, changeOptions, access.GrantRequest) error) *cobra.Command {
	var o changeOptions
	var g access.GrantRequest
	var to string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "grant --cluster NAME --principal ARN",
		Short: "Give a role or user access to a cluster",
		Long: `Give an IAM role or user access to a cluster: by an access entry where the cluster's
authentication mode has them, else by aws-auth. What the principal has already stays.

The plan is shown first, with a question unless --yes is set. A change that may lock
somebody out is refused unless --allow-lockout is set: for example an access entry
for a principal whom aws-auth makes an administrator, because then aws-auth does not
count for it any more.`,
		Example: `  ekskey access grant --cluster prod --principal arn:aws:iam::111122223333:role/dev --policy AmazonEKSEditPolicy --namespace web
  ekskey access grant --cluster prod --principal arn:aws:iam::111122223333:user/alice --policy AmazonEKSClusterAdminPolicy --yes
  ekskey access grant --cluster old --principal arn:aws:iam::111122223333:role/dev --groups developers --to aws-auth`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyElement(cmd, "policy", "namespace", "groups"); err != nil {
				return err
			}
			g.To = access.Source(to)
			if cmd.Flags().Changed("for") {
				if lasts < time.Minute {
					return &usageError{reason: "--for must be at least 1m"}
				}
				g.Until = a.env.Now().Add(lasts).Truncate(time.Second)
			}
			return run(cmd.Context(), o, g)
		},
	}
	f := cmd.Flags()
	o.bind(a, cmd)
	f.StringVar(&g.Principal, "principal", "", "`ARN` of a role or user, or an account's ID (in aws-auth)")
	f.StringSliceVar(&g.Policies, "policy", nil, "access `policies`, by name or ARN")
	f.StringSliceVar(&g.Namespaces, "namespace", nil, "`namespaces` to which the policies are limited; * stands for any characters")
	f.StringSliceVar(&g.Groups, "groups", nil, "Kubernetes `groups`")
	f.StringVar(&g.Username, "username", "", "Kubernetes `user` (default: the one that EKS gives)")
	f.DurationVar(&lasts, "for", 0, "`duration` after which ekskey access expire ends it, as in 8h")
	f.StringVar(&to, "to", "", "`where`: access-entry or aws-auth")
	complete(cmd, "to", func() []string { return []string{string(access.SourceEntry), string(access.SourceAWSAuth)} })
	complete(cmd, "policy", access.PolicyNames)
	return cmd
}

func (a *app) runAccessGrant(ctx context.Context, o changeOptions, g access.GrantRequest) error {
	switch {
	case g.Principal == "":
		return &usageError{reason: "--principal is required"}
	case g.To != "" && g.To != access.SourceEntry && g.To != access.SourceAWSAuth:
		return &usageError{reason: fmt.Sprintf("--to %q is not one of access-entry, aws-auth", g.To)}
	}
	return a.change(ctx, o, g.Principal, func(c *access.Cluster) (access.Plan, error) { return c.Grant(g) })
}

func newAccessExpireCommand(a *app, run func(context.Context, changeOptions) error) *cobra.Command {
	var o changeOptions
	cmd := &cobra.Command{
		Use:   "expire --cluster NAME",
		Short: "End the access that was granted for a time which is over",
		Long: `Delete the access entries whose tag ekskey.io/expires-at, written by grant --for, is in
the past. Run it regularly, for example in a CronJob: EKS itself ends nothing.`,
		Example: `  ekskey access expire --cluster prod --dry-run
  ekskey access expire --cluster prod --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.bind(a, cmd)
	return cmd
}

func (a *app) runAccessExpire(ctx context.Context, o changeOptions) error {
	return a.change(ctx, o, "", func(c *access.Cluster) (access.Plan, error) { return c.Expire(a.env.Now()), nil })
}

func newAccessRevokeCommand(a *app, run func(context.Context, changeOptions, access.RevokeRequest) error) *cobra.Command {
	var o changeOptions
	var r access.RevokeRequest
	cmd := &cobra.Command{
		Use:   "revoke --cluster NAME --principal ARN",
		Short: "Take a principal's access to a cluster away",
		Long: `Take a principal's access to a cluster away: its entries in aws-auth and its access
entry, or with --policy and --groups only these of its access entry.

A change that takes away your own way in, that of the last administrator or that of
nodes is refused unless --allow-lockout is set.`,
		Example: `  ekskey access revoke --cluster prod --principal arn:aws:iam::111122223333:role/dev
  ekskey access revoke --cluster prod --principal arn:aws:iam::111122223333:role/dev --policy AmazonEKSEditPolicy --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyElement(cmd, "policy", "groups"); err != nil {
				return err
			}
			return run(cmd.Context(), o, r)
		},
	}
	f := cmd.Flags()
	o.bind(a, cmd)
	f.StringVar(&r.Principal, "principal", "", "`ARN` of a role or user, or an account's ID")
	f.StringSliceVar(&r.Policies, "policy", nil, "only these access `policies`, by name or ARN")
	f.StringSliceVar(&r.Groups, "groups", nil, "only these Kubernetes `groups`")
	complete(cmd, "policy", access.PolicyNames)
	return cmd
}

func (a *app) runAccessRevoke(ctx context.Context, o changeOptions, r access.RevokeRequest) error {
	if r.Principal == "" {
		return &usageError{reason: "--principal is required"}
	}
	return a.change(ctx, o, r.Principal, func(c *access.Cluster) (access.Plan, error) { return c.Revoke(r) })
}
