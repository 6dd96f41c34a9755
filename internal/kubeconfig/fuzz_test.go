package kubeconfig

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

var fuzzSeeds = []string{
	"", "---\n", "# x", "{}", "{clusters: []}", "[a]", "clusters:\n- name: a\n- name: a\n",
	"{clusters: [{name: a}, ], users: [a: b]}",
	"users:\n- name: |\n    x",
	"? clusters\n: - name: a\n",
	"clusters: &c\n- &d {name: a, cluster: &e {server: x}}\nx: [*d, *e]\n",
	"users:\n-\n  name: a\n-   \n\n    name: b\n",
	"clusters:\n- name: \"a\\\n   b\"\n  cluster: {server: 'x\n  y'}\n",
	"{\"clusters\":\n\t[\n\t\t{\"name\": \"a\"}\n\t]\n}",
	"contexts:\r- name: demo\r  context:\r    user: u\r",
	"contexts:\n- name: demo\u2028  context:\u0085    user: u\n",
	"contexts: [name: demo]\n",
	"!!map {clusters: !!seq [], contexts: !foo\n  - name: demo}\n",
	"contexts: !!seq\n- !!map\n  name: !!str demo\n  context: !!null\n",
	"contexts:\n- name: demo\n  context:\n    extensions: # all\n    - name: a\n      extension: {x: [1]} # a's\n    - extension:\n        cluster: x # old\n      name: ekskey\n    - {name: b}\n",
	"{contexts: [{name: demo, context: {extensions: [{name: ekskey}, {name: z}]}}]}",
	"--- {clusters: []}\n...\n", "{users}", "{users, current-context, contexts: [{name: demo, context}]}",
	"%YAML 1.1\n---\nclusters:\n...\n# end\n",
	"users:\n- name: " + demoARN + "\n  user:\n    exec:\n      command: aws\n      args:\n      - eks\n      - get-token\n      - --cluster-name=demo\n      env: null\n",
}

func seed(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), "demo", "")
	}
	paths, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range paths {
		a, err := txtar.ParseFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(disguise(string(a.Files[0].Data), string(a.Comment))), "demo", "ns")
	}
}

// FuzzEdit holds what this package is for: an edit of any valid kubeconfig is
// valid, is what was wanted, changes no byte outside the entries it names, and
// client-go sees the other entries as before.
func FuzzEdit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, alias, namespace string) {
		if len(data) > 1<<16 {
			return
		}
		file, err := Parse("config", data)
		if err != nil {
			if file != nil {
				t.Fatal("a file beside an error")
			}
			return
		}
		if file.Writable() != nil {
			if _, err := file.Apply(mustChange(t, demo())); err == nil || !bytes.Equal(file.Bytes(), data) {
				t.Fatal("edited, although a key or an entry is there twice")
			}
			return
		}
		checkEdit(t, file, alias, namespace)
	})
}

// checkEdit makes a change and holds all that FuzzEdit promises. It reports
// whether the change was made, and not refused as not editable.
func checkEdit(t *testing.T, file *File, alias, namespace string) bool {
	t.Helper()
	data := file.Bytes()
	o := demo()
	o.Alias = alias
	change, err := ForEKS(o)
	change.Context.Namespace = namespace // any text: it is of no concern here what Kubernetes takes
	if err != nil || change.check() != nil {
		return false
	}
	before, loadErr := clientcmd.Load(slices.Clone(data))
	untouched := *file
	results, err := file.Apply(change)
	var notEditable *NotEditableError
	if errors.As(err, &notEditable) {
		if string(file.Bytes()) != string(data) {
			t.Fatal("refused, and changed")
		}
		return false
	}
	var conflict *ConflictError
	if errors.As(err, &conflict) && userOf(&untouched, conflict.Name).hasAny(impersonationKeys) && string(file.Bytes()) == string(data) {
		return true
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	r := results[0]
	if err := subsequence(keptBytes(t, &untouched, r), file.Bytes()); err != nil {
		t.Fatalf("%v\n--- before\n%s\n--- after\n%s", err, data, file.Bytes())
	}
	again, err := file.Apply(change)
	if err != nil || again[0].Changed() {
		t.Fatalf("a second run: %+v, %v", again, err)
	}
	if loadErr != nil {
		return true
	}
	after, err := clientcmd.Load(file.Bytes())
	if err != nil {
		t.Fatalf("client-go reads it no more: %v\n--- before\n%s\n--- after\n%s", err, data, file.Bytes())
	}
	compareLoaded(t, before, after, r, namespace)
	return true
}

// keptBytes returns the file without the entries that the result names, and
// without what an edit may replace besides: the current context, and a list
// that is null or empty.
func keptBytes(t *testing.T, f *File, r Result) []byte {
	root := f.doc.Root()
	if root == nil {
		return f.Bytes()
	}
	text, bom := textOf(f)
	var cut []span
	add := func(n *yaml.Node) {
		start, end, err := f.doc.Extent(n)
		if err != nil {
			t.Fatalf("edited something whose end is not known: %v", err)
		}
		cut = append(cut, span{start, end})
	}
	if _, v := yamlsplice.Child(root, "current-context"); v != nil && r.Current.Outcome != Unchanged {
		add(v)
	}
	outcomes := map[string]Outcome{clusterList: r.Cluster.Outcome, contextList: r.Context.Outcome, userList: r.User.Outcome}
	names := map[string]string{clusterList: r.Cluster.Name, contextList: r.Context.Name, userList: r.User.Name}
	for list, name := range names {
		_, v := yamlsplice.Child(root, list)
		if v == nil || outcomes[list] == Unchanged {
			continue
		}
		if len(yamlsplice.Deref(v).Content) == 0 {
			add(v)
			last := &cut[len(cut)-1]
			for last.start > 0 && (text[last.start-1] == ' ' || text[last.start-1] == '\t') {
				last.start--
			}
			continue
		}
		for _, item := range f.doc.Items(list) {
			if yamlsplice.NameOf(item) == name {
				add(item)
				if last := &cut[len(cut)-1]; yamlsplice.Deref(v).Style&yaml.FlowStyle == 0 {
					last.end = lineEnd(text, last.end) // a comment on its last line is the entry's
				}
			}
		}
	}
	slices.SortFunc(cut, func(a, b span) int { return a.start - b.start })
	kept := slices.Clone(bom)
	at := 0
	for _, s := range cut {
		kept = append(kept, text[at:s.start]...)
		at = s.end
	}
	return append(kept, text[at:]...)
}

// span is a range of offsets in a file's text.
type span struct{ start, end int }

// textOf is a file's text, and its byte order mark.
func textOf(f *File) (text, bom []byte) {
	text = bytes.TrimPrefix(f.doc.Bytes(), []byte("\xEF\xBB\xBF"))
	return text, f.doc.Bytes()[:len(f.doc.Bytes())-len(text)]
}

// lineEnd is where the line of an offset ends, by YAML 1.1's breaks.
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexAny(text[at:], "\r\n\u0085\u2028\u2029"); i >= 0 {
		return at + i
	}
	return len(text)
}

