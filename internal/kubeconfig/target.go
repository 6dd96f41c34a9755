package kubeconfig

import (
	"strings"

	iam "github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/execplugin"
)

// Target is which EKS cluster a context's plugin makes tokens for, and as whom, by
// the plugin's own words.
type Target struct {
	ARN     string // of the cluster; empty where the account is not known for certain
	Account string // of the cluster; empty where it is not known for certain
	execplugin.Meaning
}

// targetOf reads a context whose user runs e. The words have no account, so that is
// taken from what the context was made for or from its cluster entry's name, where
// that is the ARN of a cluster as the words have it; not where the two differ.
func targetOf(c Context, e *Exec) (Target, bool) {
	if e == nil {
		return Target{}, false
	}
	ours := ""
	if c.MadeFor != "" {
		ours = e.Command // our mark says whose words these are, whatever the file is called
	}
	m, err := execplugin.Read(e.invocation(), ours)
	if err != nil {
		return Target{}, false
	}
	t := Target{Meaning: m}
	var found iam.ARN
	for _, text := range []string{c.MadeFor, c.Cluster} {
		arn, name, ok := clusterARN(text)
		// The token of a local cluster on Outposts is made for its id, which no ARN has.
		named := name == t.Cluster || isUUID(t.Cluster) && c.MadeFor == c.Cluster
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
