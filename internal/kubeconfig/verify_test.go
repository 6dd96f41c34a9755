package kubeconfig

import (
	"errors"
	"strings"
	"testing"
)

// A file that is not what a removal should have left is never written.
func TestVerifyRemoval(t *testing.T) {
	const before = "current-context: b\ncontexts:\n- name: a\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n"
	tests := []struct {
		name  string
		after string
		ok    bool
	}{
		{"right", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", true},
		{"still there", before, false},
		{"another gone as well", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another gone instead", "current-context: b\ncontexts:\n- name: a\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another one made of it", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: d\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another order", "current-context: b\ncontexts:\n- name: c\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another value", "current-context: b\ncontexts:\n- name: b\n  context: {user: v}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another style", "current-context: b\ncontexts:\n- name: b\n  context: {user: 'u'}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"a user gone", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers: []\n", false},
		{"a list gone", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\n", false},
		{"another current context", "current-context: c\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, before)
			p := newPlan(f)
			if err := p.drop(contextList, "a"); err != nil {
				t.Fatal(err)
			}
			err := verify(f, mustParse(t, tt.after), p)
			var e *verifyError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &e) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Nor is one in which a mark that is written anew took anything along.
func TestVerifyMark(t *testing.T) {
	text := func(extensions string) string {
		return "contexts:\n- name: a\n  context: {extensions: " + extensions + "}\n"
	}
	before := text("[{name: b, extension: 1}, {name: ekskey, extension: {cluster: x}, more: 1}, {name: c}]")
	tests := []struct {
		name  string
		after string
		ok    bool
	}{
		{"right", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}]", true},
		{"not done", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: x}, more: 1}, {name: c}]", false},
		{"done twice", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: ekskey, extension: {cluster: y}, more: 1}]", false},
		{"another's altered", "[{name: b, extension: 2}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}]", false},
		{"another's altered behind it", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: d}]", false},
		{"another's gone", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}]", false},
		{"one more", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}, {name: d}]", false},
		{"another order", "[{name: c}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: b, extension: 1}]", false},
		{"its own other key altered", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 2}, {name: c}]", false},
		{"another style", "\n    - {name: b, extension: 1}\n    - {name: ekskey, extension: {cluster: y}, more: 1}\n    - {name: c}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, before)
			p := newPlan(f)
			if _, err := p.edit(contextList, "a", []setting{markFor("y", "y").setting()}); err != nil {
				t.Fatal(err)
			}
			after := text(tt.after)
			if strings.Contains(after, "\n    -") {
				after = strings.NewReplacer("context: {", "context:\n    ", "}\n}", "}\n").Replace(after)
			}
			err := verify(f, mustParse(t, after), p)
			var e *verifyError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &e) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Of two changes to one entry the last counts, and both are what was wanted.
func TestSameEntryTwice(t *testing.T) {
	for _, in := range []string{"", clusterHere, "{clusters: [{name: \"" + demoARN + "\", cluster: {proxy-url: x}}]}"} {
		var changes []Change
		for _, proxy := range []string{"http://a", "http://b", "http://a"} {
			o := demo()
			o.ProxyURL = proxy
			changes = append(changes, mustChange(t, o))
		}
		f := mustParse(t, in)
		r, err := f.Apply(changes...)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.clusters[0].ProxyURL; got != "http://a" || r[1].Cluster.Outcome != Updated || r[2].Cluster.Outcome != Updated {
			t.Errorf("%q: proxy %q, %+v", in, got, r)
		}
	}
}
