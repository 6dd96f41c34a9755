package kubeconfig

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// awsUser is the user entry of `aws eks update-kubeconfig --role-arn`.
func awsUser(name, extra string) string {
	return "- name: " + name + "\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n" +
		"      command: aws\n      args: [--region, eu-west-1, eks, get-token, --cluster-name, demo, --output, json" + extra + "]\n"
}

// ourUser is the user entry of a change without a role.
func ourUser(name string) string {
	return "- name: " + name + "\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n" +
		"      command: ekskey\n      args: [token, --cluster, demo, --region, eu-west-1]\n"
}

func contexts(pairs ...string) string {
	s := "contexts:\n"
	for i := 0; i < len(pairs); i += 2 {
		s += "- name: " + pairs[i] + "\n  context: {cluster: x, user: \"" + pairs[i+1] + "\"}\n"
	}
	return s
}

// Whatever is in the file, no context but the one named acts as somebody else
// afterwards, and no credential is lost.
func TestUserIsNeverTakenOver(t *testing.T) {
	role := ", --role-arn, " + roleARN + "admin"
	tests := []struct {
		name   string
		in     string
		mutate func(*Options)
		want   string // user entry of the context, "" for a ConflictError
		used   []string
	}{
		{"nothing there", "", nil, demoUser, nil},
		{"same principal, used by another", "users:\n" + ourUser(demoUser) + contexts("dev", demoUser), nil, demoUser, nil},
		{"written by aws, used by us alone", "users:\n" + awsUser(demoUser, "") + contexts("demo", demoUser), nil, demoUser, nil},
		{"written by aws, which looks elsewhere for credentials, used by another", "users:\n" + awsUser(demoUser, "") + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"ours in the order of aws, used by another", "users:\n" + strings.ReplaceAll(ourUser(demoUser), "[token", "[token, --aws-cli-order=true") + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"ours as eks get-token, used by another", "users:\n" + strings.ReplaceAll(ourUser(demoUser), "token, --cluster,", "eks, get-token, --cluster-name,") + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"aws with the same --profile, where the order is one, used by another", "users:\n" + awsUser("me", ", --profile, p") + contexts("dev", "me"),
			func(o *Options) { o.Profile, o.UserAlias = "p", "me" }, "me", nil},
		{"written by aws, another role, used by us alone", "users:\n" + awsUser(demoUser, role) + contexts("demo", demoUser), nil, demoUser, nil},
		{"written by aws, another role, used by nobody", "users:\n" + awsUser(demoUser, role), nil, demoUser, nil},
		{"written by aws, another role, used by another", "users:\n" + awsUser(demoUser, role) + contexts("dev", demoUser, "demo", demoUser), nil, demoUser + "~2", nil},
		{"another profile, used by another", "users:\n" + awsUser(demoUser, ", --profile, p") + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"both names taken", "users:\n" + awsUser(demoUser, role) + awsUser(demoUser+"~2", role) + contexts("dev", demoUser, "dev2", demoUser+"~2"), nil, demoUser + "~3", nil},
		{"second name is ours", "users:\n" + awsUser(demoUser, role) + ourUser(demoUser+"~2") + contexts("dev", demoUser, "dev2", demoUser+"~2"), nil, demoUser + "~2", nil},
		{"a token", "users:\n- name: " + demoUser + "\n  user: {token: secret}\n", nil, demoUser + "~2", nil},
		{"a client key beside a plugin", "users:\n" + awsUser(demoUser, "") + "    client-key-data: a2V5\n", nil, demoUser + "~2", nil},
		{"an empty token", "users:\n- name: " + demoUser + "\n  user: {token: \"\"}\n", nil, demoUser, nil},
		{"a plugin we do not know", "users:\n- name: " + demoUser + "\n  user: {exec: {command: aws-vault}}\n", nil, demoUser + "~2", nil},
		{"an anonymous user, used", "users:\n- name: " + demoUser + "\n" + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"impersonation, used by nobody", "users:\n" + awsUser(demoUser, "") + "    as: system:admin\n", nil, demoUser + "~2", nil},
		{"impersonated groups, used by another", "users:\n" + awsUser(demoUser, "") + "    as-groups: [system:masters]\n" + contexts("dev", demoUser), nil, demoUser + "~2", nil},
		{"impersonation, used by us", "users:\n" + awsUser(demoUser, "") + "    as: viewer\n" + contexts("demo", demoUser), nil, demoUser, nil},
		{"impersonation by an entry of aws, used by us and another", "users:\n" + awsUser("me", "") + "    as: viewer\n" + contexts("dev", "me", "demo", "me"), nil, "", []string{"dev"}},
		{"chosen, impersonation", "users:\n" + awsUser("me", "") + "    as: system:admin\n", func(o *Options) { o.UserAlias = "me" }, "", nil},
		{"chosen, written by aws, used by another", "users:\n" + awsUser("me", "") + contexts("dev", "me"), func(o *Options) { o.UserAlias = "me" }, "", []string{"dev"}},
		{"chosen, free", "", func(o *Options) { o.UserAlias = "me" }, "me", nil},
		{"chosen, same principal", "users:\n" + ourUser("me") + contexts("dev", "me"), func(o *Options) { o.UserAlias = "me" }, "me", nil},
		{"chosen, another role, used by others", "users:\n" + awsUser("me", role) + contexts("z", "me", "a", "me"), func(o *Options) { o.UserAlias = "me" }, "", []string{"a", "z"}},
		{"chosen, a token", "users:\n- name: me\n  user: {token: secret}\n", func(o *Options) { o.UserAlias = "me" }, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := demo()
			if tt.mutate != nil {
				tt.mutate(&o)
			}
			f := mustParse(t, tt.in)
			before := map[string]User{}
			for _, c := range f.Contexts() {
				before[c.Name] = userOf(f, c.User)
			}
			r, err := f.Apply(mustChange(t, o))
			if tt.want == "" {
				want := &ConflictError{File: "config", Kind: "user", Name: "me", Contexts: tt.used}
				if diff := cmp.Diff(error(want), err); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if string(f.Bytes()) != tt.in {
					t.Error("the file has changed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r[0].User.Name != tt.want {
				t.Errorf("user %q, want %q", r[0].User.Name, tt.want)
			}
			for _, c := range f.Contexts() {
				if c.Name == "demo" && c.User != tt.want {
					t.Errorf("the context's user is %q", c.User)
				}
				if old, ok := before[c.Name]; ok && c.Name != "demo" {
					now := userOf(f, c.User)
					old.Line, now.Line = 0, 0
					if diff := cmp.Diff(old, now); diff != "" && !sameUser(old, now) {
						t.Errorf("context %s acts as somebody else:\n%s", c.Name, diff)
					}
				}
			}
			if strings.Contains(tt.in, "secret") && !strings.Contains(string(f.Bytes()), "secret") {
				t.Error("a credential is lost")
			}
			once := string(f.Bytes())
			if again, err := f.Apply(mustChange(t, o)); err != nil || again[0].Changed() || string(f.Bytes()) != once {
				t.Errorf("a second run changes %+v, %v", again, err)
			}
		})
	}
}

func userOf(f *File, name string) User {
	for _, u := range f.Users() {
		if u.Name == name {
			return u
		}
	}
	return User{}
}

func sameUser(a, b User) bool {
	x, ok := meaningOf(a.Exec, "")
	y, ok2 := meaningOf(b.Exec, "")
	return ok && ok2 && x.Same(y)
}

// The caveat to end: context dev becomes admin when a second alias is made.
func TestTwoAliasesTwoRoles(t *testing.T) {
	f := mustParse(t, "")
	for _, role := range []string{"dev", "admin"} {
		o := demo()
		o.Alias = role
		o.RoleChain = []Hop{{ARN: roleARN + role}}
		if _, err := f.Apply(mustChange(t, o)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.Clusters()); n != 1 {
		t.Errorf("%d clusters", n)
	}
	for _, c := range f.Contexts() {
		id, ok := meaningOf(userOf(f, c.User).Exec, "")
		if !ok || len(id.Roles) != 1 || id.Roles[0].ARN != roleARN+c.Name {
			t.Errorf("context %s acts as %+v", c.Name, id)
		}
	}
	if f.CurrentContext() != "admin" {
		t.Errorf("current context %q", f.CurrentContext())
	}
}

// Impersonation narrows what a user may do; an update must not lift it.
func TestImpersonationSurvives(t *testing.T) {
	f := mustParse(t, "users:\n"+awsUser(demoUser, "")+"    as: viewer\n    x-note: 1\n"+contexts("demo", demoUser))
	if _, err := f.Apply(mustChange(t, demo())); err != nil {
		t.Fatal(err)
	}
	if got := f.Users(); len(got) != 1 || cmp.Diff([]string{"as", "x-note"}, got[0].Other) != "" {
		t.Errorf("users %+v", got)
	}
}

func TestClusterIsNeverRedirected(t *testing.T) {
	cluster := "clusters:\n- name: prod\n  cluster: {server: \"https://other\"}\n"
	context := func(user string) string {
		return "contexts:\n- name: x\n  context: {cluster: prod, user: \"" + user + "\"}\n"
	}
	tests := []struct {
		name   string
		in     string
		server string
		want   []string // contexts in conflict, nil for none
	}{
		{"used by nobody", cluster, "", nil},
		{"used by our own context", cluster + "contexts:\n- name: demo\n  context: {cluster: prod, user: u}\n", "", nil},
		{"used by a context of this cluster", cluster + context("u") + "users:\n" + awsUser("u", ""), "", nil},
		{"used by a context of another cluster", cluster + context("u") + "users:\n" + strings.ReplaceAll(awsUser("u", ""), "demo", "demo2"), "", []string{"x"}},
		{"used by a context of another region", cluster + context("u") + "users:\n" + strings.ReplaceAll(awsUser("u", ""), "eu-west-1", "eu-west-2"), "", []string{"x"}},
		{"used with a token", cluster + context("u") + "users: [{name: u, user: {token: t}}]\n", "", []string{"x"}},
		{"used with no user", cluster + context(""), "", []string{"x"}},
		{"used, same server", cluster + context("u"), "https://other", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := demo()
			o.ClusterAlias = "prod"
			o.Server = tt.server
			f := mustParse(t, tt.in)
			_, err := f.Apply(mustChange(t, o))
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *ConflictError
			if !errors.As(err, &e) || cmp.Diff(tt.want, e.Contexts) != "" || e.Kind != "cluster" || e.Name != "prod" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Several changes at once are as the same changes one by one.
func TestApplyMany(t *testing.T) {
	var all []Change
	for _, name := range []string{"a", "b", "c"} {
		for _, role := range []string{"", "admin"} {
			o := demo()
			o.ClusterARN += name
			o.ClusterName = name
			o.Alias = name + role
			o.Namespace = "ns" + role
			if role != "" {
				o.RoleChain = []Hop{{ARN: roleARN + role}}
			}
			all = append(all, mustChange(t, o))
		}
	}
	for _, in := range []string{"", "clusters:\n- name: " + demoUser + "a\n  cluster: {server: \"https://x\"} # old\n"} {
		one, many := mustParse(t, in), mustParse(t, in)
		var want []Result
		for _, c := range all {
			r, err := one.Apply(c)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r...)
		}
		got, err := many.Apply(all...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].User != want[i].User || got[i].Context != want[i].Context || got[i].Cluster != want[i].Cluster {
				t.Errorf("change %d: %+v, one by one %+v", i, got[i], want[i])
			}
		}
		ignore := cmp.Options{
			cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Line" }, cmp.Ignore()),
			cmp.AllowUnexported(Context{}, mark{}),
		}
		if diff := cmp.Diff(one.Users(), many.Users(), ignore); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(one.Clusters(), many.Clusters(), ignore); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(one.Contexts(), many.Contexts(), ignore); diff != "" {
			t.Error(diff)
		}
	}
}
