package accesspolicy

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const prefix = "arn:aws:eks::aws:cluster-access-policy/"

func cluster(name string) Association {
	return Association{PolicyARN: prefix + name, Scope: Scope{Type: ScopeCluster}}
}

func namespaces(name string, patterns ...string) Association {
	return Association{PolicyARN: prefix + name, Scope: Scope{Type: ScopeNamespace, Namespaces: patterns}}
}

func set(t testing.TB, associations ...Association) *Set {
	t.Helper()
	s, errs := NewSet("aws", associations)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

// A request is written "verb resource.group/subresource namespace", or "verb /path".
func parse(text string) Request {
	f := strings.Fields(text)
	q := Request{Verb: f[0]}
	if strings.HasPrefix(f[1], "/") {
		q.Path = f[1]
		return q
	}
	resource, sub, _ := strings.Cut(f[1], "/")
	q.Resource, q.Group, _ = strings.Cut(resource, ".")
	q.Subresource = sub
	if len(f) > 2 {
		q.Namespace = f[2]
	}
	return q
}

func TestDecide(t *testing.T) {
	rows := []struct {
		associations []Association
		request      string
		want         string
	}{
		{nil, "get pods dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get pods dev-1", "AmazonEKSViewPolicy, scope cluster, rule 8"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "list pods", "AmazonEKSViewPolicy, scope cluster, rule 8"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get pods/log dev-1", "AmazonEKSViewPolicy, scope cluster, rule 9"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "list deployments.apps dev-1", "AmazonEKSViewPolicy, scope cluster, rule 1"},
		// One step beside each.
		{[]Association{cluster("AmazonEKSViewPolicy")}, "delete pods dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get secrets dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get pods/exec dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get pods/lo dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get pods.apps dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get deployments dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "GET pods dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get Pods dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get nodes", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get widgets.example.com dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get /metrics", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "* pods dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSViewPolicy")}, "get * dev-1", "no opinion"},
		// Custom resources are for the policies with wildcards.
		{[]Association{cluster("AmazonEKSAdminViewPolicy")}, "get widgets.example.com/status dev-1", "AmazonEKSAdminViewPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSAdminViewPolicy")}, "get secrets dev-1", "AmazonEKSAdminViewPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSAdminViewPolicy")}, "get /metrics", "no opinion"},
		{[]Association{cluster("AmazonEKSClusterAdminPolicy")}, "get /metrics", "AmazonEKSClusterAdminPolicy, scope cluster, rule 2"},
		{[]Association{cluster("AmazonEKSClusterAdminPolicy")}, "* *.*", "AmazonEKSClusterAdminPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSClusterAdminPolicy")}, "escalate clusterroles.rbac.authorization.k8s.io", "AmazonEKSClusterAdminPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSHybridPolicy")}, "list nodes", "AmazonEKSHybridPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSHybridPolicy")}, "get nodes", "no opinion"},
		{[]Association{cluster("AmazonEKSAdminPolicy")}, "create rolebindings.rbac.authorization.k8s.io dev-1", "AmazonEKSAdminPolicy, scope cluster, rule 15"},
		{[]Association{cluster("AmazonEKSAdminPolicy")}, "create clusterrolebindings.rbac.authorization.k8s.io", "no opinion"},
		{[]Association{cluster("AmazonEKSEditPolicy")}, "create rolebindings.rbac.authorization.k8s.io dev-1", "no opinion"},
		{[]Association{cluster("AmazonEKSEditPolicy")}, "create pods/exec dev-1", "AmazonEKSEditPolicy, scope cluster, rule 17"},
		// A namespace scope: its namespaces, and nothing that has none.
		{[]Association{namespaces("AmazonEKSClusterAdminPolicy", "dev-*")}, "delete pods dev-1", "AmazonEKSClusterAdminPolicy, scope namespace dev-*, rule 1"},
		{[]Association{namespaces("AmazonEKSClusterAdminPolicy", "dev-*")}, "delete pods prod", "no opinion"},
		{[]Association{namespaces("AmazonEKSClusterAdminPolicy", "*")}, "list pods", "no opinion"},
		{[]Association{namespaces("AmazonEKSClusterAdminPolicy", "*")}, "get nodes", "no opinion"},
		{[]Association{namespaces("AmazonEKSClusterAdminPolicy", "*")}, "get /metrics", "no opinion"},
		{[]Association{namespaces("AmazonEKSHybridPolicy", "*")}, "list nodes", "no opinion"},
		// kube-apiserver gives a request for one Namespace object that namespace.
		{[]Association{namespaces("AmazonEKSAdminPolicy", "dev-1")}, "get namespaces dev-1", "AmazonEKSAdminPolicy, scope namespace dev-1, rule 22"},
		{[]Association{namespaces("AmazonEKSAdminPolicy", "dev-1")}, "list namespaces", "no opinion"},
		// The permissions of all policies add up.
		{[]Association{cluster("AmazonEKSViewPolicy"), namespaces("AmazonEKSEditPolicy", "a", "dev-*")}, "delete pods dev-1", "AmazonEKSEditPolicy, scope namespace a, dev-*, rule 17"},
		{[]Association{cluster("AmazonEKSViewPolicy"), namespaces("AmazonEKSEditPolicy", "a", "dev-*")}, "get pods prod", "AmazonEKSViewPolicy, scope cluster, rule 8"},
		{[]Association{cluster("AmazonEKSViewPolicy"), namespaces("AmazonEKSEditPolicy", "a", "dev-*")}, "delete pods prod", "no opinion"},
		{[]Association{cluster("AmazonEKSAutoNodePolicy"), cluster("AmazonEKSSecretReaderPolicy")}, "get secrets x", "AmazonEKSSecretReaderPolicy, scope cluster, rule 1"},
		{[]Association{cluster("AmazonEKSAutoNodePolicy")}, "get pods", "no opinion"},
	}
	for _, row := range rows {
		d := set(t, row.associations...).Decide(parse(row.request))
		if d.String() != row.want || d.Allowed() == (row.want == "no opinion") {
			t.Errorf("%v %q: %s, want %s", row.associations, row.request, d, row.want)
		}
	}
}

