package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
)

// load reads the AWS configuration that the flags ask for.
func (a *app) load(ctx context.Context) (*awsconf.Session, error) {
	config, err := a.awsConfig()
	if err != nil {
		return nil, err
	}
	return a.loadConfig(ctx, config)
}

// loadConfig loads a configuration that credentials may be got with.
func (a *app) loadConfig(ctx context.Context, config awsconf.Config) (*awsconf.Session, error) {
	if err := a.muteHelpers(); err != nil {
		return nil, err
	}
	return awsconf.Load(ctx, config)
}

// describe asks EKS for a cluster in the session's region.
func (a *app) describe(ctx context.Context, session *awsconf.Session, name string) (*types.Cluster, error) {
	region, err := session.NeedRegion()
	if err != nil {
		return nil, err
	}
	out, err := session.EKS(region).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	err = session.Explain(err)
	var api *awserr.APIError
	switch {
	case errors.As(err, &api) && api.NotFound():
		return nil, &codeError{
			code:   exitNotFound,
			reason: "there is no cluster " + name + " in " + region + " for this account",
			hint:   "list the clusters: ekskey clusters list --region " + region,
		}
	case err != nil:
		return nil, err
	}
	if err := discovery.Check(out.Cluster, name, region, ""); err != nil {
		return nil, fmt.Errorf("calling EKS DescribeCluster: %w", err)
	}
	a.log.Debug("cluster described", "name", name, "region", region, "status", out.Cluster.Status)
	return out.Cluster, nil
}

// needEndpoint refuses clusters that nobody can connect to.
func needEndpoint(c *types.Cluster) error {
	cluster := discovery.Summary(c, nil)
	if reason, hint := cluster.Unreachable(); reason != "" {
		return &codeError{code: exitFailed, reason: "cluster " + cluster.Name + " " + reason, hint: hint}
	}
	return nil
}

// tokenName is the name that tokens for a cluster are made for.
func tokenName(c *types.Cluster) string { return discovery.TokenName(c) }

// caOf is the cluster's certificate authority: base64 as EKS gave it, and
// decoded.
func caOf(c *types.Cluster) (encoded string, decoded []byte, err error) {
	if c.CertificateAuthority == nil {
		return "", nil, nil
	}
	encoded = aws.ToString(c.CertificateAuthority.Data)
	decoded, err = base64.StdEncoding.DecodeString(encoded)
	return encoded, decoded, err
}
