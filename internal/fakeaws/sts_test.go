package fakeaws_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestGetCallerIdentity(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	for _, arn := range []string{"arn:aws:iam::" + account + ":root"} {
		root, err := c.AddAccessKey(arn, fakeaws.Key{})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.whoami(t, root); *got.Arn != arn || *got.UserId != account || *got.Account != account {
			t.Errorf("root is %s %s %s", *got.Arn, *got.UserId, *got.Account)
		}
	}
	got := c.whoami(t, c.alice)
	if *got.Arn != "arn:aws:iam::111122223333:user/ops/alice" || *got.Account != account {
		t.Errorf("alice is %s in %s", *got.Arn, *got.Account)
	}
	if !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(*got.UserId) {
		t.Errorf("user id %q", *got.UserId)
	}
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(c.alice.AccessKeyID) || len(c.alice.SecretAccessKey) != 40 {
		t.Errorf("access key %q, secret of %d characters", c.alice.AccessKeyID, len(c.alice.SecretAccessKey))
	}
}

func TestOtherPartition(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	const beijing = "444455556666"
	if err := c.AddAccount(beijing, "aws-cn"); err != nil {
		t.Fatal(err)
	}
	li, err := c.AddUser(fakeaws.User{Account: beijing, Name: "li"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := sts.NewFromConfig(c.sdk(li, "cn-north-1")).GetCallerIdentity(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Arn != "arn:aws-cn:iam::444455556666:user/li" {
		t.Errorf("li is %s", *out.Arn)
	}
	_, err = sts.NewFromConfig(c.sdk(li, "us-east-1")).GetCallerIdentity(context.Background(), nil)
	wantCode(t, err, "InvalidClientTokenId", 403)
}

func TestAssumeRole(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	c := newCloud(t, fakeaws.Config{Now: at(now), SessionTokenBytes: 4096})
	first := c.role(t, fakeaws.Role{Name: "first", Path: "/deep/er/", MaxSessionDuration: 2 * time.Hour})
	key, out, err := c.assume(c.alice, &sts.AssumeRoleInput{RoleArn: &first, RoleSessionName: aws.String("alice@laptop"), DurationSeconds: aws.Int32(7200)})
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:sts::111122223333:assumed-role/first/alice@laptop"
	if *out.AssumedRoleUser.Arn != arn || !regexp.MustCompile(`^AROA[A-Z2-7]{17}:alice@laptop$`).MatchString(*out.AssumedRoleUser.AssumedRoleId) {
		t.Errorf("assumed %s %s", *out.AssumedRoleUser.Arn, *out.AssumedRoleUser.AssumedRoleId)
	}
	if !out.Credentials.Expiration.Equal(now.Add(2 * time.Hour)) {
		t.Errorf("expires %s, want %s", out.Credentials.Expiration, now.Add(2*time.Hour))
	}
	if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(key.AccessKeyID) || len(key.SessionToken) != 4096 {
		t.Errorf("key %s, token of %d bytes", key.AccessKeyID, len(key.SessionToken))
	}
	if got := c.whoami(t, key); *got.Arn != arn || *got.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("the session is %s %s", *got.Arn, *got.UserId)
	}

	second := c.role(t, fakeaws.Role{Name: "second", Account: "444455556666", MaxSessionDuration: 12 * time.Hour, TrustPolicy: trust(`"AWS":"` + first + `"`)})
	chained, _, err := c.assume(key, &sts.AssumeRoleInput{RoleArn: &second, RoleSessionName: aws.String("hop")})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.whoami(t, chained); *got.Arn != "arn:aws:sts::444455556666:assumed-role/second/hop" || *got.Account != "444455556666" {
		t.Errorf("the chained session is %s in %s", *got.Arn, *got.Account)
	}
	_, _, err = c.assume(key, &sts.AssumeRoleInput{RoleArn: &second, RoleSessionName: aws.String("hop"), DurationSeconds: aws.Int32(3601)})
	wantCode(t, err, "ValidationError", 400)
	wantMessage(t, err, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
}

// trust is a trust policy of one statement, with conditions if there are any.
func trust(principal string, conditions ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{%s},"Action":"sts:AssumeRole","Condition":{%s}}}`,
		principal, strings.Join(conditions, ","))
}

func TestAssumeRoleRefused(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	role := c.role(t, fakeaws.Role{Name: "ops", TrustPolicy: trust(`"AWS":"arn:aws:iam::111122223333:user/ops/alice"`, `"StringEquals":{"sts:ExternalId":"secret-word"}`)})
	withMFA := c.role(t, fakeaws.Role{Name: "mfa", TrustPolicy: trust(`"AWS":"`+account+`"`, `"Bool":{"aws:MultiFactorAuthPresent":true}`)})
	nobody := c.role(t, fakeaws.Role{Name: "nobody", TrustPolicy: trust(`"Service":"ec2.amazonaws.com"`)})
	open := c.role(t, fakeaws.Role{Name: "open"})
	good := sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("s1"), ExternalId: aws.String("secret-word")}
	bob, err := c.AddUser(fakeaws.User{Account: account, Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	carol, err := c.AddUser(fakeaws.User{Account: account, Name: "carol", Deny: []string{"sts:*"}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.AddAccessKey("arn:aws:iam::"+account+":root", fakeaws.Key{})
	if err != nil {
		t.Fatal(err)
	}
	denied := "User: arn:aws:iam::111122223333:user/ops/alice is not authorized to perform: sts:AssumeRole on resource: "
	mfa := func(in *sts.AssumeRoleInput, serial, code *string) {
		in.RoleArn, in.ExternalId, in.SerialNumber, in.TokenCode = &withMFA, nil, serial, code
	}
	serial := aws.String("arn:aws:iam::111122223333:mfa/alice")
	tests := []struct {
		name    string
		caller  fakeaws.Key
		mutate  func(*sts.AssumeRoleInput)
		code    string // "" where it is let in
		message string
	}{
		{"nothing wrong", c.alice, func(*sts.AssumeRoleInput) {}, "", ""},
		{"no external id", c.alice, func(in *sts.AssumeRoleInput) { in.ExternalId = nil }, "AccessDenied", denied + role},
		{"other external id", c.alice, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("Secret-word") }, "AccessDenied", denied + role},
		{"other user", bob, func(*sts.AssumeRoleInput) {}, "AccessDenied", ""},
		{"role open to the account", bob, func(in *sts.AssumeRoleInput) { in.RoleArn = &open }, "", ""},
		{"the same, denied to the user", carol, func(in *sts.AssumeRoleInput) { in.RoleArn = &open }, "AccessDenied", ""},
		{"root", root, func(*sts.AssumeRoleInput) {}, "AccessDenied", "Roles may not be assumed by root accounts."},
		{"no such role", c.alice, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String(role + "x") }, "AccessDenied", denied + role + "x"},
		{"a service's role", c.alice, func(in *sts.AssumeRoleInput) { in.RoleArn = &nobody }, "AccessDenied", denied + nobody},
		{"a user's ARN", c.alice, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::111122223333:user/bob") }, "AccessDenied", ""},
		{"short role ARN", c.alice, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("ops") }, "ValidationError",
			"1 validation error detected: Value 'ops' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"},
		{"short session name", c.alice, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("s") }, "ValidationError", ""},
		{"long session name", c.alice, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String(strings.Repeat("s", 65)) }, "ValidationError", ""},
		{"slash in session name", c.alice, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a/b") }, "ValidationError",
			`1 validation error detected: Value 'a/b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{"too short", c.alice, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError", ""},
		{"shortest", c.alice, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) }, "", ""},
		{"longer than the role's", c.alice, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"longer than any", c.alice, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(43201) }, "ValidationError", ""},
		{"session policy", c.alice, func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "ValidationError", ""},
		{"session tags", c.alice, func(in *sts.AssumeRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		}, "ValidationError", ""},
		{"mfa", c.alice, func(in *sts.AssumeRoleInput) { mfa(in, serial, aws.String("123456")) }, "", ""},
		{"mfa missing", c.alice, func(in *sts.AssumeRoleInput) { mfa(in, nil, nil) }, "AccessDenied", denied + withMFA},
		{"mfa without code", c.alice, func(in *sts.AssumeRoleInput) { mfa(in, serial, nil) }, "AccessDenied",
			"MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."},
		{"mfa with wrong code", c.alice, func(in *sts.AssumeRoleInput) { mfa(in, serial, aws.String("654321")) }, "AccessDenied",
			"MultiFactorAuthentication failed with invalid MFA one time pass code."},
		{"mfa of another device", c.alice, func(in *sts.AssumeRoleInput) { mfa(in, aws.String(*serial+"2"), aws.String("123456")) }, "AccessDenied",
			"MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."},
		{"another's mfa", bob, func(in *sts.AssumeRoleInput) { mfa(in, serial, aws.String("123456")) }, "AccessDenied", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := good
			tt.mutate(&in)
			_, _, err := c.assume(tt.caller, &in)
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantCode(t, err, tt.code, map[string]int{"AccessDenied": 403, "ValidationError": 400}[tt.code])
			if tt.message != "" {
				wantMessage(t, err, tt.message)
			}
		})
	}
}