// What asks for nothing is not allowed, not even by *.
func TestNothingIsNotAllowed(t *testing.T) {
	s := set(t, cluster("AmazonEKSClusterAdminPolicy"))
	for _, q := range []Request{{}, {Verb: "get"}, {Resource: "pods"}, {Path: "/metrics"}, {Verb: "get", Namespace: "x"}} {
		if d := s.Decide(q); d.Allowed() {
			t.Errorf("%+v: %s", q, d)
		}
	}
	var none *Set
	if none.Decide(parse("get pods x")).Allowed() || len(none.Grants()) != 0 || len(none.Unpublished(parse("get pods x"))) != 0 {
		t.Error("an empty set grants something")
	}
	// A path makes it a non-resource request, whatever else is set.
	mixed := Request{Verb: "get", Resource: "pods", Namespace: "dev", Path: "/x"}
	if set(t, namespaces("AmazonEKSClusterAdminPolicy", "*")).Decide(mixed).Allowed() || set(t, cluster("AmazonEKSViewPolicy")).Decide(mixed).Allowed() {
		t.Error("a path was taken for a resource")
	}
}

func TestScopeOfNothing(t *testing.T) {
	for _, s := range []Scope{{}, {Type: "Cluster"}, {Type: ScopeNamespace}, {Namespaces: []string{"*"}}, {Type: "all", Namespaces: []string{"*"}}} {
		if s.Covers(parse("get pods dev")) || s.problem() == "" {
			t.Errorf("%+v covers something", s)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"dev-*", "dev-1", true}, {"dev-*", "dev-", true}, {"dev-*", "dev", false}, {"dev-*", "xdev-1", false},
		{"dev", "dev", true}, {"dev", "dev-1", false}, {"dev", "de", false}, {"", "dev", false},
		{"*", "dev", true}, {"**", "dev", true}, {"*-1", "dev-1", true}, {"*-1", "dev-12", false},
		{"a*b*c", "abc", true}, {"a*b*c", "aXbXbXc", true}, {"a*b*c", "ac", false}, {"a*b*c", "abcd", false},
		{"*ab", "aab", true}, {"dev?1", "dev-1", false}, {"dev?1", "dev?1", true}, {"[a-z]*", "dev", false}, {"DEV-*", "dev-1", false},
	} {
		if got := matchPattern(c.pattern, c.name); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.name, got)
		}
	}
}

