package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/kubeapi"
)

func newWhoamiCommand(a *app, run func(ctx context.Context, cluster string) error) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "whoami [--cluster NAME]",
		Short: "Show your AWS identity and, with --cluster, your Kubernetes identity",
		Long: `Show the identity of the AWS credentials, as STS reports it, and their source. With a
cluster, mint a token and show the Kubernetes identity that its API server reports.`,
		Example: `  ekskey whoami
  ekskey whoami --cluster prod
  ekskey whoami --cluster prod --role-arn arn:aws:iam::111122223333:role/admin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), cluster) },
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "`name` of a cluster whose Kubernetes identity to show")
	a.completeCluster(cmd)
	return cmd
}

// whoamiReport is who the caller is.
type whoamiReport struct {
	ARN string `json:"arn"`
	// CanonicalARN is what aws-auth and access entries name: for a session, its role.
	CanonicalARN string            `json:"canonicalArn"`
	Account      string            `json:"account"`
	UserID       string            `json:"userID"`
	Source       string            `json:"credentials"`
	Region       string            `json:"region,omitempty"`
	Kubernetes   *kubernetesReport `json:"kubernetes,omitempty"`
}

type kubernetesReport struct {
	Cluster string `json:"cluster"`
	kubeapi.UserInfo
}

func (a *app) runWhoami(ctx context.Context, cluster string) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	if cluster != "" {
		if err := needCluster(cluster); err != nil {
			return err
		}
	}
	session, err := a.load(ctx)
	if err != nil {
		return err
	}
	if cluster != "" {
		if _, err := session.NeedRegion(); err != nil {
			return err
		}
	}
	out, err := session.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if session.DropRefused(err) {
		a.log.Debug("AWS refused the cached credentials: getting new ones")
		out, err = session.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	}
	if err := session.Explain(err); err != nil {
		return err
	}
	if aws.ToString(out.Arn) == "" {
		return errors.New("calling STS GetCallerIdentity: the answer names nobody")
	}
	report := whoamiReport{
		ARN: aws.ToString(out.Arn), CanonicalARN: canonical(aws.ToString(out.Arn)), Account: aws.ToString(out.Account), UserID: aws.ToString(out.UserId),
		Source: session.Source(), Region: session.Region(),
	}
	if cluster != "" {
		if report.Kubernetes, err = a.askCluster(ctx, session, cluster); err != nil {
			return err
		}
	}
	return a.write(&a.out, format, report, func(w io.Writer) { a.whoamiTable(w, report) })
}

// canonical is the ARN that mappings name: for a session, its role.
func canonical(arn string) string {
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		return arn
	}
	return p.Canonical().String()
}

// askCluster returns the caller's Kubernetes identity, as a cluster's API server reports it.
func (a *app) askCluster(ctx context.Context, session *awsconf.Session, name string) (*kubernetesReport, error) {
	cluster, err := a.describe(ctx, session, name)
	if err != nil {
		return nil, err
	}
	client, err := a.kubeClient(ctx, session, cluster)
	if err != nil {
		return nil, err
	}
	info, err := client.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	return &kubernetesReport{Cluster: name, UserInfo: info}, nil
}

func (a *app) whoamiTable(w io.Writer, r whoamiReport) {
	pairs := [][2]string{
		{"aws identity", r.ARN}, {"canonical arn", r.CanonicalARN}, {"account", r.Account}, {"user id", r.UserID},
		{"credentials", r.Source}, {"region", r.Region},
	}
	if k := r.Kubernetes; k != nil {
		pairs = append(pairs, [2]string{"cluster", k.Cluster}, [2]string{"kubernetes user", k.Username},
			[2]string{"uid", k.UID}, [2]string{"groups", strings.Join(k.Groups, ", ")})
		keys := make([]string, 0, len(k.Extra))
		for key := range k.Extra {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			pairs = append(pairs, [2]string{"extra " + printable(key), strings.Join(k.Extra[key], ", ")})
		}
	}
	a.fields(w, pairs...)
}
