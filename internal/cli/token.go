package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/execcred"
	"github.com/ekskey/ekskey/token"
)

// tokenOptions are the flags of `ekskey token`.
type tokenOptions struct {
	cluster        string
	execAPIVersion string
	tokenOnly      bool
	// authenticatorConfig is the file in which aws-iam-authenticator looks for what
	// its command line leaves out.
	authenticatorConfig string
}

func newTokenCommand(a *app, run func(context.Context, tokenOptions) error) *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "token --cluster NAME",
		Short: "Mint a token (the exec plugin of kubectl)",
		Long: `Mint a token for a cluster and print it as an ExecCredential document, for kubectl and
other clients that run exec plugins. Minting is offline unless credentials must be
fetched or a role must be assumed.

The version of the document is that of KUBERNETES_EXEC_INFO, else --exec-api-version,
else v1beta1. The cluster is that of the flag, else of KUBERNETES_EXEC_INFO (from
clients with provideClusterInfo), else of KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID.`,
		Example: `  ekskey token --cluster prod
  ekskey token --cluster prod --output token
  ekskey token --cluster prod --role-arn arn:aws:iam::111122223333:role/admin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fillIn(&o, cmd.Flags()); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "`name` of the cluster (for a local cluster on Outposts, its ID)")
	f.StringVarP(&o.cluster, "cluster-id", "i", "", "the same as --cluster")
	f.StringVar(&o.cluster, "cluster-name", "", "the same as --cluster")
	f.StringVar(&o.execAPIVersion, "exec-api-version", "", "`version` of the document if the client does not request one: v1 or v1beta1")
	f.BoolVar(&o.tokenOnly, "token-only", false, "the same as --output token")
	// The global ones again, with the letters that aws-iam-authenticator has.
	f.VarP(a.global.roles.maybe(roleARN), "role", "r", "the same as --role-arn")
	f.VarP(a.global.roles.maybe(roleExternalID), "external-id", "e", "external `ID` for the preceding role")
	f.VarP(a.global.roles.maybe(roleSessionName), "session-name", "s", "session `name` for the preceding role")
	f.BoolVar(&a.global.awsOrder, "aws-cli-order", false, "use the AWS CLI's order of credential sources: a role of the profile before a web identity of the environment")
	addAuthenticatorFlags(f, &o)
	a.completeCluster(cmd)
	complete(cmd, "exec-api-version", func() []string { return []string{"v1", "v1beta1"} })
	return cmd
}

func (a *app) runToken(ctx context.Context, o tokenOptions) error {
	format, err := a.format(formatJSON, formatToken)
	if err != nil {
		return err
	}
	if o.tokenOnly {
		format = formatToken
	}
	version, err := a.execVersion(o.execAPIVersion)
	if err != nil {
		return err
	}
	if err := needCluster(o.cluster); err != nil {
		return err
	}
	tok, err := a.tokenFor(ctx, o.cluster)
	if err != nil {
		return err
	}
	if format == formatToken {
		a.out.WriteString(tok.Value() + "\n")
		return nil
	}
	doc, err := execcred.Marshal(version, tok.Value(), tok.Expiry)
	if err != nil {
		return err
	}
	a.out.Write(doc)
	return nil
}

// tokenFor mints a token for a cluster: with cached credentials, where there are
// some, and then nothing of AWS's configuration is loaded.
func (a *app) tokenFor(ctx context.Context, cluster string) (token.Token, error) {
	config, err := a.awsConfig()
	if err != nil {
		return token.Token{}, err
	}
	if config.Static() {
		config.Store = nil
	}
	if signer, ok := awsconf.Cached(&config); ok {
		return a.mint(ctx, signer, cluster)
	}
	ctx = stoppable(ctx)
	session, err := a.loadConfig(ctx, config)
	if err != nil {
		return token.Token{}, err
	}
	return a.mint(ctx, session.Signer(), cluster)
}

// mint makes one token, always for AWS's own host.
func (a *app) mint(ctx context.Context, signer awsconf.Signer, cluster string) (token.Token, error) {
	source, err := a.source(signer, cluster)
	if err != nil {
		return token.Token{}, err
	}
	tok, err := source.Token(ctx)
	if err == nil {
		a.log.Debug("token minted", "cluster", cluster, "host", source.Endpoint().Host, "key", tok.AccessKeyID, "expires", tok.Expiry)
	}
	return tok, err
}

// source mints tokens. It fails where none can ever be minted, and asks for no
// credentials.
func (a *app) source(signer awsconf.Signer, cluster string) (*token.Source, error) {
	if signer.Region == "" && signer.Variant.FIPS {
		// The global host, which stands in for no region, is no FIPS host.
		return nil, &awserr.NoRegionError{}
	}
	return token.New(token.Config{
		Cluster: cluster, Region: signer.Region, Variant: signer.Variant,
		Credentials: signer.Credentials, Now: a.env.Now,
	})
}

func needCluster(name string) error {
	if name == "" {
		return &usageError{reason: "cluster name is required", hint: "name it with --cluster"}
	}
	return token.ValidCluster(name)
}