func subsequence(part, whole []byte) error {
	i := 0
	for _, c := range whole {
		if i < len(part) && part[i] == c {
			i++
		}
	}
	if i < len(part) {
		return errors.New("bytes outside the entries named are gone: " + string(part[i:]))
	}
	return nil
}

func compareLoaded(t *testing.T, before, after *api.Config, r Result, namespace string) {
	t.Helper()
	for name, c := range before.Clusters {
		now := after.Clusters[name]
		if name == r.Cluster.Name {
			if now.TLSServerName != c.TLSServerName || now.ProxyURL != c.ProxyURL || !cmp.Equal(now.Extensions, c.Extensions) {
				t.Errorf("cluster %q has lost something: %+v, was %+v", name, now, c)
			}
		} else if diff := cmp.Diff(c, now); diff != "" {
			t.Errorf("cluster %q: %s", name, diff)
		}
	}
	for name, c := range before.Contexts {
		now := after.Contexts[name]
		if name == r.Context.Name {
			was, is := maps.Clone(c.Extensions), maps.Clone(now.Extensions)
			delete(was, markName) // which may be written anew
			delete(is, markName)
			if namespace == "" && now.Namespace != c.Namespace || !cmp.Equal(was, is) || len(now.Extensions) != len(c.Extensions) {
				t.Errorf("context %q has lost something: %+v, was %+v", name, now, c)
			}
		} else if diff := cmp.Diff(c, now); diff != "" {
			t.Errorf("context %q: %s", name, diff)
		}
	}
	for name, u := range before.AuthInfos {
		if name == r.User.Name {
			continue
		}
		if diff := cmp.Diff(u, after.AuthInfos[name], cmpopts.IgnoreUnexported(api.ExecConfig{})); diff != "" {
			t.Errorf("user %q: %s", name, diff)
		}
	}
	ctx := after.Contexts[r.Context.Name]
	if ctx == nil || ctx.Cluster != r.Cluster.Name || ctx.AuthInfo != r.User.Name {
		t.Errorf("context %q is %+v", r.Context.Name, ctx)
	}
	if after.CurrentContext != r.Context.Name {
		t.Errorf("current context %q", after.CurrentContext)
	}
	c := after.Clusters[r.Cluster.Name]
	if c == nil || c.Server != demo().Endpoint || string(c.CertificateAuthorityData) != "CA" || c.InsecureSkipTLSVerify || c.CertificateAuthority != "" {
		t.Errorf("cluster is %+v", c)
	}
	u := after.AuthInfos[r.User.Name]
	if u == nil || u.Exec == nil || u.Exec.Command != demo().Command || !slices.Equal(u.Exec.Args, demo().exec().Args) ||
		u.Exec.APIVersion != execAPIVersion || u.Exec.InteractiveMode != api.IfAvailableExecInteractiveMode || u.Token != "" {
		t.Errorf("user is %+v", u)
	}
}

// FuzzRender holds that any text that may be written is read back as that text,
// by our YAML reader and by client-go's, in block style and in JSON.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"a", "", " ", "true", "~", "0x1", "1e3", "- a", "a: b", "a #b", "'", "\"", "\\", "é", "\u00a0", "😀", "a:", "<<", "2001-01-01", "=", "|", "&a", "*a", "!a", "%", "@", "`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := demo()
		o.Alias, o.UserAlias, o.Profile = s, s, s
		change, err := ForEKS(o)
		if err != nil {
			return
		}
		change.Context.Namespace = s
		for _, start := range []string{"", "{}", "{clusters: [], x: y}", "contexts:\n- name: x\n  context: {}\n"} {
			file, err := Parse("config", []byte(start))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Apply(change); err != nil {
				t.Fatal(err)
			}
			loaded, err := clientcmd.Load(file.Bytes())
			if err != nil {
				t.Fatalf("%v\n%s", err, file.Bytes())
			}
			name := change.Context.Name
			ctx := loaded.Contexts[name]
			if loaded.CurrentContext != name || ctx == nil || ctx.Namespace != s || ctx.AuthInfo != change.User.Name {
				t.Fatalf("%q is read as %+v\n%s", s, ctx, file.Bytes())
			}
			if s != "" && loaded.AuthInfos[s].Exec.Args[6] != s {
				t.Fatalf("profile is read as %q", loaded.AuthInfos[s].Exec.Args)
			}
		}
	})
}
