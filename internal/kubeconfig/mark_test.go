package kubeconfig

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const otherARN = "arn:aws:eks:eu-west-1:444455556666:cluster/demo"

// A context that is new in all files is marked, one that is marked is marked anew, and
// one that something else made is not. Only our mark is read.
func TestMark(t *testing.T) {
	wrap := func(extensions string) string {
		return "contexts:\n- name: demo\n  context: {namespace: ns, extensions: " + extensions + "}\n"
	}
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"new", []string{""}, demoARN},
		{"new, with others", []string{"contexts:\n- name: x\n", "contexts:\n- name: y\n"}, demoARN},
		{"there", []string{"contexts:\n- name: demo\n"}, ""},
		{"there, in another file", []string{clusterHere, "contexts:\n- name: demo\n"}, ""},
		{"marked", []string{wrap("[{name: ekskey, extension: {cluster: x}}]")}, demoARN},
		{"marked in another file", []string{clusterHere, wrap("[{name: ekskey, extension: {cluster: x}}]")}, demoARN},
		{"marked, hidden", []string{"contexts:\n- name: demo\n", wrap("[{name: ekskey, extension: {cluster: x}}]")}, ""},
		{"an extension of another", []string{wrap("[{name: minikube.sigs.k8s.io, extension: {cluster: x}}]")}, ""},
		{"among others", []string{wrap("[{name: a, extension: 1}, {extension: {cluster: x, more: [1]}, name: ekskey}]")}, demoARN},
		{"another shape", []string{wrap("[{name: ekskey, extension: {cluster: [x]}}]")}, demoARN},
		{"a string", []string{wrap("[{name: ekskey, extension: x}]")}, demoARN},
		{"nothing", []string{wrap("[{name: ekskey}]")}, demoARN},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, alias := range []string{"", "mine"} {
				o := demo()
				o.ClusterAlias = alias
				paths := list(t, tt.files...)
				for run := range 2 {
					r, err := Update(t.Context(), listEnv(paths), batch(mustChange(t, o)))
					if err != nil {
						t.Fatal(err)
					}
					if run == 1 && r.Results[0].Changed() {
						t.Errorf("a second run changes %+v", r)
					}
					if got := contextOf(t, paths, "demo").MadeFor; got != tt.want {
						t.Errorf("made for %q, want %q", got, tt.want)
					}
				}
			}
		})
	}
	for _, extensions := range []string{"x", "{a: b}", "[x]", "[{name: [x]}]"} {
		if _, err := Parse("config", []byte(wrap(extensions))); err == nil {
			t.Errorf("%s is accepted", extensions)
		}
	}
}

// contextOf is a context as kubectl sees it.
func contextOf(t *testing.T, paths []string, name string) MergedContext {
	t.Helper()
	m, err := ReadMerged(t.Context(), listEnv(paths))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(m.Contexts(), func(c MergedContext) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no context %q", name)
	}
	return m.Contexts()[i]
}

// A mark counts only while the context is led where it was when it was marked.
func TestMarkIsValid(t *testing.T) {
	const ours = "users:\n- name: u\n  user: {exec: {command: ekskey, args: [token, --cluster, demo]}}\n"
	tests := []struct {
		name    string
		cluster string // that the context is led to
		mark    string
		want    string
		arn     string // of the target
	}{
		{"the ARN", demoARN, "{cluster: " + demoARN + "}", demoARN, demoARN},
		{"an entry", "mine", "{cluster: " + demoARN + ", entry: mine}", demoARN, demoARN},
		{"led to another entry", "mine", "{cluster: " + demoARN + "}", "", ""},
		{"led to another entry from an entry", "theirs", "{cluster: " + demoARN + ", entry: mine}", "", ""},
		{"led to another ARN", otherARN, "{cluster: " + demoARN + "}", "", otherARN},
		{"led from an entry to the ARN", demoARN, "{cluster: " + demoARN + ", entry: mine}", "", demoARN},
		{"led nowhere", "\"\"", "{cluster: " + demoARN + "}", "", ""},
		{"no cluster, led nowhere", "\"\"", "{cluster: \"\"}", "", ""},
		{"entry of another type", "mine", "{cluster: " + demoARN + ", entry: [mine]}", "", ""},
		{"entry of another type, the ARN", demoARN, "{cluster: " + demoARN + ", entry: 1}", "", demoARN},
		{"entry null", demoARN, "{cluster: " + demoARN + ", entry: null}", demoARN, demoARN},
		{"twice, the first counts", "mine", "{cluster: " + demoARN + "}}, {name: ekskey, extension: {cluster: " + demoARN + ", entry: mine}", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "contexts:\n- name: p\n  context: {cluster: " + tt.cluster + ", user: u, extensions: [{name: ekskey, extension: " + tt.mark + "}]}\n" + ours
			got := contextOf(t, list(t, text), "p")
			if got.MadeFor != tt.want || !got.IsEKS || got.EKS.ARN != tt.arn {
				t.Errorf("made for %q, aims at %q", got.MadeFor, got.EKS.ARN)
			}
		})
	}
}

