package fakeaws_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// signed sends a form of the query protocol, signed by the AWS SDK's own signer.
func (c *cloud) signed(t *testing.T, k fakeaws.Key, service, region, form string, header http.Header) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	digest := sha256.Sum256([]byte(form))
	credentials := aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(digest[:]), service, region, time.Now()); err != nil {
		t.Fatal(err)
	}
	response := get(t, r)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestDescribeInstances(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	role := c.role(t, fakeaws.Role{Name: "node"})
	profile, err := c.AddInstanceProfile(fakeaws.InstanceProfile{Account: account, Name: "node", RoleARN: role})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		in := fakeaws.Instance{Account: account, Region: "eu-west-1", ID: fmt.Sprintf("i-%017x", i), PrivateDNSName: fmt.Sprintf("ip-10-0-0-%d.internal", i), Tags: map[string]string{"n": fmt.Sprint(i)}}
		if i == 0 {
			in.ProfileARN, in.State, in.PrivateDNSName = profile, "stopped", ""
		}
		if err := c.AddInstance(in); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []fakeaws.Instance{
		{Account: account, Region: "us-east-1", ID: "i-0000000a"}, {Account: "444455556666", Region: "eu-west-1", ID: "i-0000000b"},
	} {
		if err := c.AddInstance(other); err != nil {
			t.Fatal(err)
		}
	}
	type answer struct {
		XMLName   xml.Name
		Instances []struct {
			ID      string `xml:"instanceId"`
			DNSName string `xml:"privateDnsName"`
			Profile string `xml:"iamInstanceProfile>arn"`
		} `xml:"reservationSet>item>instancesSet>item"`
		NextToken string `xml:"nextToken"`
		Code      string `xml:"Errors>Error>Code"`
		RequestID string `xml:"RequestID"`
	}
	ask := func(k fakeaws.Key, params string) (int, answer) {
		t.Helper()
		status, body := c.signed(t, k, "ec2", "eu-west-1", "Action=DescribeInstances&Version=2016-11-15"+params, nil)
		var a answer
		if err := xml.Unmarshal([]byte(body), &a); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return status, a
	}
	var ids []string
	for token, pages := "", 0; ; pages++ {
		status, a := ask(c.alice, "&MaxResults=5"+token)
		if status != http.StatusOK || a.XMLName.Space != "http://ec2.amazonaws.com/doc/2016-11-15/" || len(a.Instances) > 5 || pages > 3 {
			t.Fatalf("page %d: %d %+v", pages, status, a)
		}
		for _, i := range a.Instances {
			ids = append(ids, i.ID)
		}
		if a.NextToken == "" {
			break
		}
		token = "&NextToken=" + a.NextToken
	}
	if len(ids) != 12 || !slices.IsSorted(ids) {
		t.Errorf("instances %v", ids)
	}
	first, second := "i-00000000000000000", "i-00000000000000001"
	for params, want := range map[string][]string{
		"&InstanceId.1=" + second + "&InstanceId.2=" + first:                                                   {first, second},
		"&Filter.1.Name=instance-state-name&Filter.1.Value.1=stopped":                                          {first},
		"&Filter.1.Name=private-dns-name&Filter.1.Value.1=ip-10-0-0-1.*":                                       {second},
		"&Filter.1.Name=tag:n&Filter.1.Value.1=0&Filter.1.Value.2=1":                                           {first, second},
		"&Filter.1.Name=tag:n&Filter.1.Value.1=0&Filter.2.Name=instance-state-name&Filter.2.Value.1=running":   nil,
		"&InstanceId.1=" + first + "&Filter.1.Name=iam-instance-profile.arn&Filter.1.Value.1=" + profile:       {first},
		"&InstanceId.1=" + second + "&Filter.1.Name=iam-instance-profile.arn&Filter.1.Value.1=" + profile:      nil,
		"&Filter.1.Name=instance-id&Filter.1.Value.1=" + second + "&Filter.2.Name=tag:x&Filter.2.Value.1=none": nil,
	} {
		var got []string
		status, a := ask(c.alice, params)
		for _, i := range a.Instances {
			got = append(got, i.ID)
			if i.ID == first && (i.Profile != profile || i.DNSName != "") {
				t.Errorf("the first is %+v", i)
			}
		}
		if status != http.StatusOK || !slices.Equal(got, want) {
			t.Errorf("%s: %d %v", params, status, got)
		}
	}
	denied, err := c.AddUser(fakeaws.User{Account: account, Name: "d", Deny: []string{"ec2:*"}})
	if err != nil {
		t.Fatal(err)
	}
	wrong := c.alice
	wrong.SecretAccessKey += "x"
	for _, tt := range []struct {
		key    fakeaws.Key
		params string
		status int
		code   string
	}{
		{c.alice, "&InstanceId.1=i-00000000000000099", 400, "InvalidInstanceID.NotFound"},
		{c.alice, "&InstanceId.1=i-0000000a", 400, "InvalidInstanceID.NotFound"},
		{c.alice, "&InstanceId.1=node", 400, "InvalidInstanceID.Malformed"},
		{c.alice, "&InstanceId.1=" + first + "&MaxResults=5", 400, "InvalidParameterCombination"},
		{c.alice, "&MaxResults=4", 400, "InvalidParameterValue"},
		{c.alice, "&Filter.1.Name=nonsense&Filter.1.Value.1=x", 400, "InvalidParameterValue"},
		{denied, "", 403, "UnauthorizedOperation"},
		{wrong, "", 403, "SignatureDoesNotMatch"},
		{fakeaws.Key{AccessKeyID: "AKIANOBODYNOBODYNOBO", SecretAccessKey: "x"}, "", 401, "AuthFailure"},
	} {
		if status, a := ask(tt.key, tt.params); status != tt.status || a.Code != tt.code || a.RequestID == "" {
			t.Errorf("%s %s: %d %+v, want %d %s", tt.key, tt.params, status, a, tt.status, tt.code)
		}
	}
	c.SetFault(fakeaws.DescribeInstances, fakeaws.Fault{Code: "Throttling"})
	if status, a := ask(c.alice, ""); status != http.StatusServiceUnavailable || a.Code != "RequestLimitExceeded" {
		t.Errorf("throttled: %d %+v", status, a)
	}
}
