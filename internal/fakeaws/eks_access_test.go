package fakeaws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	clusterAdmin = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	viewPolicy   = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
	autoNode     = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
)

// withCluster is a cloud with a cluster demo in the given authentication mode, made by
// alice, and a role to give access to.
func withCluster(t *testing.T, cfg fakeaws.Config, mode string) (*cloud, string) {
	t.Helper()
	c := newCloud(t, cfg)
	err := c.AddCluster(fakeaws.Cluster{
		Account: account, Region: "eu-west-1", Name: "demo", AuthenticationMode: mode, CreatorARN: "arn:aws:iam::111122223333:user/ops/alice",
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, c.role(t, fakeaws.Role{Name: "dev", Path: "/team/"})
}

func (c *cloud) createEntry(t *testing.T, in *eks.CreateAccessEntryInput) (*ekstypes.AccessEntry, error) {
	t.Helper()
	in.ClusterName = aws.String("demo")
	out, err := c.eks(c.alice).CreateAccessEntry(t.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.AccessEntry, nil
}

func (c *cloud) entries(t *testing.T, policy *string) []string {
	t.Helper()
	out, err := c.eks(c.alice).ListAccessEntries(t.Context(), &eks.ListAccessEntriesInput{ClusterName: aws.String("demo"), AssociatedPolicyArn: policy})
	if err != nil {
		t.Fatal(err)
	}
	return out.AccessEntries
}

func (c *cloud) associate(t *testing.T, arn, policy string, scope *ekstypes.AccessScope) (*ekstypes.AssociatedAccessPolicy, error) {
	t.Helper()
	out, err := c.eks(c.alice).AssociateAccessPolicy(t.Context(), &eks.AssociateAccessPolicyInput{
		ClusterName: aws.String("demo"), PrincipalArn: &arn, PolicyArn: &policy, AccessScope: scope,
	})
	if err != nil {
		return nil, err
	}
	return out.AssociatedAccessPolicy, nil
}

func TestCreateAccessEntryRefused(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	service := c.role(t, fakeaws.Role{Name: "AWSServiceRoleForAmazonEKS", Path: "/aws-service-role/eks.amazonaws.com/"})
	foreign := c.role(t, fakeaws.Role{Name: "partner", Account: "444455556666"})
	const bob = "arn:aws:iam::111122223333:user/bob"
	if _, err := c.AddUser(fakeaws.User{Account: account, Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	const sameAccount = "AccessEntry principalArn must be from the same account as the cluster when using types [EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2]"
	for _, tt := range []struct {
		name    string
		in      eks.CreateAccessEntryInput
		message string // of an InvalidParameterException; "" where it is let in
	}{
		{"a user", eks.CreateAccessEntryInput{PrincipalArn: aws.String(bob)}, ""},
		{"a role of another account", eks.CreateAccessEntryInput{PrincipalArn: &foreign}, ""},
		{"a node of another account", eks.CreateAccessEntryInput{PrincipalArn: &foreign, Type: aws.String("EC2_LINUX")}, sameAccount},
		{"a user as node", eks.CreateAccessEntryInput{PrincipalArn: aws.String(bob), Type: aws.String("EC2")}, strings.Replace(sameAccount, "from the same account as the cluster", "IAM role", 1)},
		{"no such role", eks.CreateAccessEntryInput{PrincipalArn: aws.String(dev + "x")}, "The specified principalArn is invalid: invalid principal."},
		{"role without its path", eks.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::111122223333:role/dev")}, "The specified principalArn is invalid: invalid principal."},
		{"another partition", eks.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws-cn:iam::111122223333:role/team/dev")}, "The specified principalArn is invalid: invalid principal."},
		{"session", eks.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:sts::111122223333:assumed-role/dev/s1")}, "The principalArn parameter format is not valid"},
		{"group", eks.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::111122223333:group/dev")}, "The principalArn parameter format is not valid"},
		{"no name", eks.CreateAccessEntryInput{PrincipalArn: aws.String("arn:aws:iam::111122223333:role/")}, "The principalArn parameter format is not valid"},
		{"no ARN", eks.CreateAccessEntryInput{PrincipalArn: aws.String("dev")}, "The principalArn parameter format is not valid"},
		{"service-linked role", eks.CreateAccessEntryInput{PrincipalArn: &service}, "The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role"},
		{"unknown type", eks.CreateAccessEntryInput{PrincipalArn: &dev, Type: aws.String("Standard")}, "AccessEntry type must be one of [EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2, HYPERPOD_LINUX, STANDARD]"},
		{"system group", eks.CreateAccessEntryInput{PrincipalArn: &dev, KubernetesGroups: []string{"ok", "system:masters"}}, "The kubernetes group name system:masters is invalid, it cannot start with system:"},
		{"eks group", eks.CreateAccessEntryInput{PrincipalArn: &dev, KubernetesGroups: []string{"eks:x"}}, "The kubernetes group name eks:x is invalid, it cannot start with eks:"},
		{"groups of a node", eks.CreateAccessEntryInput{PrincipalArn: &dev, Type: aws.String("EC2_LINUX"), KubernetesGroups: []string{"x"}}, `The specified kubernetesGroups is invalid: setting kubernetesGroups is not allowed when the type is "EC2_LINUX"`},
		{"username of a node", eks.CreateAccessEntryInput{PrincipalArn: &dev, Type: aws.String("EC2_WINDOWS"), Username: aws.String("x")}, `The specified username is invalid: setting username is not allowed when the type is "EC2_WINDOWS"`},
		{"reserved username", eks.CreateAccessEntryInput{PrincipalArn: &dev, Username: aws.String("iam:x")}, "The username must not begin with iam:"},
		{"session name without a colon", eks.CreateAccessEntryInput{PrincipalArn: &dev, Username: aws.String("john{{SessionName}}:")}, "The specified username is invalid: it must have a colon before {{SessionName}}"},
		{"raw session name without a colon", eks.CreateAccessEntryInput{PrincipalArn: &dev, Username: aws.String("john{{SessionNameRaw}}")}, "The specified username is invalid: it must have a colon before {{SessionName}}"},
		{"nothing wrong", eks.CreateAccessEntryInput{PrincipalArn: &dev, Username: aws.String("jo:hn{{SessionName}}"), KubernetesGroups: []string{"systems:x"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.createEntry(t, &tt.in)
			if tt.message == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, "InvalidParameterException", 400)
			wantMessage(t, err, tt.message)
		})
	}
}

func TestAccessEntryDefaults(t *testing.T) {
	c, _ := withCluster(t, fakeaws.Config{}, "API_AND_CONFIG_MAP")
	root := "arn:aws:iam::111122223333:root"
	for _, tt := range []struct {
		kind, username string
		groups         []string
	}{
		{"STANDARD", "arn:aws:sts::111122223333:assumed-role/r0/{{SessionName}}", nil},
		{"EC2", "system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}},
		{"EC2_LINUX", "system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}},
		{"EC2_WINDOWS", "system:node:{{EC2PrivateDNSName}}", []string{"eks:kube-proxy-windows", "system:nodes"}},
		{"FARGATE_LINUX", "system:node:{{SessionName}}", []string{"system:node-proxier", "system:nodes"}},
		{"HYBRID_LINUX", "system:node:{{SessionName}}", []string{"system:nodes"}},
		{"HYPERPOD_LINUX", "system:node:{{SessionName}}", []string{"system:nodes"}},
	} {
		role := c.role(t, fakeaws.Role{Name: fmt.Sprintf("r%d", len(c.entries(t, nil))-1), Path: "/deep/"})
		e, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &role, Type: aws.String(tt.kind)})
		if err != nil {
			t.Fatal(err)
		}
		if *e.Username != tt.username || !slices.Equal(e.KubernetesGroups, tt.groups) || *e.Type != tt.kind || *e.PrincipalArn != role {
			t.Errorf("%s is %s %s %v", tt.kind, *e.Type, *e.Username, e.KubernetesGroups)
		}
		_, err = c.associate(t, role, autoNode, &ekstypes.AccessScope{Type: "cluster"})
		if allowed := tt.kind == "STANDARD" || tt.kind == "EC2"; allowed != (err == nil) {
			t.Errorf("AmazonEKSAutoNodePolicy on %s: %v", tt.kind, err)
		}
		_, err = c.associate(t, role, viewPolicy, &ekstypes.AccessScope{Type: "cluster"})
		if allowed := tt.kind == "STANDARD"; allowed != (err == nil) {
			t.Errorf("AmazonEKSViewPolicy on %s: %v", tt.kind, err)
		}
	}
	e, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &root})
	if err != nil || *e.Username != root {
		t.Errorf("the root is %v, %v", e, err)
	}
}

// A request that is repeated by its token is the same request; one that only looks
// like it is a duplicate.
func TestAccessEntryTwice(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	in := func(token string, groups ...string) *eks.CreateAccessEntryInput {
		return &eks.CreateAccessEntryInput{PrincipalArn: &dev, ClientRequestToken: &token, KubernetesGroups: groups}
	}
	first, err := c.createEntry(t, in("t1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.createEntry(t, in("t1", "a"))
	if err != nil || *again.AccessEntryArn != *first.AccessEntryArn {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	for name, other := range map[string]*eks.CreateAccessEntryInput{"another token": in("t2", "a"), "other groups": in("t1", "b")} {
		_, err := c.createEntry(t, other)
		t.Log(name)
		wantCode(t, err, "ResourceInUseException", 409)
		wantMessage(t, err, "The specified access entry resource is already in use on this cluster.")
	}
	update := func(in eks.UpdateAccessEntryInput) *ekstypes.AccessEntry {
		in.ClusterName, in.PrincipalArn = aws.String("demo"), &dev
		out, err := c.eks(c.alice).UpdateAccessEntry(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		return out.AccessEntry
	}
	if e := update(eks.UpdateAccessEntryInput{Username: aws.String("x")}); *e.Username != "x" || !slices.Equal(e.KubernetesGroups, []string{"a"}) {
		t.Errorf("with another username: %s %v", *e.Username, e.KubernetesGroups)
	}
	if e := update(eks.UpdateAccessEntryInput{KubernetesGroups: []string{}}); *e.Username != "x" || len(e.KubernetesGroups) != 0 {
		t.Errorf("without groups: %s %v", *e.Username, e.KubernetesGroups)
	}
}

func TestListAccessEntriesPages(t *testing.T) {
	c, _ := withCluster(t, fakeaws.Config{}, "API")
	want := []string{"arn:aws:iam::111122223333:user/ops/alice"}
	for i := range 104 {
		role := c.role(t, fakeaws.Role{Name: fmt.Sprintf("r%03d", i)})
		if _, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &role}); err != nil {
			t.Fatal(err)
		}
		want = append(want, role)
	}
	slices.Sort(want)
	for _, size := range []int32{0, 3, 100} {
		in := &eks.ListAccessEntriesInput{ClusterName: aws.String("demo")}
		if size > 0 {
			in.MaxResults = &size
		}
		var got []string
		pages := eks.NewListAccessEntriesPaginator(c.eks(c.alice), in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.AccessEntries) > 100 {
				t.Errorf("a page of %d", len(page.AccessEntries))
			}
			got = append(got, page.AccessEntries...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %d a page, got %v", size, got)
		}
	}
	_, err := c.eks(c.alice).ListAccessEntries(t.Context(), &eks.ListAccessEntriesInput{ClusterName: aws.String("demo"), MaxResults: aws.Int32(101)})
	wantCode(t, err, "InvalidParameterException", 400)
	policies, err := c.eks(c.alice).ListAccessPolicies(t.Context(), nil)
	if err != nil || len(policies.AccessPolicies) < 33 {
		t.Fatalf("%v, %v", policies, err)
	}
	if !slices.IsSortedFunc(policies.AccessPolicies, func(a, b ekstypes.AccessPolicy) int { return strings.Compare(*a.Name, *b.Name) }) {
		t.Error("the access policies are not in order, so paging would lose some")
	}
	for _, p := range policies.AccessPolicies {
		if *p.Arn != "arn:aws:eks::aws:cluster-access-policy/"+*p.Name {
			t.Errorf("%s is %s", *p.Name, *p.Arn)
		}
	}
}

func TestAssociateAccessPolicy(t *testing.T) {
	now := time.Now()
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	if _, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &dev}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, policy  string
		scope         ekstypes.AccessScope
		code, message string
	}{
		{"unknown", "arn:aws:eks::aws:cluster-access-policy/Nothing", ekstypes.AccessScope{Type: "cluster"}, "ResourceNotFoundException", "The specified policyArn could not be found."},
		{"another partition", "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", ekstypes.AccessScope{Type: "cluster"}, "ResourceNotFoundException", "The specified policyArn could not be found."},
		{"no namespaces", viewPolicy, ekstypes.AccessScope{Type: "namespace"}, "InvalidParameterException", "At least 1 namespace must be provided if the type is set as namespace"},
		{"namespaces of the cluster", viewPolicy, ekstypes.AccessScope{Type: "cluster", Namespaces: []string{"a"}}, "InvalidParameterException", "accessScope should not include namespaces if the type is not set as namespace"},
		{"no type", viewPolicy, ekstypes.AccessScope{}, "InvalidParameterException", "accessScope type must be one of [cluster, namespace]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.associate(t, dev, tt.policy, &tt.scope)
			wantCode(t, err, tt.code, map[string]int{"ResourceNotFoundException": 404, "InvalidParameterException": 400}[tt.code])
			wantMessage(t, err, tt.message)
		})
	}
	if _, err := c.associate(t, dev, viewPolicy, &ekstypes.AccessScope{Type: "namespace", Namespaces: []string{"dev-*"}}); err != nil {
		t.Fatal(err)
	}
	c.SetSkew(time.Minute)
	second, err := c.associate(t, dev, viewPolicy, &ekstypes.AccessScope{Type: "cluster"})
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessScope.Type != "cluster" || len(second.AccessScope.Namespaces) != 0 || !second.ModifiedAt.After(now.Add(59*time.Second)) || second.ModifiedAt.Sub(*second.AssociatedAt) < 59*time.Second {
		t.Errorf("associated again: %+v", second)
	}
	in := &eks.ListAssociatedAccessPoliciesInput{ClusterName: aws.String("demo"), PrincipalArn: &dev}
	out, err := c.eks(c.alice).ListAssociatedAccessPolicies(t.Context(), in)
	if err != nil || len(out.AssociatedAccessPolicies) != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	if got := c.entries(t, aws.String(viewPolicy)); !slices.Equal(got, []string{dev}) {
		t.Errorf("entries with the policy: %v", got)
	}
	// Deleting the entry drops its policies.
	if _, err := c.eks(c.alice).DeleteAccessEntry(t.Context(), &eks.DeleteAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: &dev}); err != nil {
		t.Fatal(err)
	}
	_, err = c.eks(c.alice).ListAssociatedAccessPolicies(t.Context(), in)
	wantCode(t, err, "ResourceNotFoundException", 404)
	if _, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &dev}); err != nil {
		t.Fatal(err)
	}
	if got := c.entries(t, aws.String(viewPolicy)); len(got) != 0 {
		t.Errorf("made again, the entry has its policies: %v", got)
	}
	_, err = c.eks(c.alice).DisassociateAccessPolicy(t.Context(), &eks.DisassociateAccessPolicyInput{ClusterName: aws.String("demo"), PrincipalArn: &dev, PolicyArn: aws.String(viewPolicy)})
	wantCode(t, err, "ResourceNotFoundException", 404)
}

func TestAccessEntryLag(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	c.SetLag(time.Minute)
	in := &eks.CreateAccessEntryInput{PrincipalArn: &dev}
	_, err := c.createEntry(t, in)
	wantMessage(t, err, "The specified principalArn is invalid: invalid principal.")
	c.SetSkew(time.Minute)
	if _, err := c.createEntry(t, in); err != nil {
		t.Fatal(err)
	}
	describe := func() error {
		_, err := c.eks(c.alice).DescribeAccessEntry(t.Context(), &eks.DescribeAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: &dev})
		return err
	}
	wantCode(t, describe(), "ResourceNotFoundException", 404)
	if got := c.entries(t, nil); slices.Contains(got, dev) {
		t.Errorf("listed at once: %v", got)
	}
	c.SetSkew(2 * time.Minute)
	if err := describe(); err != nil || !slices.Contains(c.entries(t, nil), dev) {
		t.Errorf("a minute later: %v", err)
	}
}

// Condition keys of EKS's own, and the role that must be passed.
func TestAccessEntryPermissions(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	ops := c.role(t, fakeaws.Role{Name: "ops"})
	key, err := c.AddUser(fakeaws.User{Account: account, Name: "keeper", Policies: map[string]string{"p": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"eks:CreateAccessEntry","Resource":"arn:aws:eks:*:*:cluster/demo","Condition":{"StringEquals":{"eks:accessEntryType":["STANDARD","EC2_LINUX"]}}},
		{"Effect":"Allow","Action":"eks:AssociateAccessPolicy","Resource":"arn:aws:eks:*:*:access-entry/demo/*","Condition":{"ArnEquals":{"eks:policyArn":"` + viewPolicy + `"},"StringEquals":{"eks:accessScope":"namespace"}}},
		{"Effect":"Deny","Action":"eks:*","Resource":"*","Condition":{"StringLike":{"eks:principalArn":"*:role/ops"}}}]}`}})
	if err != nil {
		t.Fatal(err)
	}
	client := c.eks(key)
	create := func(arn, kind string) error {
		_, err := client.CreateAccessEntry(t.Context(), &eks.CreateAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: &arn, Type: &kind})
		return err
	}
	associate := func(policy string, scope ekstypes.AccessScope) error {
		_, err := client.AssociateAccessPolicy(t.Context(), &eks.AssociateAccessPolicyInput{ClusterName: aws.String("demo"), PrincipalArn: &dev, PolicyArn: &policy, AccessScope: &scope})
		return err
	}
	const who = "User: arn:aws:iam::111122223333:user/keeper is not authorized to perform: "
	for _, tt := range []struct {
		err     error
		message string
	}{
		{create(ops, "STANDARD"), who + "eks:CreateAccessEntry on resource: arn:aws:eks:eu-west-1:111122223333:cluster/demo with an explicit deny in an identity-based policy"},
		{create(dev, "EC2"), who + "eks:CreateAccessEntry on resource: arn:aws:eks:eu-west-1:111122223333:cluster/demo because no identity-based policy allows the eks:CreateAccessEntry action"},
		{create(dev, "EC2_LINUX"), who + "iam:PassRole on resource: " + dev + " because no identity-based policy allows the iam:PassRole action"},
		{associate(viewPolicy, ekstypes.AccessScope{Type: "namespace", Namespaces: []string{"a"}}), "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'."},
		{create(dev, "STANDARD"), ""},
		{associate(viewPolicy, ekstypes.AccessScope{Type: "namespace", Namespaces: []string{"a"}}), ""},
	} {
		if tt.message == "" {
			if tt.err != nil {
				t.Error(tt.err)
			}
			continue
		}
		wantMessage(t, tt.err, tt.message)
	}
	wantCode(t, associate(viewPolicy, ekstypes.AccessScope{Type: "cluster"}), "AccessDeniedException", 403)
	wantCode(t, associate(clusterAdmin, ekstypes.AccessScope{Type: "namespace", Namespaces: []string{"a"}}), "AccessDeniedException", 403)
}
