package fakeaws_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestAddAccessEntry(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	made := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	entry := fakeaws.AccessEntry{
		Account: account, Region: "eu-west-1", Cluster: "demo", PrincipalARN: dev, Groups: []string{"viewers"}, CreatedAt: made,
		Policies: []fakeaws.AccessPolicy{{Name: "AmazonEKSViewPolicy", Namespaces: []string{"dev-*"}}, {Name: "AmazonEKSClusterAdminPolicy"}},
	}
	for name, change := range map[string]func(*fakeaws.AccessEntry){
		"no cluster":   func(e *fakeaws.AccessEntry) { e.Cluster = "none" },
		"no principal": func(e *fakeaws.AccessEntry) { e.PrincipalARN += "x" },
		"no policy": func(e *fakeaws.AccessEntry) {
			e.Policies = append(slices.Clone(e.Policies), fakeaws.AccessPolicy{Name: "None"})
		},
		"group": func(e *fakeaws.AccessEntry) { e.Groups = []string{"system:masters"} },
		"type":  func(e *fakeaws.AccessEntry) { e.Type = "EC2_LINUX" },
	} {
		bad := entry
		change(&bad)
		if err := c.AddAccessEntry(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := c.AddAccessEntry(entry); err != nil {
		t.Fatal(err)
	}
	if err := c.AddAccessEntry(entry); err == nil || !strings.Contains(err.Error(), "ResourceInUseException") {
		t.Errorf("twice: %v", err)
	}
	out, err := c.eks(c.alice).DescribeAccessEntry(t.Context(), &eks.DescribeAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: &dev})
	if err != nil {
		t.Fatal(err)
	}
	if e := out.AccessEntry; !e.CreatedAt.Equal(made) || !slices.Equal(e.KubernetesGroups, []string{"viewers"}) {
		t.Errorf("the entry is %+v, made at %s", e, e.CreatedAt)
	}
	policies, err := c.eks(c.alice).ListAssociatedAccessPolicies(t.Context(), &eks.ListAssociatedAccessPoliciesInput{ClusterName: aws.String("demo"), PrincipalArn: &dev})
	if err != nil || len(policies.AssociatedAccessPolicies) != 2 {
		t.Fatalf("%v, %v", policies, err)
	}
	for _, p := range policies.AssociatedAccessPolicies {
		want := ekstypes.AccessScopeTypeCluster
		if *p.PolicyArn == viewPolicy {
			want = ekstypes.AccessScopeTypeNamespace
		}
		if p.AccessScope.Type != want {
			t.Errorf("%s has the scope %s", *p.PolicyArn, p.AccessScope.Type)
		}
	}
	if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "demo", AuthenticationMode: "CONFIG_MAP"}); err != nil {
		t.Fatal(err)
	}
	if err := c.AddAccessEntry(entry); err == nil {
		t.Error("an entry in CONFIG_MAP")
	}
}

func TestAccessSeedingRefuses(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	const alice = "arn:aws:iam::111122223333:user/ops/alice"
	addGroup := func(g fakeaws.Group) error { _, err := c.AddGroup(g); return err }
	addPolicy := func(p fakeaws.ManagedPolicy) error { _, err := c.AddPolicy(p); return err }
	addProfile := func(p fakeaws.InstanceProfile) error { _, err := c.AddInstanceProfile(p); return err }
	group, err := c.AddGroup(fakeaws.Group{Account: account, Name: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	everything := allow("*", "*")
	for name, err := range map[string]error{
		"group there already":         addGroup(fakeaws.Group{Account: account, Name: "OPS"}),
		"group with a role":           addGroup(fakeaws.Group{Account: account, Name: "x", Members: []string{dev}}),
		"group of another account":    addGroup(fakeaws.Group{Account: "444455556666", Name: "x", Members: []string{alice}}),
		"group with a bad policy":     addGroup(fakeaws.Group{Account: account, Name: "x", Policies: map[string]string{"p": "{"}}),
		"policy without a document":   addPolicy(fakeaws.ManagedPolicy{Account: account, Name: "x"}),
		"policy without a name":       addPolicy(fakeaws.ManagedPolicy{Account: account, Document: everything}),
		"policy of no account":        addPolicy(fakeaws.ManagedPolicy{Account: "amazon", Name: "x", Document: everything}),
		"profile of a user":           addProfile(fakeaws.InstanceProfile{Account: account, Name: "x", RoleARN: alice}),
		"profile without a name":      addProfile(fakeaws.InstanceProfile{Account: account}),
		"key of a group":              func() error { _, err := c.AddAccessKey(group, fakeaws.Key{}); return err }(),
		"instance without a profile":  c.AddInstance(fakeaws.Instance{Account: account, Region: "eu-west-1", ID: "i-0000000a", ProfileARN: dev}),
		"instance without an id":      c.AddInstance(fakeaws.Instance{Account: account, Region: "eu-west-1"}),
		"instance in no state":        c.AddInstance(fakeaws.Instance{Account: account, Region: "eu-west-1", ID: "i-0000000a", State: "well"}),
		"node group of a user":        c.AddNodegroup(fakeaws.Nodegroup{Account: account, Region: "eu-west-1", Cluster: "demo", RoleARN: alice}),
		"node group of no cluster":    c.AddNodegroup(fakeaws.Nodegroup{Account: account, Region: "eu-west-1", Cluster: "x", RoleARN: dev}),
		"failing what is not updated": c.FailUpdate(account, "eu-west-1", "demo", "x"),
		"unknown mode":                c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "x", AuthenticationMode: "OFF"}),
		"CONFIG_MAP without creator":  c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "x", AuthenticationMode: "CONFIG_MAP", NoCreatorAdmin: true}),
		"creator who does not exist":  c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "x", CreatorARN: alice + "x"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever named a group or role that was removed from Go no longer does.
func TestRemovedGroupAndRole(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	bob, err := c.AddUser(fakeaws.User{Account: account, Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	group, err := c.AddGroup(fakeaws.Group{Account: account, Name: "ops", Policies: map[string]string{"p": allow("*", "eks:*")}, Members: []string{"arn:aws:iam::111122223333:user/bob"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddInstanceProfile(fakeaws.InstanceProfile{Account: account, Name: "node", RoleARN: dev}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.eks(bob).ListClusters(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, arn := range []string{group, dev} {
		if err := c.RemovePrincipal(arn); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.eks(bob).ListClusters(t.Context(), nil)
	wantCode(t, err, "AccessDeniedException", 403)
	out, err := c.iam(c.alice).GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("node")})
	if err != nil || len(out.InstanceProfile.Roles) != 0 {
		t.Errorf("the profile is %v, %v", out, err)
	}
}
