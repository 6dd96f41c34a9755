package fakeaws_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestListClusters(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	var want []string
	for i := range 105 {
		name := fmt.Sprintf("c%03d", i)
		want = append(want, name)
		if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []fakeaws.Cluster{
		{Account: account, Region: "us-east-1", Name: "elsewhere"},
		{Account: "444455556666", Region: "eu-west-1", Name: "foreign"},
		{Account: account, Region: "eu-west-1", Name: "zzz", Connector: &fakeaws.Connector{Provider: "OTHER"}},
	} {
		if err := c.AddCluster(other); err != nil {
			t.Fatal(err)
		}
	}
	for _, perPage := range []int32{0, 1, 100} {
		var got []string
		in := &eks.ListClustersInput{}
		if perPage > 0 {
			in.MaxResults = &perPage
		}
		pages := eks.NewListClustersPaginator(c.eks(c.alice), in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if perPage > 0 && len(page.Clusters) > int(perPage) {
				t.Fatalf("a page of %d, asked for %d", len(page.Clusters), perPage)
			}
			got = append(got, page.Clusters...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %d a page, got %d clusters: %v", perPage, len(got), got)
		}
	}
	all, err := c.eks(c.alice).ListClusters(context.Background(), &eks.ListClustersInput{Include: []string{"all"}, NextToken: aws.String("YWZ0ZXI6YzEwNA")})
	if err != nil || !slices.Equal(all.Clusters, []string{"zzz"}) {
		t.Errorf("registered clusters: %v, %v", all, err)
	}
	for _, in := range []*eks.ListClustersInput{
		{MaxResults: aws.Int32(101)},
		{MaxResults: aws.Int32(-1)},
		{NextToken: aws.String("bm9uc2Vuc2U")},
		{NextToken: aws.String("%")},
	} {
		_, err := c.eks(c.alice).ListClusters(context.Background(), in)
		wantCode(t, err, "InvalidParameterException", 400)
	}
}

func TestDescribeCluster(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, k := range []fakeaws.Cluster{
		{Account: account, Region: "eu-west-1", Name: "demo", Endpoint: "https://127.0.0.1:6443", CAData: "bm8gUEVN", Version: "1.36",
			Issuer: "https://oidc.example", IPv4CIDR: "10.0.0.0/16", AuthenticationMode: "CONFIG_MAP", Tags: map[string]string{"env": "dev"}, CreatedAt: made},
		{Account: account, Region: "eu-west-1", Name: "young", Status: "CREATING"},
		{Account: account, Region: "eu-west-1", Name: "outpost", ID: "0f0e0d0c-0000-4000-8000-000000000000", OutpostARNs: []string{"arn:aws:outposts:eu-west-1:111122223333:outpost/op-0"}},
		{Account: account, Region: "eu-west-1", Name: "far", Connector: &fakeaws.Connector{Provider: "GKE"}},
	} {
		if err := c.AddCluster(k); err != nil {
			t.Fatal(err)
		}
	}
	describe := func(name string) *ekstypes.Cluster {
		t.Helper()
		out, err := c.eks(c.alice).DescribeCluster(context.Background(), &eks.DescribeClusterInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		return out.Cluster
	}
	k := describe("demo")
	if *k.Arn != "arn:aws:eks:eu-west-1:111122223333:cluster/demo" || *k.Endpoint != "https://127.0.0.1:6443" || *k.CertificateAuthority.Data != "bm8gUEVN" ||
		*k.Version != "1.36" || k.Status != ekstypes.ClusterStatusActive || k.AccessConfig.AuthenticationMode != ekstypes.AuthenticationModeConfigMap ||
		!k.CreatedAt.Equal(made) || k.Tags["env"] != "dev" || *k.Identity.Oidc.Issuer != "https://oidc.example" || *k.KubernetesNetworkConfig.ServiceIpv4Cidr != "10.0.0.0/16" {
		t.Errorf("demo is %+v", k)
	}
	if k := describe("young"); k.Status != ekstypes.ClusterStatusCreating || k.Endpoint != nil || k.CertificateAuthority.Data != nil {
		t.Errorf("young is %+v", k)
	}
	if k := describe("outpost"); *k.Id != "0f0e0d0c-0000-4000-8000-000000000000" || len(k.OutpostConfig.OutpostArns) != 1 {
		t.Errorf("outpost is %+v", k)
	}
	if k := describe("far"); *k.ConnectorConfig.Provider != "GKE" || k.Endpoint != nil {
		t.Errorf("far is %+v", k)
	}

	_, err := c.eks(c.alice).DescribeCluster(context.Background(), &eks.DescribeClusterInput{Name: aws.String("gone")})
	wantCode(t, err, "ResourceNotFoundException", 404)
	wantMessage(t, err, "No cluster found for name: gone.")
	var typed *ekstypes.ResourceNotFoundException
	if !errors.As(err, &typed) {
		t.Errorf("%v is not the SDK's own type", err)
	}
	// A name that is a path must stay a name.
	_, err = c.eks(c.alice).DescribeCluster(context.Background(), &eks.DescribeClusterInput{Name: aws.String("a/../demo x")})
	wantCode(t, err, "ResourceNotFoundException", 404)
}

func TestEKSRefusals(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	reader, err := c.AddUser(fakeaws.User{Account: account, Name: "reader", Deny: []string{"eks:describe*"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.eks(reader).ListClusters(context.Background(), nil); err != nil {
		t.Error(err)
	}
	describe := func(k fakeaws.Key) error {
		_, err := c.eks(k).DescribeCluster(context.Background(), &eks.DescribeClusterInput{Name: aws.String("demo")})
		return err
	}
	err = describe(reader)
	wantCode(t, err, "AccessDeniedException", 403)
	wantMessage(t, err, "User: arn:aws:iam::111122223333:user/reader is not authorized to perform: eks:DescribeCluster on resource: arn:aws:eks:eu-west-1:111122223333:cluster/demo with an explicit deny in an identity-based policy")

	wrong := c.alice
	wrong.SecretAccessKey += "x"
	wantCode(t, describe(wrong), "InvalidSignatureException", 403)
	wantCode(t, describe(fakeaws.Key{AccessKeyID: "AKIANOBODYNOBODYNOBO", SecretAccessKey: "x"}), "UnrecognizedClientException", 403)

	role := c.role(t, fakeaws.Role{Name: "ops"})
	session, err := c.AddSession(fakeaws.Session{RoleARN: role, Name: "s1", Expires: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, describe(session), "ExpiredTokenException", 403)
}

func TestGetRole(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	c := newCloud(t, fakeaws.Config{Now: at(now)})
	policy := trust(`"AWS":"*"`, `"StringEquals":{"sts:ExternalId":"a b+c/d"}`)
	arn := c.role(t, fakeaws.Role{Name: "Ops", Path: "/deep/", TrustPolicy: policy, MaxSessionDuration: 3 * time.Hour})
	get := func(k fakeaws.Key, name string) (*iamtypes.Role, error) {
		out, err := c.iam(k).GetRole(context.Background(), &iam.GetRoleInput{RoleName: &name})
		if err != nil {
			return nil, err
		}
		return out.Role, nil
	}
	role, err := get(c.alice, "ops")
	if err != nil {
		t.Fatal(err)
	}
	document, err := url.QueryUnescape(*role.AssumeRolePolicyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if *role.Arn != arn || *role.RoleName != "Ops" || *role.Path != "/deep/" || document != policy || *role.MaxSessionDuration != 10800 || !role.CreateDate.Equal(now) {
		t.Errorf("got %+v, document %s", role, document)
	}
	session, err := c.AddSession(fakeaws.Session{RoleARN: arn, Name: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := *c.whoami(t, session).UserId; got != *role.RoleId+":s1" {
		t.Errorf("a session is %s, its role %s", got, *role.RoleId)
	}
	_, err = get(c.alice, "nobody")
	wantCode(t, err, "NoSuchEntity", 404)
	wantMessage(t, err, "The role with name nobody cannot be found.")
	_, err = get(c.alice, "a/b")
	wantCode(t, err, "ValidationError", 400)
	denied, err := c.AddUser(fakeaws.User{Account: account, Name: "d", Deny: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(denied, "ops")
	wantCode(t, err, "AccessDenied", 403)
	c.whoami(t, denied) // which nothing can deny
}
