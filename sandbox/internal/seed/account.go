// Package seed fills a new sandbox: an AWS account with people, roles and a
// cluster, and a Kubernetes cluster with what an EKS cluster has in it.
package seed

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// Where everything is. The account is the one that AWS's documentation uses.
const (
	Account = "111122223333"
	Region  = "us-east-1"
	Cluster = "demo"

	// CreatorARN made the cluster: an administrator that aws-auth does not name.
	CreatorARN = "arn:aws:iam::" + Account + ":user/creator"

	// AuditorARN is mapped with its path, and so locked out.
	AuditorARN = "arn:aws:iam::" + Account + ":role/team/auditor"

	// The role is team/viewer: EKS matches roles without their paths.
	viewerARN   = "arn:aws:iam::" + Account + ":role/viewer"
	platformARN = "arn:aws:iam::" + Account + ":role/platform"
	nodeRoleARN = "arn:aws:iam::" + Account + ":role/eks-node"
)

// AWSAuth is the data of kube-system/aws-auth at the start. The viewers' role stands
// without its path, as EKS needs it; the auditors' is pasted with it, as people do, and
// is locked out.
func AWSAuth() map[string]string {
	return map[string]string{
		"mapRoles": strings.TrimLeft(`
- rolearn: `+nodeRoleARN+`
  username: system:node:{{EC2PrivateDNSName}}
  groups:
  - system:bootstrappers
  - system:nodes
- rolearn: `+platformARN+`
  username: platform:{{SessionName}}
  groups:
  - platform-admins
- rolearn: `+viewerARN+`
  username: viewer:{{SessionName}}
  groups:
  - viewers
- rolearn: `+AuditorARN+`
  username: auditor:{{SessionName}}
  groups:
  - viewers
`, "\n"),
		"mapUsers": strings.TrimLeft(`
- userarn: arn:aws:iam::`+Account+`:user/admin
  username: admin
  groups:
  - platform-admins
- userarn: arn:aws:iam::`+Account+`:user/dev
  username: dev
  groups:
  - developers
`, "\n"),
	}
}

// People adds the account, its users and its roles to the embedded AWS, and
// returns those that a person can be.
func People(aws *fakeaws.Server) ([]state.Identity, error) {
	if err := aws.AddAccount(Account, "aws"); err != nil {
		return nil, fmt.Errorf("adding the account: %w", err)
	}
	var all []state.Identity
	for _, u := range []struct{ name, about string }{
		{"admin", "a user whom aws-auth makes an administrator"},
		{"dev", "a user who may edit the namespace shop"},
		{"creator", "the user who made the cluster; an access entry makes it an administrator"},
		{"stranger", "a user of the account whom nothing maps"},
	} {
		key, err := aws.AddUser(fakeaws.User{Account: Account, Name: u.name})
		if err != nil {
			return nil, fmt.Errorf("adding user %s: %w", u.name, err)
		}
		all = append(all, state.Identity{
			Name: u.name, About: u.about, ARN: "arn:aws:iam::" + Account + ":user/" + u.name,
			AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey,
		})
	}
	for _, r := range []struct{ path, name, trusted, about string }{
		{"/", "platform", "AWS\": \"arn:aws:iam::" + Account + ":user/admin", "a role that aws-auth makes an administrator; admin may assume it"},
		{"/team/", "viewer", "AWS\": \"" + Account, "a role that may read; anyone of the account may assume it"},
		{"/team/", "auditor", "AWS\": \"" + Account, "a role that aws-auth names with its path, and so locks out"},
		{"/", "eks-node", "Service\": \"ec2.amazonaws.com", ""},
		{"/", "eks-cluster", "Service\": \"eks.amazonaws.com", ""},
	} {
		arn, err := aws.AddRole(fakeaws.Role{
			Account: Account, Path: r.path, Name: r.name,
			TrustPolicy: `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"` + r.trusted + `"}, "Action": "sts:AssumeRole"}]}`,
		})
		if err != nil {
			return nil, fmt.Errorf("adding role %s: %w", r.name, err)
		}
		if r.about != "" {
			all = append(all, state.Identity{Name: r.name, About: r.about, ARN: arn, RoleARN: arn, SourceProfile: "admin"})
		}
	}
	return all, nil
}

// EKS adds the cluster as EKS describes it. The CA is PEM; created is the
// time EKS says it was made. An empty authentication mode means API_AND_CONFIG_MAP.
func EKS(aws *fakeaws.Server, endpoint string, ca []byte, version, mode string, created time.Time) error {
	err := aws.AddCluster(fakeaws.Cluster{
		Account: Account, Region: Region, Name: Cluster,
		Endpoint: endpoint, CAData: base64.StdEncoding.EncodeToString(ca),
		Version: version, Platform: "eks.7", Status: "ACTIVE",
		RoleARN:            "arn:aws:iam::" + Account + ":role/eks-cluster",
		IPv4CIDR:           "10.100.0.0/16",
		AuthenticationMode: mode,
		CreatorARN:         CreatorARN,
		Tags:               map[string]string{"made-by": "ekskey-sandbox"},
		CreatedAt:          created,
	})
	if err != nil {
		return fmt.Errorf("adding the cluster: %w", err)
	}
	err = aws.AddNodegroup(fakeaws.Nodegroup{Account: Account, Region: Region, Cluster: Cluster, RoleARN: nodeRoleARN})
	if err != nil {
		return fmt.Errorf("adding the node group: %w", err)
	}
	return nil
}

// ServerKey adds the IAM user that ekskey-server reads access entries as, with the least
// policy that suffices (docs/server.md).
func ServerKey(aws *fakeaws.Server) (fakeaws.Key, error) {
	key, err := aws.AddUser(fakeaws.User{Account: Account, Path: "/sandbox/", Name: "ekskey-server", Policies: map[string]string{
		"access-entries": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
  "eks:DescribeCluster", "eks:ListAccessEntries", "eks:DescribeAccessEntry", "eks:ListAssociatedAccessPolicies", "iam:GetRole", "iam:GetUser"]}]}`,
	}})
	if err != nil {
		return fakeaws.Key{}, fmt.Errorf("adding the user of ekskey-server: %w", err)
	}
	return key, nil
}

// AWSFiles renders the AWS command's two files with a profile an identity. The
// second holds secrets.
func AWSFiles(people []state.Identity) (config, credentials []byte) {
	var conf, cred strings.Builder
	for _, p := range people {
		fmt.Fprintf(&conf, "# %s\n[profile %s]\nregion = %s\n", p.About, p.Name, Region)
		if p.RoleARN != "" {
			fmt.Fprintf(&conf, "role_arn = %s\nsource_profile = %s\nrole_session_name = sandbox\n", p.RoleARN, p.SourceProfile)
		}
		conf.WriteString("\n")
		if p.AccessKeyID != "" {
			fmt.Fprintf(&cred, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n", p.Name, p.AccessKeyID, p.SecretAccessKey)
		}
	}
	return []byte(conf.String()), []byte(cred.String())
}
