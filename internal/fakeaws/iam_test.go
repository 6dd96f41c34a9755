package fakeaws_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// A role that is deleted and made again by IAM's API is another: it has another id,
// and neither a trust policy that named the old one nor the old one's sessions hold.
func TestRoleMadeAgain(t *testing.T) {
	c, _ := withCluster(t, fakeaws.Config{}, "API")
	client := c.iam(c.alice)
	create := func(name, principal string) string {
		t.Helper()
		out, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust(`"AWS":"` + principal + `"`))})
		if err != nil {
			t.Fatal(err)
		}
		return *out.Role.RoleId
	}
	const hopARN, targetARN = "arn:aws:iam::111122223333:role/hop", "arn:aws:iam::111122223333:role/target"
	assume := func(k fakeaws.Key, arn string) (fakeaws.Key, error) {
		key, _, err := c.assume(k, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("s1")})
		return key, err
	}
	first := create("hop", "111122223333")
	create("target", hopARN)
	old, err := assume(c.alice, hopARN)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := assume(old, targetARN); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("hop")}); err != nil {
		t.Fatal(err)
	}
	second := create("hop", "111122223333")
	if first == second {
		t.Errorf("made again, the role has its old id %s", first)
	}
	_, err = c.sts(old).GetCallerIdentity(t.Context(), nil)
	wantCode(t, err, "InvalidClientTokenId", 403)
	fresh, err := assume(c.alice, hopARN)
	if err != nil {
		t.Fatal(err)
	}
	_, err = assume(fresh, targetARN)
	wantCode(t, err, "AccessDenied", 403)
	out, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("target")})
	if err != nil || !strings.Contains(*out.Role.AssumeRolePolicyDocument, first) || strings.Contains(*out.Role.AssumeRolePolicyDocument, "role%2Fhop") {
		t.Errorf("the trust policy is %v, %v", out, err)
	}
	if _, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: aws.String(trust(`"AWS":"` + hopARN + `"`))}); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(fresh, targetARN); err != nil {
		t.Errorf("trusted again: %v", err)
	}
}

