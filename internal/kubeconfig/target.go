package kubeconfig

import (
	"path"
	"strings"

	iam "github.com/ekskey/ekskey/identity"
)

// Target is which EKS cluster a context's plugin makes tokens for, and as whom, by
// the plugin's own words.
type Target struct {
	ARN     string // of the cluster; empty where the account is not known for certain
	Name    string // what tokens are made for: a cluster's name, or a local cluster's id
	Region  string // empty where the plugin takes it from its surroundings
	Account string // of the cluster; empty where it is not known for certain
	Profile string // empty for the default one, or whatever the surroundings say
	Roles   []Hop  // assumed in order; empty for none
	Program string // file name of the plugin, as in ekskey, aws, aws-iam-authenticator
	// AWSOrder says that credentials are looked for in the AWS CLI's order: by the AWS
	// CLI itself, by the words of `eks get-token` whoever runs them, or where
	// --aws-cli-order asks for it. With a profile by flag the order is the same for all.
	AWSOrder bool
}

// targetOf reads a context whose user runs e. The words have no account, so that is
// taken from what the context was made for or from its cluster entry's name, where
// that is the ARN of a cluster as the words have it; not where the two differ.
func targetOf(c Context, e *Exec) (Target, bool) {
	ours := ""
	if c.MadeFor != "" {
		ours = commandOf(e) // our mark says whose words these are, whatever the file is called
	}
	id, ok := identityOf(e, ours)
	if !ok {
		return Target{}, false
	}
	t := Target{Name: id.cluster, Region: id.region, Profile: id.profile, Roles: id.chain, Program: baseName(e.Command), AWSOrder: id.awsOrder}
	var found iam.ARN
	for _, text := range []string{c.MadeFor, c.Cluster} {
		arn, name, ok := clusterARN(text)
		// The token of a local cluster on Outposts is made for its id, which no ARN has.
		named := name == t.Name || isUUID(t.Name) && c.MadeFor == c.Cluster
		if !ok || !named || t.Region != "" && arn.Region != t.Region {
			continue
		}
		if found != (iam.ARN{}) && found != arn {
			return t, true
		}
		found = arn
	}
	if found != (iam.ARN{}) {
		t.ARN, t.Account, t.Region = found.String(), found.Account, found.Region
	}
	return t, true
}

// clusterARN takes an EKS cluster's ARN apart
// (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelastickubernetesservice.html).
func clusterARN(text string) (arn iam.ARN, name string, ok bool) {
	arn, err := iam.ParseARN(text)
	if err != nil || arn.Service != "eks" || arn.Region == "" || !iam.IsAccountID(arn.Account) {
		return iam.ARN{}, "", false
	}
	name, ok = strings.CutPrefix(arn.Resource, "cluster/")
	return arn, name, ok && name != ""
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') ||
			!dash && strings.IndexByte("0123456789abcdef", s[i]) < 0 {
			return false
		}
	}
	return true
}

// baseName is a program's file name as on any system, without .exe, in lower case.
func baseName(command string) string {
	return strings.TrimSuffix(strings.ToLower(path.Base(strings.ReplaceAll(command, `\`, "/"))), ".exe")
}
