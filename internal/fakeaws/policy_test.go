package fakeaws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const userAlice = `"AWS":"arn:aws:iam::111122223333:user/ops/alice"`

func TestTrustPolicies(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	hop := c.role(t, fakeaws.Role{Name: "hop", Path: "/deep/"})
	hopKey, err := c.AddSession(fakeaws.Session{RoleARN: hop, Name: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	deny := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*"},{"Effect":"Deny","Principal":{` + principal + `},"Action":["sts:AssumeRole"]}]}`
	}
	tests := []struct {
		name, policy  string
		alice, viaHop bool
	}{
		{"default", "", true, true},
		{"anyone", strings.Replace(trust("X"), "{X}", `"*"`, 1), true, true},
		{"anyone of type AWS", trust(`"AWS":"*"`), true, true},
		{"account id", trust(`"AWS":"111122223333"`), true, true},
		{"account root", trust(`"AWS":["arn:aws:iam::444455556666:root","arn:aws:iam::111122223333:root"]`), true, true},
		{"another account", trust(`"AWS":"444455556666"`), false, false},
		{"another partition", trust(`"AWS":"arn:aws-cn:iam::111122223333:root"`), false, false},
		{"user", trust(userAlice), true, false},
		{"user without its path", trust(`"AWS":"arn:aws:iam::111122223333:user/alice"`), false, false},
		{"part of a name", trust(`"AWS":"arn:aws:iam::111122223333:user/*"`), false, false},
		{"role", trust(`"AWS":"` + hop + `"`), false, true},
		{"role session", trust(`"AWS":"arn:aws:sts::111122223333:assumed-role/hop/s1"`), false, true},
		{"another session of the role", trust(`"AWS":"arn:aws:sts::111122223333:assumed-role/hop/s2"`), false, false},
		{"service", trust(`"Service":"*"`), false, false},
		{"federated", trust(`"Federated":"arn:aws:iam::111122223333:root"`), false, false},
		{"another action", strings.Replace(trust(`"AWS":"*"`), "sts:AssumeRole", "sts:AssumeRoleWithSAML", 1), false, false},
		{"action in other case", strings.Replace(trust(`"AWS":"*"`), "sts:AssumeRole", "STS:assume*", 1), true, true},
		{"denied user", deny(userAlice), false, true},
		{"denied account", deny(`"AWS":"111122223333"`), false, false},
		{"principal ARN", trust(`"AWS":"*"`, `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/deep/*"}`), false, true},
		{"principal ARN, negated", trust(`"AWS":"*"`, `"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/deep/*"}`), true, false},
		{"one of several", trust(`"AWS":"*"`, `"StringEquals":{"aws:PrincipalAccount":["444455556666","111122223333"]}`), true, true},
		{"none of several", trust(`"AWS":"*"`, `"StringNotEquals":{"aws:PrincipalAccount":["444455556666","111122223333"]}`), false, false},
		{"all conditions", trust(`"AWS":"*"`, `"StringEquals":{"sts:RoleSessionName":"s9"}`, `"StringLike":{"aws:userid":"AROA*"}`), false, true},
		{"session name", trust(`"AWS":"*"`, `"StringEquals":{"sts:RoleSessionName":"other"}`), false, false},
		{"absent", trust(`"AWS":"*"`, `"StringEquals":{"aws:username":"alice"}`), true, false},
		{"absent, negated", trust(`"AWS":"*"`, `"StringNotEquals":{"aws:username":"alice"}`), false, true},
		{"absent, IfExists", trust(`"AWS":"*"`, `"StringEqualsIfExists":{"aws:username":"bob"}`), false, true},
		{"MFA where it is known", trust(`"AWS":"*"`, `"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}`), true, false},
		{"no MFA", trust(`"AWS":"*"`, `"Bool":{"aws:MultiFactorAuthPresent":"false"}`), false, true},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			role := c.role(t, fakeaws.Role{Name: fmt.Sprintf("r%d", i), TrustPolicy: tt.policy})
			for _, caller := range []struct {
				key  fakeaws.Key
				want bool
			}{{c.alice, tt.alice}, {hopKey, tt.viaHop}} {
				_, _, err := c.assume(caller.key, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("s9")})
				if caller.want && err != nil {
					t.Errorf("%s: %v", caller.key, err)
				}
				if !caller.want {
					wantCode(t, err, "AccessDenied", 403)
				}
			}
		})
	}
}

// A policy that is not understood whole must not be half applied.
func TestTrustPolicyNotUnderstood(t *testing.T) {
	good := trust(userAlice, `"StringEquals":{"sts:ExternalId":"x"}`)
	tests := []struct{ name, from, to string }{
		{"nothing", "", ""},
		{"no JSON", "{", ""},
		{"text after it", good, good + "{}"},
		{"NotPrincipal", "Principal", "NotPrincipal"},
		{"NotAction", "Action", "NotAction"},
		{"Resource", `"Action"`, `"Resource":"*","Action"`},
		{"effect", `"Allow"`, `"allow"`},
		{"no effect", `"Effect":"Allow",`, ``},
		{"no action", `"Action":"sts:AssumeRole",`, ``},
		{"no principal", userAlice, ``},
		{"principal that is a string", "{" + userAlice + "}", `"arn:aws:iam::111122223333:root"`},
		{"operator", "StringEquals", "ForAllValues:StringEquals"},
		{"negation twice", "StringEquals", "StringNotNotEquals"},
		{"negation of Bool", "StringEquals", "NotBool"},
		{"key", "sts:ExternalId", "aws:SourceIp"},
		{"variable", `"x"`, `"${aws:username}"`},
		{"value", `"x"`, `{}`},
		{"null", `"x"`, `[null]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fakeaws.New(fakeaws.Config{})
			_, err := s.AddRole(fakeaws.Role{Account: account, Name: "r", TrustPolicy: strings.Replace(good, tt.from, tt.to, 1)})
			if (err == nil) != (tt.name == "nothing") {
				t.Errorf("got %v", err)
			}
		})
	}
}
