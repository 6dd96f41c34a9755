package servercli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
)

const viewPolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"

// userInfo is what a TokenReview says of a user, and a SubjectAccessReview asks with.
type userInfo struct {
	Username string              `json:"username"`
	UID      string              `json:"uid"`
	Groups   []string            `json:"groups"`
	Extra    map[string][]string `json:"extra"`
}

func (p *process) user(t *testing.T, k fakeaws.Key) (u userInfo, ok bool) {
	t.Helper()
	tok := mintToken(t, k)
	var answer struct {
		Status struct {
			Authenticated bool
			User          userInfo
		}
	}
	if text := p.review(t, tok); json.Unmarshal([]byte(text), &answer) != nil {
		return u, false
	}
	return answer.Status.User, answer.Status.Authenticated
}

func mintToken(t *testing.T, k fakeaws.Key) string {
	t.Helper()
	src, err := token.New(token.Config{Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := src.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value()
}

// can asks the authorizer, and returns "allowed", "no opinion" or the status code.
func (p *process) can(t *testing.T, u userInfo, verb, resource, namespace string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": map[string]any{
		"user": u.Username, "uid": u.UID, "groups": append(u.Groups, "system:authenticated"), "extra": u.Extra,
		"resourceAttributes": map[string]string{"verb": verb, "resource": resource, "namespace": namespace},
	}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Post(p.url+"/authorize", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status *struct{ Allowed, Denied bool }
	}
	if resp.StatusCode != 200 || json.Unmarshal(text, &answer) != nil || answer.Status == nil {
		return fmt.Sprint(resp.StatusCode)
	}
	switch {
	case answer.Status.Denied:
		return "denied"
	case answer.Status.Allowed:
		return "allowed"
	}
	return "no opinion"
}

// entries adds lines under server, and a role with a session.
func (f *fixture) entries(t *testing.T, lines string) (session fakeaws.Key, roleID string) {
	t.Helper()
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "server.yaml", string(text)+lines)
	if _, err := f.aws.AddRole(fakeaws.Role{Account: "111122223333", Path: "/team/", Name: "dev", ID: "AROAEXAMPLEEXAMPLE1AB"}); err != nil {
		t.Fatal(err)
	}
	session, err = f.aws.AddSession(fakeaws.Session{RoleARN: "arn:aws:iam::111122223333:role/team/dev", Name: "me"})
	if err != nil {
		t.Fatal(err)
	}
	return session, "AROAEXAMPLEEXAMPLE1AB"
}