// The matcher agrees with the obvious one.
func TestPatternsAgainstASimplerMatcher(t *testing.T) {
	var simple func(p, n string) bool
	simple = func(p, n string) bool {
		switch {
		case p == "":
			return n == ""
		case p[0] == '*':
			return simple(p[1:], n) || n != "" && simple(p, n[1:])
		}
		return n != "" && p[0] == n[0] && simple(p[1:], n[1:])
	}
	words := func(alphabet string, most int) []string {
		out, last := []string{""}, []string{""}
		for range most {
			var next []string
			for _, w := range last {
				for _, c := range alphabet {
					next = append(next, w+string(c))
				}
			}
			out, last = append(out, next...), next
		}
		return out
	}
	names := words("ab", 6)
	for _, p := range words("ab*", 5) {
		for _, n := range names {
			if matchPattern(p, n) != simple(p, n) {
				t.Errorf("%q, %q", p, n)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-eusc"} {
		arn := "arn:" + partition + ":eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
		p, got, err := Lookup(arn)
		if err != nil || got != partition || p.Name() != "AmazonEKSViewPolicy" || p.ARN(partition) != arn || !p.Published() {
			t.Errorf("%s: %v %s %v", arn, p, got, err)
		}
	}
	for _, arn := range []string{
		"", "AmazonEKSViewPolicy", "arn:aws:iam::aws:policy/AmazonEKSViewPolicy", "arn:aws:eks::111122223333:cluster-access-policy/AmazonEKSViewPolicy",
		"arn:aws:eks:us-east-1:aws:cluster-access-policy/AmazonEKSViewPolicy", "arn:aws:eks::aws:cluster-access-policy/", "arn:aws:eks::aws:policy/AmazonEKSViewPolicy",
		"arn:aws-nope:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", "ARN:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		" " + prefix + "AmazonEKSViewPolicy",
	} {
		var bad *ARNError
		if _, _, err := Lookup(arn); !errors.As(err, &bad) || bad.ARN != arn {
			t.Errorf("%q: %v", arn, err)
		}
	}
	for _, name := range []string{"amazoneksviewpolicy", "AmazonEKSViewPolicy/x", "AmazonEKSViewPolicy ", "Nope"} {
		var unknown *UnknownPolicyError
		if _, _, err := Lookup(prefix + name); !errors.As(err, &unknown) || unknown.Name != name {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A bad association grants nothing, and the others count.
func TestNewSetDropsWhatItDoesNotUnderstand(t *testing.T) {
	good := cluster("AmazonEKSSecretReaderPolicy")
	for name, bad := range map[string]Association{
		"no policy":         {Scope: Scope{Type: ScopeCluster}},
		"unknown policy":    cluster("AmazonEKSGodPolicy"),
		"another partition": {PolicyARN: "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", Scope: Scope{Type: ScopeCluster}},
		"no scope":          {PolicyARN: prefix + "AmazonEKSClusterAdminPolicy"},
		"no namespaces":     namespaces("AmazonEKSClusterAdminPolicy"),
		"empty namespace":   namespaces("AmazonEKSClusterAdminPolicy", "dev", ""),
		"odd namespace":     namespaces("AmazonEKSClusterAdminPolicy", "dev-?"),
		"both": {PolicyARN: prefix + "AmazonEKSClusterAdminPolicy",
			Scope: Scope{Type: ScopeCluster, Namespaces: []string{"dev"}}},
	} {
		s, errs := NewSet("aws", []Association{bad, good})
		var wrong *AssociationError
		if len(errs) != 1 || !errors.As(errs[0], &wrong) || wrong.PolicyARN != bad.PolicyARN {
			t.Errorf("%s: %v", name, errs)
		}
		if s.Decide(parse("delete pods dev")).Allowed() || !s.Decide(parse("get secrets dev")).Allowed() || len(s.Grants()) != 1 {
			t.Errorf("%s: %v", name, s.Grants())
		}
	}
}

// The set is not the caller's to change.
func TestNothingIsShared(t *testing.T) {
	patterns := []string{"dev"}
	s := set(t, namespaces("AmazonEKSViewPolicy", patterns...))
	patterns[0] = "*"
	s.Grants()[0] = Grant{}
	p, _, err := Lookup(prefix + "AmazonEKSViewPolicy")
	if err != nil {
		t.Fatal(err)
	}
	rules := p.Rules()
	rules[0].Verbs[0], rules[7].Resources[4] = "*", "*"
	if s.Decide(parse("get pods prod")).Allowed() || s.Decide(parse("get secrets dev")).Allowed() || s.Decide(parse("delete deployments.apps dev")).Allowed() {
		t.Error("a caller changed what a set grants")
	}
	if len(s.Grants()) != 1 || s.Grants()[0].Policy != p {
		t.Errorf("%v", s.Grants())
	}
}

func TestUnpublished(t *testing.T) {
	s := set(t, namespaces("AmazonEKSArgoCDPolicy", "argocd"), cluster("AmazonEKSViewPolicy"))
	if got := s.Unpublished(parse("get applications.argoproj.io argocd")); len(got) != 1 || got[0].Name() != "AmazonEKSArgoCDPolicy" || got[0].Published() || len(got[0].Rules()) != 0 {
		t.Errorf("%v", got)
	}
	if got := s.Unpublished(parse("get applications.argoproj.io default")); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestAllowing(t *testing.T) {
	for request, want := range map[string]string{
		"get secrets dev":                 "AmazonEKSAdminPolicy AmazonEKSAdminViewPolicy AmazonEKSClusterAdminPolicy AmazonEKSEditPolicy AmazonEKSSecretReaderPolicy",
		"create widgets.example.com dev":  "AmazonEKSClusterAdminPolicy",
		"get /metrics":                    "AmazonEKSClusterAdminPolicy",
		"list nodes":                      "AmazonEKSAdminViewPolicy AmazonEKSClusterAdminPolicy AmazonEKSHybridPolicy",
		"impersonate serviceaccounts dev": "AmazonEKSAdminPolicy AmazonEKSClusterAdminPolicy AmazonEKSEditPolicy",
		"create localsubjectaccessreviews.authorization.k8s.io dev": "AmazonEKSAdminPolicy AmazonEKSClusterAdminPolicy",
	} {
		var names []string
		for _, p := range Allowing(parse(request)) {
			names = append(names, p.Name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s", request, got)
		}
	}
	all := All()
	if len(all) < 33 || !slices.IsSortedFunc(all, func(a, b *Policy) int { return strings.Compare(a.Name(), b.Name()) }) {
		t.Errorf("%d policies", len(all))
	}
	if all[0].Source().Read == "" {
		t.Error("a policy has no source")
	}
}

func BenchmarkDecide(b *testing.B) {
	s := set(b, cluster("AmazonEKSViewPolicy"), namespaces("AmazonEKSAdminPolicy", "team-a", "dev-*"))
	for name, request := range map[string]string{
		"first": "get deployments.apps dev-1", "last": "get namespaces/status dev-1", "none": "delete widgets.example.com dev-1",
	} {
		q := parse(request)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Decide(q)
			}
		})
	}
}
