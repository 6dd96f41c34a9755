package discovery

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/identity"
)

// Cluster is the part of a DescribeCluster response that is kept: responses may be
// long, and there may be thousands.
type Cluster struct {
	ARN, Name, Region, Account, Partition string
	Status                                string // such as ACTIVE
	Endpoint                              string // URL; empty if there is none (yet)
	CAData                                string // base64 of PEM, as EKS returned it
	// TokenName is the cluster name for tokens: for local clusters on Outposts, their
	// ID.
	TokenName string
	// Connector is the provider of a cluster that is only registered with EKS.
	Connector string
	// Tags are the requested tags.
	Tags map[string]string
}

// Summary returns the kept part of a response that Check has accepted, with the tags of
// these keys.
func Summary(c *types.Cluster, tags []string) Cluster {
	arn, _ := identity.ParseARN(aws.ToString(c.Arn))
	s := Cluster{
		ARN: aws.ToString(c.Arn), Name: aws.ToString(c.Name),
		Region: arn.Region, Account: arn.Account, Partition: arn.Partition,
		Status: string(c.Status), Endpoint: aws.ToString(c.Endpoint), TokenName: TokenName(c),
	}
	if c.CertificateAuthority != nil {
		s.CAData = aws.ToString(c.CertificateAuthority.Data)
	}
	if c.ConnectorConfig != nil {
		s.Connector = aws.ToString(c.ConnectorConfig.Provider)
		if s.Connector == "" {
			s.Connector = "unknown"
		}
	}
	for _, key := range tags {
		if value, ok := c.Tags[key]; ok {
			if s.Tags == nil {
				s.Tags = map[string]string{}
			}
			s.Tags[key] = value
		}
	}
	return s
}

// TokenName is the cluster name for tokens: for local clusters on Outposts, their ID.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/eks-outposts-local-cluster-create.html
func TokenName(c *types.Cluster) string {
	if c.OutpostConfig != nil && aws.ToString(c.Id) != "" {
		return *c.Id
	}
	return aws.ToString(c.Name)
}

// Unreachable returns why nobody can connect to the cluster, and a hint. Both are empty
// if it can be reached.
func (c Cluster) Unreachable() (reason, hint string) {
	switch {
	case c.Connector != "":
		return "is only registered with EKS and has no endpoint there", "connect to it as its provider documents"
	case c.Status != string(types.ClusterStatusActive) && c.Status != string(types.ClusterStatusUpdating):
		reason, hint = "is "+c.Status+", not ACTIVE or UPDATING", "see what it is: ekskey clusters describe "+c.Name+" --region "+c.Region
		if c.Status == string(types.ClusterStatusCreating) || c.Status == string(types.ClusterStatusPending) {
			hint = "wait for it: aws eks wait cluster-active --region " + c.Region + " --name " + c.Name
		}
		return reason, hint
	case c.Endpoint == "":
		return "has no endpoint yet", "try again in a minute"
	}
	return "", ""
}

// Check checks a response against the request. A false endpoint could otherwise name
// another cluster, get a token for it, or overwrite another entry of a kubeconfig. An
// empty account is unknown.
func Check(c *types.Cluster, name, region, account string) error {
	if c == nil {
		return errors.New("the response contains no cluster")
	}
	if got := aws.ToString(c.Name); got != name {
		return fmt.Errorf("the response is about cluster %q, not %q", got, name)
	}
	partition, err := identity.PartitionOfRegion(region)
	if err != nil {
		return err
	}
	arn := aws.ToString(c.Arn)
	rest, ok := strings.CutPrefix(arn, "arn:"+partition.ID+":eks:"+region+":")
	got, ok2 := strings.CutSuffix(rest, ":cluster/"+name)
	if !ok || !ok2 || !identity.IsAccountID(got) {
		return fmt.Errorf("the response's ARN %q is not that of cluster %q in %s", arn, name, region)
	}
	if account != "" && got != account {
		return fmt.Errorf("the response's ARN %q is not of account %s", arn, account)
	}
	if id := aws.ToString(c.Id); c.OutpostConfig != nil && id != "" && !IsLocalID(id) {
		return fmt.Errorf("the response's id %q is not that of a local cluster", id)
	}
	return nil
}

// IsLocalID reports whether s has the form of a local cluster's ID. It compiles its
// pattern on demand and not at start-up.
func IsLocalID(s string) bool {
	return regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s)
}