func entryFile(username, principalID, namespaces string) string {
	return fmt.Sprintf(`[{"accessEntry": {"principalArn": "arn:aws:iam::111122223333:role/team/dev", "principalId": %q, "type": "STANDARD", "username": %q, "kubernetesGroups": ["team"],
		"associatedAccessPolicies": [{"policyArn": %q, "accessScope": {"type": "namespace", "namespaces": [%q]}}]}}]`, principalID, username, viewPolicy, namespaces)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestAccessEntriesOfAFile lets a user in by an access entry, and the authorizer decide by its
// policy; and then everybody who may pass for that user.
func TestAccessEntriesOfAFile(t *testing.T) {
	f := newFixture(t)
	session, roleID := f.entries(t, fmt.Sprintf("  accessEntries: {file: %[1]s/entries.json}\n  authorizer: {kubeconfig: %[1]s/authz.kubeconfig, configuration: %[1]s/authz.yaml}\n", f.dir))
	f.write(t, "entries.json", entryFile("dev:{{SessionName}}", roleID, "dev-*"))
	f.write(t, "aws-auth.yaml", `mapRoles: |
  - {rolearn: "arn:aws:iam::111122223333:role/dev", username: twin, groups: [masters]}
mapUsers: |
  - {userarn: "arn:aws:iam::111122223333:user/alice", username: "dev:me", groups: [team, "ekskey:x"]}
`)
	p := f.start(t)
	var u userInfo
	eventually(t, "the entry is not in force", func() (ok bool) { u, ok = p.user(t, session); return ok })
	if u.Username != "dev:me" || strings.Join(u.Groups, " ") != "team ekskey:access-entry" {
		t.Fatalf("%+v", u)
	}
	for _, c := range []struct{ verb, resource, namespace, want string }{
		{"get", "pods", "dev-1", "allowed"}, {"get", "pods", "prod", "no opinion"}, {"delete", "pods", "dev-1", "no opinion"},
		{"get", "secrets", "dev-1", "no opinion"}, {"get", "pods", "", "no opinion"}, {"get", "nodes", "", "no opinion"},
	} {
		if got := p.can(t, u, c.verb, c.resource, c.namespace); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
	change := func(edit func(*userInfo)) userInfo {
		v := u
		v.Extra = maps.Clone(u.Extra)
		v.Groups = append([]string(nil), u.Groups...)
		edit(&v)
		return v
	}
	for name, v := range map[string]userInfo{
		"another username":       change(func(v *userInfo) { v.Username = "dev:you" }),
		"impersonated, no group": change(func(v *userInfo) { v.Groups = []string{"team"} }),
		"without extras":         change(func(v *userInfo) { v.Extra = nil }),
		"lower-case extras": change(func(v *userInfo) {
			v.Extra = map[string][]string{"canonicalarn": u.Extra["canonicalArn"], "principalid": u.Extra["principalId"], "sessionname": {"me"}}
		}),
		"another unique id": change(func(v *userInfo) { v.Extra["principalId"] = []string{"AROAEXAMPLEEXAMPLE2CD"} }),
		"two canonical ARNs": change(func(v *userInfo) {
			v.Extra["canonicalArn"] = append(v.Extra["canonicalArn"], v.Extra["canonicalArn"]...)
		}),
		"the ARN of another role":   change(func(v *userInfo) { v.Extra["canonicalArn"] = []string{"arn:aws:iam::111122223333:role/ops"} }),
		"another session's name":    change(func(v *userInfo) { v.Extra["sessionName"] = []string{"you"} }),
		"a certificate of the name": {Username: "dev:me", Groups: []string{"team", "ekskey:access-entry"}},
	} {
		if got := p.can(t, v, "get", "pods", "dev-1"); got != "no opinion" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// No other backend gives the group.
	if v, ok := p.user(t, f.key); ok {
		t.Errorf("aws-auth gives a group of ours: %+v", v)
	}
	// The role is made again: its entry is for the other one.
	f.write(t, "entries.json", entryFile("dev:{{SessionName}}", "AROAEXAMPLEEXAMPLE2CD", "dev-*"))
	eventually(t, "the other unique id is let in", func() bool { _, ok := p.user(t, session); return !ok })
	if got := p.can(t, u, "get", "pods", "dev-1"); got != "no opinion" {
		t.Errorf("allowed by the entry of another principal: %s", got)
	}
	// Without the entry, aws-auth counts for the principal, and no policy does.
	f.write(t, "entries.json", "[]")
	eventually(t, "aws-auth does not count", func() (ok bool) { u, ok = p.user(t, session); return ok && u.Username == "twin" })
	if got := p.can(t, u, "get", "pods", "dev-1"); got != "no opinion" {
		t.Error(got)
	}
	// Garbage changes nothing, and says so.
	f.write(t, "entries.json", entryFile("dev:{{SessionName}}", roleID, "dev-*"))
	eventually(t, "the entry is not back", func() (ok bool) { u, ok = p.user(t, session); return ok && u.Username == "dev:me" })
	f.write(t, "entries.json", "{")
	eventually(t, "nothing is said of garbage", func() bool {
		return strings.Contains(p.stderr.String(), "entries.json: access entries, document 1: is not JSON")
	})
	if _, ok := p.user(t, session); !ok {
		t.Error("garbage locks out")
	}
	for name, want := range map[string]string{"authz.kubeconfig": "/authorize", "authz.yaml": "kubeConfigFile: \"" + filepath.Join(f.dir, "authz.kubeconfig") + "\""} {
		if text, err := os.ReadFile(filepath.Join(f.dir, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestAccessEntriesOfEKS follows EKS's API.
func TestAccessEntriesOfEKS(t *testing.T) {
	f := newFixture(t)
	session, _ := f.entries(t, "  accessEntries: {clusterName: prod, region: us-east-1, interval: 1s}\n")
	cluster := fakeaws.Cluster{Account: "111122223333", Region: "us-east-1", Name: "prod", AuthenticationMode: "API_AND_CONFIG_MAP"}
	if err := f.aws.AddCluster(cluster); err != nil {
		t.Fatal(err)
	}
	entry := fakeaws.AccessEntry{Account: "111122223333", Region: "us-east-1", Cluster: "prod", PrincipalARN: "arn:aws:iam::111122223333:role/team/dev",
		Policies: []fakeaws.AccessPolicy{{Name: "AmazonEKSViewPolicy"}}}
	if err := f.aws.AddAccessEntry(entry); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": f.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": f.key.SecretAccessKey, "AWS_SESSION_TOKEN": f.key.SessionToken,
		"AWS_ENDPOINT_URL_EKS": "https://" + f.tls.Address, "AWS_ENDPOINT_URL_IAM": "https://" + f.tls.Address, "AWS_CA_BUNDLE": filepath.Join(f.dir, "ca.pem"), "HOME": f.dir,
	} {
		t.Setenv(name, value)
	}
	p := f.start(t)
	var u userInfo
	eventually(t, "the entry is not in force", func() (ok bool) { u, ok = p.user(t, session); return ok })
	if u.Username != "arn:aws:sts::111122223333:assumed-role/dev/me" || p.can(t, u, "get", "pods", "any") != "allowed" {
		t.Errorf("%+v %s\n%s", u, p.can(t, u, "get", "pods", "any"), p.stderr.String())
	}
	if _, err := os.Stat(filepath.Join(f.dir, "state", "access-entries.pins.json")); err != nil {
		t.Error(err)
	}
	if v, ok := p.user(t, f.key); !ok || v.Username != "alice" {
		t.Errorf("aws-auth does not count in the mode API_AND_CONFIG_MAP: %+v", v)
	}
	cluster.AuthenticationMode = "API"
	if err := f.aws.AddCluster(cluster); err != nil {
		t.Fatal(err)
	}
	eventually(t, "aws-auth counts in the mode API", func() bool { _, ok := p.user(t, f.key); return !ok })
}
