package identity_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/identity"
)

var update = flag.Bool("update", false, "write the golden files")

var variants = []identity.STSVariant{{}, {FIPS: true}, {DualStack: true}, {FIPS: true, DualStack: true}}

func sdkHost(t *testing.T, region string, v identity.STSVariant) string {
	t.Helper()
	e, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sts.EndpointParameters{
		Region: aws.String(region), UseFIPS: aws.Bool(v.FIPS), UseDualStack: aws.Bool(v.DualStack),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e.URI.Host
}

// The golden file is what people read in a review when the table changes.
func TestSTSTableIsGolden(t *testing.T) {
	var b strings.Builder
	for _, e := range identity.STSEndpoints() {
		fmt.Fprintf(&b, "%s %s %s\n", e.Partition, e.Region, e.Host)
	}
	const file = "testdata/sts_hosts.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table of STS hosts is not %s; if the change is meant, run with -update", file)
	}
}

func TestSTSHostsAreTheSDKs(t *testing.T) {
	regions := map[string]bool{}
	for _, e := range identity.STSEndpoints() {
		regions[e.Region] = true
	}
	if len(regions) < 45 {
		t.Fatalf("only %d regions in the table", len(regions))
	}
	for region := range regions {
		for _, v := range variants {
			got, err := identity.STSEndpointOf(region, v)
			if err != nil {
				t.Fatal(err)
			}
			if want := sdkHost(t, region, v); got.Host != want || got.Region != region {
				t.Errorf("STSEndpointOf(%s, %+v) = %+v, the SDK says %s", region, v, got, want)
			}
			if back, ok := identity.LookupSTSHost(got.Host); !ok || back.Region != region || back.Partition != got.Partition {
				t.Errorf("LookupSTSHost(%s) = %+v, %t", got.Host, back, ok)
			}
		}
	}
}

func TestRegionNewerThanTheTable(t *testing.T) {
	for _, region := range []string{"eu-west-9", "us-gov-south-7", "cn-south-3", "us-iso-north-2", "us-isob-x-1", "eu-isoe-east-1", "us-isof-west-1", "eusc-de-west-2"} {
		for _, v := range variants {
			got, err := identity.STSEndpointOf(region, v)
			if err != nil {
				t.Fatal(err)
			}
			if want := sdkHost(t, region, v); got.Host != want {
				t.Errorf("STSEndpointOf(%s, %+v) = %s, the SDK says %s", region, v, got.Host, want)
			}
			if _, ok := identity.LookupSTSHost(got.Host); ok {
				t.Errorf("%s is in the table", got.Host)
			}
		}
	}
	hosts, err := identity.STSEndpointsOfRegion("us-gov-south-7")
	if err != nil || len(hosts) != 3 {
		t.Errorf("a GovCloud region has three hosts, got %v, %v", hosts, err)
	}
}

func TestGlobalHost(t *testing.T) {
	for _, region := range []string{"", "aws-global"} {
		e, err := identity.STSEndpointOf(region, identity.STSVariant{FIPS: true})
		if err != nil || e != (identity.STSEndpoint{Host: "sts.amazonaws.com", Region: "us-east-1", Partition: "aws"}) {
			t.Errorf("STSEndpointOf(%q) = %+v, %v", region, e, err)
		}
	}
}

func TestLookupSTSHostRefusesLookAlikes(t *testing.T) {
	for _, host := range []string{
		"", "sts", "amazonaws.com", "sts.amazonaws.com.", "STS.amazonaws.com", "sts.amazonaws.com:443", "sts.evil.com",
		"sts.us-east-1.amazonaws.com.evil.com", "sts.us-east-1.amazonaws.com.", "sts.us-east-1.amazonaws.com:443",
		"sts.us-east-1.amazonaws.COM", "sts.global.amazonaws.com", "x.global.amazonaws.com", "sts.s3.amazonaws.com",
		"sts.nope-1.amazonaws.com", "sts.eu-west-9.amazonaws.com", "sts.amazonaws.com.cn", "127.0.0.1", "[::1]",
		"ѕts.amazonaws.com", "sts\u3002amazonaws.com", "xn--ts-6hc.amazonaws.com", "sts.aws-global.amazonaws.com",
		"sts-fips.us-gov-west-1.amazonaws.com", "s\u017fs.amazonaws.com",
	} {
		if e, ok := identity.LookupSTSHost(host); ok {
			t.Errorf("LookupSTSHost(%q) = %+v", host, e)
		}
	}
}

func TestPartitionOfRegion(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "aws", "mx-central-1": "aws", "us-gov-west-1": "aws-us-gov", "cn-north-1": "aws-cn",
		"us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e",
		"us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc",
	} {
		if p, err := identity.PartitionOfRegion(region); err != nil || p.ID != want {
			t.Errorf("PartitionOfRegion(%s) = %s, %v", region, p.ID, err)
		}
	}
	for _, region := range []string{
		"", "us", "us-", "us-east", "us-east-", "us-east-1a", "us-EAST-1", "us-east-1.evil.com", "us-east-1/", "us-east-1\n",
		"evil.com/#", "us-east_x-1", "xx-east-1", "us--1", "us-east-1-1", "global", "aws-global", "us-east-１",
		"us-" + strings.Repeat("a", 60) + "-1",
	} {
		_, err := identity.PartitionOfRegion(region)
		var unknown *identity.UnknownRegionError
		if !errors.As(err, &unknown) || unknown.Region != region {
			t.Errorf("PartitionOfRegion(%q): %v", region, err)
		}
		if region == "" || region == "aws-global" {
			continue
		}
		if e, err := identity.STSEndpointOf(region, identity.STSVariant{}); err == nil {
			t.Errorf("STSEndpointOf(%q) = %+v", region, e)
		}
	}
}
