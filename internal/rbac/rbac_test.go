package rbac_test

import (
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/rbac"
)

// A request is written "verb resource.group/subresource name namespace", with - for none,
// or "verb /path".
func parse(text string) rbac.Request {
	f := strings.Fields(strings.ReplaceAll(text, " -", " \x00"))
	q := rbac.Request{Verb: f[0]}
	if strings.HasPrefix(f[1], "/") {
		q.Path = f[1]
		return q
	}
	resource, sub, _ := strings.Cut(f[1], "/")
	q.Resource, q.Group, _ = strings.Cut(resource, ".")
	q.Subresource = sub
	if len(f) > 2 {
		q.Name = strings.Trim(f[2], "\x00")
	}
	if len(f) > 3 {
		q.Namespace = f[3]
	}
	return q
}

func TestRule(t *testing.T) {
	for _, c := range []struct {
		rule rbac.Rule
		yes  []string
		no   []string
	}{
		{
			rbac.Rule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}},
			[]string{"get pods", "get pods x", "get pods/log x", "get pods - dev"},
			[]string{"list pods", "get pods.apps", "get pods/exec", "get Pods", "get pod", "get /pods", "* pods", "get *"},
		},
		{
			rbac.Rule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
			[]string{"get pods", "escalate clusterroles.rbac.authorization.k8s.io/x", "* *"},
			[]string{"get /metrics"},
		},
		{
			rbac.Rule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"*/status"}},
			[]string{"get pods/status"},
			[]string{"get pods", "get pods/statu", "get status"},
		},
		{
			rbac.Rule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods/*"}},
			nil,
			[]string{"get pods", "get pods/log"},
		},
		{
			rbac.Rule{Verbs: []string{"get", "create"}, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"a", "b"}},
			[]string{"get secrets a", "get secrets b dev"},
			[]string{"get secrets", "get secrets c", "create secrets"},
		},
		{
			rbac.Rule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/version/*", "/x**"}},
			[]string{"get /healthz", "get /version/", "get /version/1", "get /xy"},
			[]string{"get /healthz/etcd", "get /version", "post /healthz", "get pods"},
		},
		{rbac.Rule{Verbs: []string{"get"}, NonResourceURLs: []string{"*"}}, []string{"get /", "get /metrics"}, []string{"get pods"}},
		{rbac.Rule{}, nil, []string{"get pods", "get /"}},
	} {
		for _, text := range c.yes {
			if !c.rule.Allows(parse(text)) {
				t.Errorf("%+v denies %q", c.rule, text)
			}
		}
		for _, text := range c.no {
			if c.rule.Allows(parse(text)) {
				t.Errorf("%+v allows %q", c.rule, text)
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	read := []rbac.Rule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	named := func(name, namespace string) rbac.Metadata { return rbac.Metadata{Name: name, Namespace: namespace} }
	p := rbac.Policy{
		ClusterRoles: []rbac.Role{{Metadata: named("view", ""), Rules: read}},
		Roles:        []rbac.Role{{Metadata: named("view", "dev"), Rules: read}},
		ClusterBindings: []rbac.Binding{
			{Metadata: named("all", ""), Subjects: []rbac.Subject{{Kind: "Group", Name: "viewers"}}, Role: rbac.RoleRef{Kind: "ClusterRole", Name: "view"}},
			{Metadata: named("odd", ""), Subjects: []rbac.Subject{{Kind: "User", Name: "eve"}}, Role: rbac.RoleRef{Kind: "Role", Name: "view"}},
			{Metadata: named("gone", ""), Subjects: []rbac.Subject{{Kind: "User", Name: "eve"}}, Role: rbac.RoleRef{Kind: "ClusterRole", Name: "nope"}},
		},
		RoleBindings: []rbac.Binding{
			{Metadata: named("dev", "dev"), Subjects: []rbac.Subject{{Kind: "User", Name: "alice"}, {Kind: "ServiceAccount", Name: "bot"}}, Role: rbac.RoleRef{Kind: "Role", Name: "view"}},
			{Metadata: named("prod", "prod"), Subjects: []rbac.Subject{{Kind: "User", Name: "bob"}}, Role: rbac.RoleRef{Kind: "ClusterRole", Name: "view"}},
			{Metadata: named("prod2", "prod"), Subjects: []rbac.Subject{{Kind: "User", Name: "eve"}}, Role: rbac.RoleRef{Kind: "Role", Name: "view"}},
		},
	}
	for _, c := range []struct{ user, groups, request, want string }{
		{"carol", "viewers", "get pods x dev", `ClusterRoleBinding "all" of ClusterRole "view"`},
		{"carol", "viewers", "get pods", `ClusterRoleBinding "all" of ClusterRole "view"`},
		{"carol", "viewer", "get pods", ""},
		{"viewers", "", "get pods", ""},
		{"alice", "", "get pods x dev", `RoleBinding "dev" of Role "view" in namespace dev`},
		{"alice", "", "get pods x prod", ""},
		{"alice", "", "get pods", ""},
		{"bob", "", "get pods x prod", `RoleBinding "prod" of ClusterRole "view" in namespace prod`},
		{"eve", "", "get pods x prod", ""},
		{"eve", "", "get pods x dev", ""},
		{"eve", "system:masters", "delete nodes x", "group system:masters, which bypasses authorization"},
		{"system:serviceaccount:dev:bot", "", "get pods x dev", `RoleBinding "dev" of Role "view" in namespace dev`},
		{"bot", "", "get pods x dev", ""},
	} {
		why, ok := p.Allows(c.user, strings.Fields(c.groups), parse(c.request))
		if why != c.want || ok != (c.want != "") {
			t.Errorf("%s (%s) %s: %q, want %q", c.user, c.groups, c.request, why, c.want)
		}
	}
	if !p.Names("Group", "viewers") || p.Names("User", "viewers") || !p.Names("User", "alice") {
		t.Error("Names")
	}
	if _, ok := (&rbac.Policy{}).Allows("", nil, rbac.Request{}); ok {
		t.Error("an empty policy allows something")
	}
}
