package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
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
	var api *awsconf.APIError
	switch {
	case errors.As(err, &api) && api.NotFound():
		return nil, &codeError{
			code:   exitNotFound,
			reason: "there is no cluster " + name + " in " + region + " for this account",
			hint:   "see which there are: ekskey clusters list --region " + region,
		}
	case err != nil:
		return nil, err
	case out.Cluster == nil:
		return nil, errors.New("calling EKS DescribeCluster: the answer holds no cluster")
	}
	if err := checkAnswer(out.Cluster, name, region); err != nil {
		return nil, fmt.Errorf("calling EKS DescribeCluster: %w", err)
	}
	a.log.Debug("cluster described", "name", name, "region", region, "status", out.Cluster.Status)
	return out.Cluster, nil
}

// checkAnswer holds an answer against the question. An endpoint that is not AWS's
// could else name another cluster, get a token for that, or have another entry
// of the kubeconfig overwritten.
func checkAnswer(c *types.Cluster, name, region string) error {
	if got := aws.ToString(c.Name); got != name {
		return fmt.Errorf("the answer is about cluster %q, not %q", got, name)
	}
	partition, err := identity.PartitionOfRegion(region)
	if err != nil {
		return err
	}
	arn := aws.ToString(c.Arn)
	rest, ok := strings.CutPrefix(arn, "arn:"+partition.ID+":eks:"+region+":")
	account, ok2 := strings.CutSuffix(rest, ":cluster/"+name)
	if !ok || !ok2 || !isAccount(account) {
		return fmt.Errorf("the answer's ARN %q is not that of cluster %q in %s", arn, name, region)
	}
	if id := aws.ToString(c.Id); c.OutpostConfig != nil && id != "" && !isUUID(id) {
		return fmt.Errorf("the answer's id %q is not that of a local cluster", id)
	}
	return nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// isUUID compiles its pattern at need, and not at each start.
func isUUID(s string) bool {
	return regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s)
}

// needEndpoint refuses clusters that nobody can connect to.
func needEndpoint(c *types.Cluster) error {
	name := aws.ToString(c.Name)
	if c.ConnectorConfig != nil {
		return &codeError{
			code:   exitFailed,
			reason: "cluster " + name + " is only registered with EKS and has no endpoint there",
			hint:   "connect to it as its own provider says",
		}
	}
	if c.Status != types.ClusterStatusActive && c.Status != types.ClusterStatusUpdating {
		return &codeError{
			code:   exitFailed,
			reason: "cluster " + name + " is " + string(c.Status) + ", not ACTIVE or UPDATING",
			hint:   "wait for it: aws eks wait cluster-active --name " + name,
		}
	}
	if aws.ToString(c.Endpoint) == "" {
		return &codeError{code: exitFailed, reason: "cluster " + name + " has no endpoint yet", hint: "try again in a minute"}
	}
	return nil
}

// tokenName is the name that tokens for a cluster are made for: local clusters
// on Outposts go by their id.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/eks-outposts-local-cluster-create.html
func tokenName(c *types.Cluster) string {
	if c.OutpostConfig != nil && aws.ToString(c.Id) != "" {
		return *c.Id
	}
	return aws.ToString(c.Name)
}

// caOf is the cluster's certificate authority: base64 as EKS gave it, and
// decoded.
func caOf(c *types.Cluster) (given string, decoded []byte, err error) {
	if c.CertificateAuthority == nil {
		return "", nil, nil
	}
	given = aws.ToString(c.CertificateAuthority.Data)
	decoded, err = base64.StdEncoding.DecodeString(given)
	return given, decoded, err
}
