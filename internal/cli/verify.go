package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// verifyOptions are the flags and arguments of `ekskey verify`.
type verifyOptions struct {
	cluster string
	args    []string
}

func newVerifyCommand(a *app, run func(context.Context, verifyOptions) error) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify --cluster NAME [TOKEN|-]",
		Short: "Verify a token with AWS STS, as a cluster does",
		Long: `Check a token against the rules, send it to AWS STS with the cluster's name, as a
cluster's webhook does, and show the identity that signed it. The command needs no AWS
credentials.

An STS endpoint override (--endpoint-url, AWS_ENDPOINT_URL_STS) is dialed instead of
the token's host; the certificate must still be for the token's host.`,
		Example: `  ekskey token --cluster prod | ekskey verify --cluster prod
  ekskey verify --cluster prod --output json - <token.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.args = args
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "`name` of the cluster that the token is for")
	a.completeCluster(cmd)
	return cmd
}

// verifyReport is who signed a token.
type verifyReport struct {
	Cluster      string `json:"cluster"`
	ARN          string `json:"arn"`
	CanonicalARN string `json:"canonicalARN"`
	Account      string `json:"account"`
	PrincipalID  string `json:"principalID"`
	SessionName  string `json:"sessionName,omitempty"`
	AccessKeyID  string `json:"accessKeyID"`
}

func (a *app) runVerify(ctx context.Context, o verifyOptions) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	if err := needCluster(o.cluster); err != nil {
		return err
	}
	raw, err := a.readToken(ctx, o.args)
	if err != nil {
		return err
	}
	session, err := a.load(ctx)
	var creds *awserr.CredentialsError
	if errors.As(err, &creds) && a.global.profile == "" {
		// No credentials are needed, so a profile that the environment names, and
		// that cannot be had, is no obstacle.
		session, err = awsconf.Load(ctx, awsconf.Config{
			Region: a.global.region, EndpointURL: a.global.endpointURL, CABundle: a.global.caBundle,
			Log: a.log, Getenv: a.env.Getenv, NoFiles: true,
		})
	}
	if err != nil {
		return err
	}
	config, err := a.verifyConfig(session, o.cluster, regionOf(raw))
	if err != nil {
		return err
	}
	verifier, err := verify.New(config)
	if err != nil {
		return err
	}
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		a.dropRefused(err, raw)
		return err
	}
	report := verifyReport{
		Cluster: o.cluster, ARN: id.ARN, CanonicalARN: id.CanonicalARN, Account: id.AccountID,
		PrincipalID: id.PrincipalID, SessionName: id.SessionName, AccessKeyID: id.AccessKeyID,
	}
	return a.write(&a.out, format, report, func(w io.Writer) {
		a.fields(w, [][2]string{
			{"cluster", report.Cluster}, {"aws identity", report.ARN}, {"canonical arn", report.CanonicalARN},
			{"account", report.Account}, {"principal id", report.PrincipalID},
			{"session name", report.SessionName}, {"access key", report.AccessKeyID},
		}...)
	})
}

// dropRefused removes the credentials that signed a token from the cache, if STS says
// that they are no longer valid.
func (a *app) dropRefused(err error, raw string) {
	var denied *verify.DeniedError
	if !errors.As(err, &denied) || denied.Code != "ExpiredToken" && denied.Code != "InvalidClientTokenId" {
		return
	}
	if parsed, err := token.Parse(raw); err == nil {
		if store, err := a.standing(); err == nil {
			store.DropAccessKey(parsed.AccessKeyID)
		}
	}
}

// regionOf is the region that a token says it is signed for, if that is one.
func regionOf(raw string) string {
	parsed, _ := token.Policy{}.Inspect(raw)
	if parsed == nil {
		return ""
	}
	if _, err := identity.PartitionOfRegion(parsed.Region); err != nil {
		return ""
	}
	return parsed.Region
}

// verifyConfig lets a person look at any token of any partition and region,
// account roots included: whether it opens a door is the cluster's affair.
func (a *app) verifyConfig(session *awsconf.Session, cluster, region string) (verify.Config, error) {
	c := verify.Config{
		Cluster: cluster, AllowRoot: true,
		Policy: token.Policy{Now: a.env.Now},
	}
	if region != "" {
		c.Policy.Regions = []string{region}
	}
	var err error
	if c.RootCAs, err = session.RootCAs(); err != nil {
		return verify.Config{}, err
	}
	override, ok := session.STSOverride()
	if !ok {
		c.Proxy = http.ProxyFromEnvironment
		return c, nil
	}
	if override.Scheme != "https" {
		return verify.Config{}, &awserr.ConfigError{Setting: "endpoint URL", Reason: "a token is sent over https only"}
	}
	c.DialAddress = hostPort(override)
	// The AWS CLI signs its tokens for the override itself.
	extra := identity.STSEndpoint{Host: override.Host, Region: region}
	if p, err := identity.PartitionOfRegion(region); err == nil {
		extra.Partition = p.ID
	}
	c.Policy.ExtraHosts = []identity.STSEndpoint{extra}
	return c, nil
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "443")
}