// A cluster of one name in two accounts: a context that is led from the one to the
// other says so, or a prune would remove it when the first is gone.
func TestMarkFollows(t *testing.T) {
	for _, entry := range []string{"", "foo"} {
		one := demo()
		one.Alias, one.ClusterAlias = "p", entry
		two := one
		two.ClusterARN, two.Endpoint = otherARN, "https://OTHER.eks.amazonaws.com"
		paths := list(t, "")
		env := listEnv(paths)
		for _, o := range []Options{one, two, one} {
			if _, err := Update(t.Context(), env, batch(mustChange(t, o))); err != nil {
				t.Fatal(err)
			}
			if c := contextOf(t, paths, "p"); c.MadeFor != o.ClusterARN || c.EKS.ARN != o.ClusterARN || c.ClusterEntry.Server != o.Endpoint {
				t.Errorf("entry %q: made for %q, aims at %q, goes to %s", entry, c.MadeFor, c.EKS.ARN, c.ClusterEntry.Server)
			}
		}
		// In one write, too, whether the context is there or not.
		for _, text := range []string{"", read(t, paths[0])} {
			at := list(t, text)
			r, err := Update(t.Context(), listEnv(at), batch(mustChange(t, one), mustChange(t, two), mustChange(t, one), mustChange(t, two)))
			if err != nil {
				t.Fatal(err)
			}
			if c := contextOf(t, at, "p"); c.MadeFor != otherARN || c.EKS.ARN != otherARN || r.Results[3].Context.Outcome != Updated {
				t.Errorf("entry %q: made for %q, aims at %q: %+v", entry, c.MadeFor, c.EKS.ARN, r)
			}
		}
	}
}

// An entry of a chosen name is not led to another account's cluster of the same name
// behind the back of a context that was made for the first.
func TestChosenEntryOfAnotherAccount(t *testing.T) {
	one := demo()
	one.ClusterAlias = "foo"
	paths := list(t, "")
	if _, err := Update(t.Context(), listEnv(paths), batch(mustChange(t, one))); err != nil {
		t.Fatal(err)
	}
	before := read(t, paths[0])
	two := one
	two.Alias, two.ClusterARN, two.Endpoint = "two", otherARN, "https://OTHER.eks.amazonaws.com"
	_, err := Update(t.Context(), listEnv(paths), batch(mustChange(t, two)))
	var conflict *ConflictError
	if !errors.As(err, &conflict) || !slices.Equal(conflict.Contexts, []string{"demo"}) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, read(t, paths[0])); diff != "" {
		t.Error(diff)
	}
}

// A mark is written anew without touching a byte beside it.
func TestMarkBytes(t *testing.T) {
	old := "{cluster: " + otherARN + "}"
	tests := []struct{ name, in, want string }{
		{"block", "    extensions: # all\n    - name: a # a's\n      extension: {x: 1, y: [yes]}\n    # ours\n    - extension: # was\n        cluster: " + otherARN + "\n      name: ekskey # end\n\n    - name: z\n",
			"    extensions: # all\n    - name: a # a's\n      extension: {x: 1, y: [yes]}\n    # ours\n    - extension:\n        cluster: " + demoARN + "\n      name: ekskey # end\n\n    - name: z\n"},
		{"name first", "    extensions:\n      - name: ekskey\n        extension:\n          cluster: x\n      - {name: z, extension: 'ekskey'}\n",
			"    extensions:\n      - name: ekskey\n        extension:\n          cluster: " + demoARN + "\n      - {name: z, extension: 'ekskey'}\n"},
		{"flow", "    extensions: [{name: a}, {extension: " + old + ", name: ekskey}, {name: 'z'}] # x\n",
			"    extensions: [{name: a}, {extension: {cluster: " + demoARN + "}, name: ekskey}, {name: 'z'}] # x\n"},
		{"flow inside", "    extensions:\n    - {name: \"ekskey\"}\n", "    extensions:\n    - {name: \"ekskey\", extension: {cluster: " + demoARN + "}}\n"},
		{"no extension", "    extensions:\n    - name: ekskey\n    - name: z\n", "    extensions:\n    - name: ekskey\n      extension:\n        cluster: " + demoARN + "\n    - name: z\n"},
		{"null", "    extensions:\n    - extension:\n      name: ekskey\n", "    extensions:\n    - extension:\n        cluster: " + demoARN + "\n      name: ekskey\n"},
		{"entry goes", "    extensions:\n    - extension:\n        cluster: " + demoARN + "\n        entry: foo\n      name: ekskey\n",
			"    extensions:\n    - extension:\n        cluster: " + demoARN + "\n      name: ekskey\n"},
		{"as it is", "    extensions:\n    - extension: {\"cluster\": '" + demoARN + "'}\n      name: ekskey\n", "    extensions:\n    - extension: {\"cluster\": '" + demoARN + "'}\n      name: ekskey\n"},
		{"none of ours", "    extensions:\n    - name: a # a's\n      extension: " + old + "\n", "    extensions:\n    - name: a # a's\n      extension: " + old + "\n"},
	}
	for _, tt := range tests {
		for _, eol := range []string{"\n", "\r\n"} {
			text := func(extensions string) string {
				return strings.ReplaceAll("contexts:\n- context:\n    cluster: "+demoARN+"\n"+extensions+"    user: "+demoUser+"\n  name: demo\n", "\n", eol)
			}
			f := mustParse(t, text(tt.in))
			if _, err := f.Apply(mustChange(t, demo())); err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if got, _, _ := strings.Cut(string(f.Bytes()), "clusters:"); !strings.HasPrefix(got, text(tt.want)) {
				t.Errorf("%s: %s", tt.name, cmp.Diff(text(tt.want), got))
			}
		}
	}
}

// kubectl keeps the mark when it writes the file.
func TestMarkSurvivesClientGo(t *testing.T) {
	f := mustParse(t, "")
	if _, err := f.Apply(mustChange(t, demo())); err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.Load(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	c.Contexts["other"] = api.NewContext()
	text, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	g := mustParse(t, string(text))
	if i := slices.IndexFunc(g.contexts, func(c Context) bool { return c.Name == "demo" }); g.contexts[i].MadeFor != demoARN {
		t.Errorf("got %+v\n%s", g.contexts, text)
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
