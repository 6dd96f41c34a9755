package fakeaws_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// Raising the mode takes a while, and makes the entries of the creator and the node
// groups; one that is there already stays.
func TestRaiseAuthenticationMode(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{Now: at(time.Now()), UpdateTime: time.Minute}, "CONFIG_MAP")
	fargate := c.role(t, fakeaws.Role{Name: "fargate"})
	for role, ami := range map[string]string{dev: "WINDOWS_CORE_2022_x86_64", fargate: "FARGATE"} {
		if err := c.AddNodegroup(fakeaws.Nodegroup{Account: account, Region: "eu-west-1", Cluster: "demo", RoleARN: role, AMIType: ami}); err != nil {
			t.Fatal(err)
		}
	}
	client := c.eks(c.alice)
	for _, call := range []func() error{
		func() error { _, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &dev}); return err },
		func() error {
			_, err := client.ListAccessEntries(t.Context(), &eks.ListAccessEntriesInput{ClusterName: aws.String("demo")})
			return err
		},
		func() error {
			_, err := c.associate(t, dev, viewPolicy, &ekstypes.AccessScope{Type: "cluster"})
			return err
		},
	} {
		err := call()
		wantCode(t, err, "InvalidRequestException", 400)
		wantMessage(t, err, "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
	}
	raise := func(to ekstypes.AuthenticationMode, token string) (*ekstypes.Update, error) {
		out, err := client.UpdateClusterConfig(t.Context(), &eks.UpdateClusterConfigInput{
			Name: aws.String("demo"), ClientRequestToken: &token, AccessConfig: &ekstypes.UpdateAccessConfigRequest{AuthenticationMode: to},
		})
		if err != nil {
			return nil, err
		}
		return out.Update, nil
	}
	describe := func() *ekstypes.Cluster {
		t.Helper()
		out, err := client.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("demo")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Cluster
	}
	_, err := raise("API", "t0")
	wantCode(t, err, "InvalidParameterException", 400)
	first, err := raise("API_AND_CONFIG_MAP", "t1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := raise("API_AND_CONFIG_MAP", "t1")
	if err != nil || *again.Id != *first.Id {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	_, err = raise("API_AND_CONFIG_MAP", "t2")
	wantCode(t, err, "ResourceInUseException", 409)
	if k := describe(); k.Status != "UPDATING" || k.AccessConfig.AuthenticationMode != "CONFIG_MAP" {
		t.Errorf("while updating: %s %s", k.Status, k.AccessConfig.AuthenticationMode)
	}
	c.SetSkew(61 * time.Second)
	if k := describe(); k.Status != "ACTIVE" || k.AccessConfig.AuthenticationMode != "API_AND_CONFIG_MAP" || !*k.AccessConfig.BootstrapClusterCreatorAdminPermissions {
		t.Errorf("updated: %s %+v", k.Status, k.AccessConfig)
	}
	const alice = "arn:aws:iam::111122223333:user/ops/alice"
	if got := c.entries(t, nil); !slices.Equal(got, []string{fargate, dev, alice}) {
		t.Errorf("entries %v", got)
	}
	if got := c.entries(t, aws.String(clusterAdmin)); !slices.Equal(got, []string{alice}) {
		t.Errorf("administrators %v", got)
	}
	for role, kind := range map[string]string{dev: "EC2_WINDOWS", fargate: "FARGATE_LINUX"} {
		out, err := client.DescribeAccessEntry(t.Context(), &eks.DescribeAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: &role})
		if err != nil || *out.AccessEntry.Type != kind {
			t.Errorf("%s is %v, %v", role, out, err)
		}
	}
	// The creator's entry can be taken away, and does not come back.
	if _, err := client.DeleteAccessEntry(t.Context(), &eks.DeleteAccessEntryInput{ClusterName: aws.String("demo"), PrincipalArn: aws.String(alice)}); err != nil {
		t.Fatal(err)
	}
	failing, err := raise("API", "t3")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FailUpdate(account, "eu-west-1", "demo", "no capacity"); err != nil {
		t.Fatal(err)
	}
	c.SetSkew(122 * time.Second)
	out, err := client.DescribeUpdate(t.Context(), &eks.DescribeUpdateInput{Name: aws.String("demo"), UpdateId: failing.Id})
	if err != nil || out.Update.Status != "Failed" || *out.Update.Errors[0].ErrorMessage != "no capacity" || describe().AccessConfig.AuthenticationMode != "API_AND_CONFIG_MAP" {
		t.Errorf("failed: %+v, %v", out, err)
	}
	if _, err := raise("API", "t4"); err != nil {
		t.Fatal(err)
	}
	c.SetSkew(183 * time.Second)
	if k := describe(); k.AccessConfig.AuthenticationMode != "API" {
		t.Errorf("in the end %s", k.AccessConfig.AuthenticationMode)
	}
	_, err = raise("API_AND_CONFIG_MAP", "t5")
	wantCode(t, err, "InvalidParameterException", 400)
	wantMessage(t, err, "Unsupported authentication mode update from API to API_AND_CONFIG_MAP")
	if got := c.entries(t, nil); !slices.Equal(got, []string{fargate, dev}) {
		t.Errorf("in the end, entries %v", got)
	}
	_, err = client.DescribeUpdate(t.Context(), &eks.DescribeUpdateInput{Name: aws.String("demo"), UpdateId: aws.String("x")})
	wantCode(t, err, "ResourceNotFoundException", 404)
	list, err := client.ListUpdates(t.Context(), &eks.ListUpdatesInput{Name: aws.String("demo")})
	if err != nil || len(list.UpdateIds) != 3 {
		t.Errorf("updates %v, %v", list, err)
	}
	_, err = client.UpdateClusterConfig(t.Context(), &eks.UpdateClusterConfigInput{
		Name: aws.String("demo"), DeletionProtection: aws.Bool(true), AccessConfig: &ekstypes.UpdateAccessConfigRequest{AuthenticationMode: "API"},
	})
	wantCode(t, err, "InvalidParameterException", 400)
	wantMessage(t, err, "Only one type of update can be allowed.")
}

// A creator that is gone, or was made again under the same name, gets no entry.
func TestRaiseWithoutCreator(t *testing.T) {
	for _, again := range []bool{false, true} {
		c, maker := withCluster(t, fakeaws.Config{}, "API")
		if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "demo", AuthenticationMode: "CONFIG_MAP", CreatorARN: maker}); err != nil {
			t.Fatal(err)
		}
		if err := c.RemovePrincipal(maker); err != nil {
			t.Fatal(err)
		}
		if again {
			c.role(t, fakeaws.Role{Name: "dev", Path: "/team/"})
		}
		_, err := c.eks(c.alice).UpdateClusterConfig(t.Context(), &eks.UpdateClusterConfigInput{
			Name: aws.String("demo"), AccessConfig: &ekstypes.UpdateAccessConfigRequest{AuthenticationMode: "API_AND_CONFIG_MAP"},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.SetSkew(2 * time.Second)
		if got := c.entries(t, nil); len(got) != 0 {
			t.Errorf("made again %v: entries %v", again, got)
		}
	}
}

func TestTags(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	e, err := c.createEntry(t, &eks.CreateAccessEntryInput{PrincipalArn: &dev, Tags: map[string]string{"a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	client := c.eks(c.alice)
	if _, err := client.TagResource(t.Context(), &eks.TagResourceInput{ResourceArn: e.AccessEntryArn, Tags: map[string]string{"b": "2", "c": "3"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UntagResource(t.Context(), &eks.UntagResourceInput{ResourceArn: e.AccessEntryArn, TagKeys: []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	out, err := client.ListTagsForResource(t.Context(), &eks.ListTagsForResourceInput{ResourceArn: e.AccessEntryArn})
	if err != nil || len(out.Tags) != 1 || out.Tags["c"] != "3" {
		t.Errorf("tags %v, %v", out, err)
	}
	for arn, code := range map[string]string{
		*e.AccessEntryArn + "x":                             "NotFoundException",
		"arn:aws:eks:eu-west-1:111122223333:cluster":        "NotFoundException",
		"arn:aws:eks:us-east-1:111122223333:cluster/demo":   "BadRequestException",
		"arn:aws:eks:eu-west-1:444455556666:cluster/demo":   "BadRequestException",
		"arn:aws:iam::111122223333:role/team/dev":           "BadRequestException",
		"arn:aws:eks:eu-west-1:111122223333:nodegroup/demo": "NotFoundException",
	} {
		_, err := client.ListTagsForResource(t.Context(), &eks.ListTagsForResourceInput{ResourceArn: &arn})
		wantCode(t, err, code, map[string]int{"NotFoundException": 404, "BadRequestException": 400}[code])
	}
}

func TestNodegroups(t *testing.T) {
	c, dev := withCluster(t, fakeaws.Config{}, "API")
	fargate := c.role(t, fakeaws.Role{Name: "fargate"})
	for _, g := range []fakeaws.Nodegroup{
		{Name: "b", RoleARN: dev}, {Name: "a", RoleARN: dev, AMIType: "BOTTLEROCKET_x86_64"}, {Name: "a", RoleARN: fargate, AMIType: "FARGATE"}, {Name: "b", RoleARN: dev},
	} {
		g.Account, g.Region, g.Cluster = account, "eu-west-1", "demo"
		if err := c.AddNodegroup(g); err != nil {
			t.Fatal(err)
		}
	}
	client := c.eks(c.alice)
	one, err := client.ListNodegroups(t.Context(), &eks.ListNodegroupsInput{ClusterName: aws.String("demo"), MaxResults: aws.Int32(1)})
	if err != nil || !slices.Equal(one.Nodegroups, []string{"a"}) {
		t.Fatalf("%+v, %v", one, err)
	}
	rest, err := client.ListNodegroups(t.Context(), &eks.ListNodegroupsInput{ClusterName: aws.String("demo"), NextToken: one.NextToken})
	if err != nil || !slices.Equal(rest.Nodegroups, []string{"b"}) || rest.NextToken != nil {
		t.Errorf("%+v, %v", rest, err)
	}
	a, err := client.DescribeNodegroup(t.Context(), &eks.DescribeNodegroupInput{ClusterName: aws.String("demo"), NodegroupName: aws.String("a")})
	if err != nil || *a.Nodegroup.NodeRole != dev || a.Nodegroup.AmiType != "BOTTLEROCKET_x86_64" {
		t.Errorf("%+v, %v", a, err)
	}
	_, err = client.DescribeNodegroup(t.Context(), &eks.DescribeNodegroupInput{ClusterName: aws.String("demo"), NodegroupName: aws.String("c")})
	wantCode(t, err, "ResourceNotFoundException", 404)
	wantMessage(t, err, "No node group found for name: c.")
}