// allow is a policy document that allows actions on a resource.
func allow(resource string, actions ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"%s"}]}`, strings.Join(actions, `","`), resource)
}

// What comes from IAM's API may do nothing until a policy says so: its own, an
// attached one, or its group's.
func TestUserFromIAM(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	admin := c.iam(c.alice)
	name, group := aws.String("carol"), aws.String("ops")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user, err := admin.CreateUser(t.Context(), &iam.CreateUserInput{UserName: name, Path: aws.String("/people/")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	carol := fakeaws.Key{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}
	if got := c.whoami(t, carol); *got.Arn != "arn:aws:iam::111122223333:user/people/carol" || *got.UserId != *user.User.UserId {
		t.Errorf("carol is %s %s", *got.Arn, *got.UserId)
	}
	may := func(want bool, when string) {
		t.Helper()
		_, err := c.eks(carol).ListClusters(t.Context(), nil)
		if want != (err == nil) {
			t.Errorf("%s: %v", when, err)
		}
		if !want {
			wantCode(t, err, "AccessDeniedException", 403)
		}
	}
	may(false, "with nothing")
	must(admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(allow("*", "eks:List*"))}))
	may(true, "with a policy")
	must(admin.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("p")}))
	may(false, "without it")
	must(admin.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
	may(true, "as an administrator")
	must(admin.DetachUserPolicy(t.Context(), &iam.DetachUserPolicyInput{UserName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))
	must(admin.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: group}))
	must(admin.PutGroupPolicy(t.Context(), &iam.PutGroupPolicyInput{GroupName: group, PolicyName: aws.String("p"), PolicyDocument: aws.String(allow("*", "eks:*"))}))
	may(false, "beside the group")
	must(admin.AddUserToGroup(t.Context(), &iam.AddUserToGroupInput{GroupName: group, UserName: name}))
	may(true, "in the group")
	must(admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("no"), PolicyDocument: aws.String(strings.Replace(allow("*", "eks:ListClusters"), "Allow", "Deny", 1))}))
	may(false, "denied by a policy of its own")
	must(admin.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("no")}))
	must(admin.RemoveUserFromGroup(t.Context(), &iam.RemoveUserFromGroupInput{GroupName: group, UserName: name}))
	may(false, "out of the group")
	_, err = admin.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: name})
	wantCode(t, err, "DeleteConflict", 409)
	must(admin.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: made.AccessKey.AccessKeyId}))
	must(admin.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: name}))
	_, err = admin.GetUser(t.Context(), &iam.GetUserInput{UserName: name})
	wantCode(t, err, "NoSuchEntity", 404)
}

// A user that was added from Go may do anything until it gets a policy, and what it
// was given is not taken for a policy that was not there.
func TestSeededPermissions(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	bob, err := c.AddUser(fakeaws.User{Account: account, Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	list := func() error { _, err := c.eks(bob).ListClusters(t.Context(), nil); return err }
	if err := list(); err != nil {
		t.Fatal(err)
	}
	in := &iam.PutUserPolicyInput{UserName: aws.String("bob"), PolicyName: aws.String("p"), PolicyDocument: aws.String(allow("*", "iam:GetUser"))}
	if _, err := c.iam(c.alice).PutUserPolicy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	wantCode(t, list(), "AccessDeniedException", 403)
	if _, err := c.iam(c.alice).DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: aws.String("bob"), PolicyName: aws.String("p")}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, list(), "AccessDeniedException", 403)

	dave, err := c.AddUser(fakeaws.User{Account: account, Name: "dave"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddGroup(fakeaws.Group{Account: account, Name: "readers", Policies: map[string]string{"p": allow("*", "eks:List*")}, Members: []string{"arn:aws:iam::111122223333:user/dave"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.eks(dave).ListClusters(t.Context(), nil); err != nil {
		t.Error(err)
	}
	_, err = c.eks(dave).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("x")})
	wantCode(t, err, "AccessDeniedException", 403)
}

func TestPolicyDocuments(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	const demo = "arn:aws:eks:eu-west-1:111122223333:cluster/demo"
	one := allow(demo, "eks:DescribeCluster")
	for i, tt := range []struct {
		name, document string
		want           bool
	}{
		{"the one action on the one resource", one, true},
		{"another resource", strings.Replace(one, "cluster/demo", "cluster/prod", 1), false},
		{"another region", strings.Replace(one, "eu-west-1", "us-east-1", 1), false},
		{"a wildcard", strings.Replace(one, "cluster/demo", "cluster/d?m*", 1), true},
		{"action in other case", strings.Replace(one, "eks:DescribeCluster", "EKS:describe*", 1), true},
		{"resource in other case", strings.Replace(one, "cluster/demo", "cluster/Demo", 1), false},
		{"NotAction", strings.Replace(one, `"Action":["eks:DescribeCluster"]`, `"NotAction":"iam:*"`, 1), true},
		{"NotAction of this", strings.Replace(one, `"Action"`, `"NotAction"`, 1), false},
		{"NotResource", strings.Replace(one, `"Resource":"`+demo, `"NotResource":"`+demo+`x`, 1), true},
		{"NotResource of this", strings.Replace(one, `"Resource"`, `"NotResource"`, 1), false},
		{"condition", strings.Replace(one, `"Effect"`, `"Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}},"Effect"`, 1), true},
		{"condition that fails", strings.Replace(one, `"Effect"`, `"Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}},"Effect"`, 1), false},
		{"Null of an absent key", strings.Replace(one, `"Effect"`, `"Condition":{"Null":{"aws:MultiFactorAuthPresent":"true"}},"Effect"`, 1), true},
		{"Null of a key that is there", strings.Replace(one, `"Effect"`, `"Condition":{"Null":{"aws:username":true}},"Effect"`, 1), false},
		{"not Null of a key that is there", strings.Replace(one, `"Effect"`, `"Condition":{"Null":{"aws:username":"false"}},"Effect"`, 1), true},
		{"no statement", `{"Version":"2012-10-17","Statement":[]}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := c.AddUser(fakeaws.User{Account: account, Name: fmt.Sprintf("u%d", i), Policies: map[string]string{"p": tt.document}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.eks(key).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("demo")})
			if tt.want != (err == nil) {
				t.Error(err)
			}
		})
	}
	for name, document := range map[string]string{
		"nothing":      "",
		"principal":    strings.Replace(one, `"Effect"`, `"Principal":"*","Effect"`, 1),
		"no resource":  strings.Replace(one, `,"Resource":"`+demo+`"`, ``, 1),
		"both actions": strings.Replace(one, `"Effect"`, `"NotAction":"x","Effect"`, 1),
		"unknown key":  strings.Replace(one, `"Effect"`, `"Condition":{"StringEquals":{"aws:SourceIp":"x"}},"Effect"`, 1),
		"variable":     strings.Replace(one, "cluster/demo", "cluster/${aws:username}", 1),
		"no effect":    strings.Replace(one, "Allow", "allow", 1),
	} {
		_, err := c.iam(c.alice).PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("u0"), PolicyName: aws.String("q"), PolicyDocument: aws.String(document)})
		t.Log(name)
		wantCode(t, err, "MalformedPolicyDocument", 400)
		if _, err := c.AddRole(fakeaws.Role{Account: account, Name: "bad", Policies: map[string]string{"p": document}}); err == nil {
			t.Errorf("%s: a role was added", name)
		}
	}
}

// AssumeRole needs both sides across accounts. In one account, a trust policy that
// names the caller itself suffices; one that names the account does not.
func TestAssumeRoleNeeds(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	const other = "444455556666"
	users := map[string]map[string]fakeaws.Key{}
	for _, acct := range []string{account, other} {
		users[acct] = map[string]fakeaws.Key{}
		for name, document := range map[string]string{
			"may":     allow("*", "sts:AssumeRole"),
			"nothing": allow("*", "iam:GetUser"),
			"denied":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sts:*","Resource":"*"}]}`,
		} {
			key, err := c.AddUser(fakeaws.User{Account: acct, Name: name, Policies: map[string]string{"p": document}})
			if err != nil {
				t.Fatal(err)
			}
			users[acct][name] = key
		}
	}
	for i, tt := range []struct {
		trusted, caller string // the principal, with ME for the caller's own ARN
		account         string
		want            bool
	}{
		{account, "may", account, true},
		{account, "nothing", account, false},
		{"ME", "nothing", account, true},
		{"ME", "denied", account, false},
		{"*", "nothing", account, true},
		{other, "may", account, false},
		{other, "may", other, true},
		{other, "nothing", other, false},
		{"ME", "may", other, true},
		{"ME", "nothing", other, false},
		{"ME", "denied", other, false},
		{"*", "nothing", other, false},
		{"*", "may", other, true},
	} {
		me := "arn:aws:iam::" + tt.account + ":user/" + tt.caller
		arn := c.role(t, fakeaws.Role{Name: fmt.Sprintf("r%d", i), TrustPolicy: trust(`"AWS":"` + strings.Replace(tt.trusted, "ME", me, 1) + `"`)})
		_, _, err := c.assume(users[tt.account][tt.caller], &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("s1")})
		if tt.want && err != nil {
			t.Errorf("trusting %s, %s of %s: %v", tt.trusted, tt.caller, tt.account, err)
		}
		if !tt.want {
			wantCode(t, err, "AccessDenied", 403)
		}
	}
	// A role's session may do what the role's policies allow, and its conditions hold.
	role := c.role(t, fakeaws.Role{Name: "mfa", Policies: map[string]string{"p": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"eks:ListClusters","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}]}`}})
	session, err := c.AddSession(fakeaws.Session{RoleARN: role, Name: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.eks(session).ListClusters(t.Context(), nil); err != nil {
		t.Error(err)
	}
	_, err = c.iam(session).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("mfa")})
	wantCode(t, err, "AccessDenied", 403)
	wantMessage(t, err, "User: arn:aws:sts::111122223333:assumed-role/mfa/s1 is not authorized to perform: iam:GetRole on resource: role mfa because no identity-based policy allows the iam:GetRole action")
}

func TestListRolesPages(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	var want []string
	for i := range 7 {
		c.role(t, fakeaws.Role{Name: fmt.Sprintf("r%d", i), Path: "/a/", Tags: map[string]string{"k": "v"}})
		want = append(want, fmt.Sprintf("r%d", i))
	}
	c.role(t, fakeaws.Role{Name: "elsewhere", Path: "/b/"})
	c.role(t, fakeaws.Role{Name: "foreign", Path: "/a/", Account: "444455556666"})
	var got []string
	pages := iam.NewListRolesPaginator(c.iam(c.alice), &iam.ListRolesInput{PathPrefix: aws.String("/a/"), MaxItems: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range page.Roles {
			if len(role.Tags) > 0 {
				t.Errorf("%s has tags in the list", *role.RoleName)
			}
			got = append(got, *role.RoleName)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("roles %v", got)
	}
	role, err := c.iam(c.alice).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("r0")})
	if err != nil || !slices.EqualFunc(role.Role.Tags, []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}, func(a, b iamtypes.Tag) bool { return *a.Key == *b.Key && *a.Value == *b.Value }) {
		t.Errorf("r0 is %v, %v", role, err)
	}
}

// IAM answers JSON to who asks for it, as STS does.
func TestIAMAnswersJSON(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	status, body := c.signed(t, c.alice, "iam", "us-east-1", "Action=ListGroups&Version=2010-05-08", http.Header{"Accept": {"application/json"}})
	if want := `{"ListGroupsResponse":{"ListGroupsResult":{"Groups":[],"IsTruncated":false},`; status != http.StatusOK || !strings.HasPrefix(body, want) {
		t.Errorf("got %d %s", status, body)
	}
}