func TestSessionsEnd(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	role := c.role(t, fakeaws.Role{Name: "ops"})
	assume := func() fakeaws.Key {
		key, _, err := c.assume(c.alice, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("s1")})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	code := func(k fakeaws.Key, code string) {
		t.Helper()
		_, err := c.sts(k).GetCallerIdentity(context.Background(), nil)
		wantCode(t, err, code, 403)
	}
	ended := assume()
	if err := c.ExpireSession(ended.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	code(ended, "ExpiredToken")

	removed := assume()
	if err := c.RemoveKey(removed.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	code(removed, "InvalidClientTokenId")

	orphan := assume()
	before := *c.whoami(t, orphan).UserId
	if err := c.RemovePrincipal(role); err != nil {
		t.Fatal(err)
	}
	code(orphan, "InvalidClientTokenId")
	c.role(t, fakeaws.Role{Name: "ops"})
	if after := *c.whoami(t, assume()).UserId; after == before {
		t.Errorf("the role made again has the old id %s", after)
	}
	if err := c.ExpireSession(c.alice.AccessKeyID); err == nil {
		t.Error("a user's key was expired")
	}
}

func TestAddSession(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	node := c.role(t, fakeaws.Role{Name: "node", TrustPolicy: trust(`"Service":"ec2.amazonaws.com"`)})
	key, err := c.AddSession(fakeaws.Session{RoleARN: node, Name: "i-0123456789abcdef0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := *c.whoami(t, key).Arn; got != "arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0" {
		t.Errorf("the node is %s", got)
	}
	given := fakeaws.Key{AccessKeyID: "ASIAEXAMPLEEXAMPLE00", SecretAccessKey: "s", SessionToken: "t"}
	if _, err := c.AddSession(fakeaws.Session{RoleARN: node, Name: "old", Key: given, Expires: time.Now().Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	_, err = c.sts(given).GetCallerIdentity(context.Background(), nil)
	wantCode(t, err, "ExpiredToken", 403)
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	c := newCloud(t, fakeaws.Config{Observe: func(fakeaws.Record) {}})
	role := c.role(t, fakeaws.Role{Name: "ops"})
	var group sync.WaitGroup
	const each = 8
	for i := range each {
		group.Go(func() {
			key, _, err := c.assume(c.alice, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String(fmt.Sprintf("s%d", i))})
			if err != nil {
				t.Error(err)
				return
			}
			if out, err := c.sts(key).GetCallerIdentity(context.Background(), nil); err != nil || !strings.HasSuffix(*out.Arn, fmt.Sprintf("/ops/s%d", i)) {
				t.Errorf("session %d is %v, %v", i, out, err)
			}
			if err := c.ExpireSession(key.AccessKeyID); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			c.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Code: "Throttling", Times: 1})
			c.SetSkew(time.Duration(i) * time.Second)
			c.ClearFaults()
			name := fmt.Sprintf("c%d", i)
			if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: name}); err != nil {
				t.Error(err)
			}
			if err := c.RemoveCluster(account, "eu-west-1", name); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if counts := c.Counts(); counts[fakeaws.AssumeRole] != each || counts[fakeaws.GetCallerIdentity] != each {
		t.Errorf("counts %v", counts)
	}
}
