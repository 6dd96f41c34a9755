package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

const demoARN = "arn:aws:eks:eu-west-1:111122223333:cluster/demo"

// demoUser is the user entry of the cluster with neither role nor profile.
const demoUser = demoARN + "~ekskey"

// demo is the change that most tests make.
func demo() Options {
	return Options{
		ClusterARN:  demoARN,
		ClusterName: "demo",
		Region:      "eu-west-1",
		Endpoint:    "https://ABC.eks.amazonaws.com",
		CAData:      []byte("Q0E="),
		Command:     "/usr/local/bin/ekskey",
		Alias:       "demo",
		SetCurrent:  true,
	}
}

func mustChange(t testing.TB, o Options) Change {
	t.Helper()
	c, err := ForEKS(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustParse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("config", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGolden edits each testdata/edit/*.txtar file's "in" and compares with its
// "out", byte for byte. The first comment line of an archive may name
// transformations of both: crlf, bom, chomp (no line break at the end). Then
// the same change is made again, and must change nothing.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal(err, len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in, want, outcome := "", "", ""
			for _, f := range a.Files {
				text := string(f.Data)
				switch f.Name {
				case "in":
					in = disguise(text, string(a.Comment))
				case "out":
					want = disguise(text, string(a.Comment))
				case "result":
					outcome = strings.TrimSpace(text)
				}
			}
			f := mustParse(t, in)
			change := mustChange(t, demo())
			results, err := f.Apply(change)
			if err != nil {
				t.Fatal(err)
			}
			r := results[0]
			got := "cluster " + r.Cluster.Outcome.String() + ", user " + r.User.Outcome.String() +
				", context " + r.Context.Outcome.String() + ", current " + r.Current.Outcome.String()
			if os.Getenv("UPDATE_GOLDEN") != "" {
				update(t, path, a, string(f.Bytes()), got)
				return
			}
			if diff := cmp.Diff(want, string(f.Bytes())); diff != "" {
				t.Errorf("wrong bytes (-want +got):\n%s", diff)
			}
			if got != outcome {
				t.Errorf("result is %q, want %q", got, outcome)
			}
			again, err := f.Apply(change)
			if err != nil {
				t.Fatal(err)
			}
			if again[0].Changed() || string(f.Bytes()) != want {
				t.Errorf("a second run changes %+v", again[0])
			}
		})
	}
}

func disguise(text, how string) string {
	how, _, _ = strings.Cut(how, "\n")
	if strings.Contains(how, "chomp") {
		text = strings.TrimSuffix(text, "\n")
	}
	if strings.Contains(how, "crlf") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if strings.Contains(how, "bom") {
		text = "\uFEFF" + text
	}
	return text
}

func update(t *testing.T, path string, a *txtar.Archive, out, result string) {
	out = strings.TrimPrefix(strings.ReplaceAll(out, "\r\n", "\n"), "\uFEFF")
	if !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	a.Files = []txtar.File{a.Files[0], {Name: "out", Data: []byte(out)}, {Name: "result", Data: []byte(result + "\n")}}
	if err := os.WriteFile(path, txtar.Format(a), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A table of one mutation a row: each is refused with its own type, line and reason.
func TestParseRefuses(t *testing.T) {
	syntax := func(line int, reason string) error { return &SyntaxError{File: "config", Line: line, Reason: reason} }
	twice := func(key string, line, first int) error {
		return &DuplicateKeyError{File: "config", Key: key, Line: line, FirstLine: first}
	}
	wrong := func(line int, path, want, got string) error { return &TypeError{"config", line, path, want, got} }
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"not YAML", "clusters: [\n", syntax(2, "is not YAML: did not find expected node content")},
		{"unclosed on the first line", "a: [\n\n\n", syntax(4, "is not YAML: did not find expected node content")},
		{"bad escape on the first line", "a: \"\\q\"\n", syntax(1, "is not YAML: found unknown escape character")},
		{"key at another level", "a: 1\n b: 2\n", syntax(2, "is not YAML: mapping values are not allowed in this context")},
		{"tab as indentation", "clusters:\n\t- name: a\n", syntax(2, "is not YAML: found character that cannot start any token")},
		{"a NUL", "a: 1\nb: \x00\n", syntax(2, "is not YAML: control characters are not allowed")},
		{"not UTF-8", "a: 1\nb: \xff\n", syntax(2, "is not UTF-8")},
		{"UTF-16", "\xff\xfea\x00", syntax(1, "is UTF-16, not UTF-8")},
		{"two byte order marks", "\uFEFF\uFEFFa: 1\n", syntax(1, "begins with two byte order marks")},
		{"two documents", "a: 1\n---\nb: 1\n", syntax(2, "has a second YAML document")},
		{"two documents, the second empty", "a: 1\n---\n", syntax(2, "has a second YAML document")},
		{"broken second document", "a: 1\n---\n[\n", syntax(4, "is not YAML: did not find expected node content")},
		{"top level list", "- a\n", syntax(1, "the top level is a list, not a mapping")},
		{"top level string", "# hello\nconfig\n", syntax(2, "the top level is a string, not a mapping")},
		{"another kind", "apiVersion: v1\nkind: Pod\n", syntax(2, "is of another kind than Config, not a kubeconfig")},
		{"another version", "apiVersion: v2\nkind: Config\n", syntax(1, "has another apiVersion than v1")},
		{"key twice", "clusters: []\nusers: []\nclusters: []\n", twice("clusters", 3, 1)},
		{"key twice in an entry", "users:\n- name: a\n  user:\n    token: x\n    token: y\n", twice("token", 5, 4)},
		{"key twice, quoted", "users: []\n\"users\": []\n", twice("users", 2, 1)},
		{"key twice, escaped", "users: []\n\"\\u0075sers\": []\n", twice("users", 2, 1)},
		{"key twice in JSON", "{\"users\": [],\n\"users\": []}", twice("users", 2, 1)},
		{"key twice where we never look", "preferences:\n  x: {a: 1, a: 2}\n", twice("", 2, 2)},
		{"two clusters of a name", "clusters:\n- name: a\n- name: b\n- name: a\n", &DuplicateEntryError{"config", "clusters", "a", 4, 2}},
		{"two contexts of a name", "contexts:\n- name: a\n- name: \"a\"\n", &DuplicateEntryError{"config", "contexts", "a", 3, 2}},
		{"two users of a name", "users: [{name: a}, {name: a}]\n", &DuplicateEntryError{"config", "users", "a", 1, 1}},
		{"two users by one alias", "x: &x {name: a}\nusers: [*x, *x]\n", &DuplicateEntryError{"config", "users", "a", 2, 2}},
		{"list is a map", "clusters:\n  a: {}\n", wrong(2, "clusters", "a list", "a mapping")},
		{"list is a string", "users: none\n", wrong(1, "users", "a list", "a string")},
		{"entry is a string", "users:\n- name: a\n- b\n", wrong(3, "users[1]", "a mapping", "a string")},
		{"entry is null", "users:\n-\n", wrong(2, "users[0]", "a mapping", "null")},
		{"name is a number", "contexts:\n- context: {}\n  name: 7\n", wrong(3, "contexts[0].name", "a string", "a number")},
		{"name is a boolean", "contexts:\n- name: true\n", wrong(2, "contexts[0].name", "a string", "a boolean")},
		{"body is a list", "clusters:\n- name: a\n  cluster: []\n", wrong(3, "clusters[0].cluster", "a mapping", "a list")},
		{"server is a number", "clusters:\n- name: a\n  cluster: {server: 1.5}\n", wrong(3, "clusters[0].cluster.server", "a string", "a number")},
		{"insecure is a string", "clusters:\n- cluster: {insecure-skip-tls-verify: \"true\"}\n", wrong(2, "clusters[0].cluster.insecure-skip-tls-verify", "a boolean", "a string")},
		{"namespace is a map", "contexts:\n- context:\n    namespace: {}\n", wrong(3, "contexts[0].context.namespace", "a string", "a mapping")},
		{"token is a number", "users:\n- user: {token: 123}\n", wrong(2, "users[0].user.token", "a string", "a number")},
		{"exec is a string", "users:\n- user: {exec: aws}\n", wrong(2, "users[0].user.exec", "a mapping", "a string")},
		{"args is a string", "users:\n- user: {exec: {args: -x}}\n", wrong(2, "users[0].user.exec.args", "a list", "a string")},
		{"an arg is a number", "users:\n- user: {exec: {args: [a, 1]}}\n", wrong(2, "users[0].user.exec.args[1]", "a string", "a number")},
		{"env is a map", "users:\n- user: {exec: {env: {A: b}}}\n", wrong(2, "users[0].user.exec.env", "a list", "a mapping")},
		{"a variable is a string", "users:\n- user: {exec: {env: [A=b]}}\n", wrong(2, "users[0].user.exec.env[0]", "a mapping", "a string")},
		{"a variable's value is a number", "users:\n- user: {exec: {env: [{name: A, value: 1}]}}\n", wrong(2, "users[0].user.exec.env[0].value", "a string", "a number")},
		{"extensions are a map", "contexts:\n- context:\n    extensions: {a: b}\n", wrong(3, "contexts[0].context.extensions", "a list", "a mapping")},
		{"an extension is a string", "contexts:\n- context:\n    extensions:\n    - a\n", wrong(4, "contexts[0].context.extensions[0]", "a mapping", "a string")},
		{"an extension's name is a number", "contexts:\n- context: {extensions: [{name: 1}]}\n", wrong(2, "contexts[0].context.extensions[0].name", "a string", "a number")},
		{"current-context is a list", "current-context: [a]\n", wrong(1, "current-context", "a string", "a list")},
		{"a key is a list", "[a]: b\n", syntax(1, "a key is a list, not a string")},
		{"merge of a string", "<<: x\n", syntax(1, "a merge key needs a mapping")},
		{"unknown alias", "x: 1\na: *b\n", syntax(2, "is not YAML: an alias has no anchor")},
		{"alias inside itself", "a: &a [*a]\n", syntax(1, "an alias is inside what it stands for")},
		{"alias bomb", aliasBomb(), syntax(0, "has aliases that expand to more than is reasonable")},
		{"too large", strings.Repeat("#", MaxSize+1), syntax(0, "has more than 16777216 bytes")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("config", []byte(tt.in))
			if err == nil {
				// What can be read and not be written.
				if err = f.Writable(); err != nil {
					f = nil
				}
			}
			if diff := cmp.Diff(tt.want, err); diff != "" {
				t.Errorf("wrong error (-want +got):\n%s\n%v", diff, err)
			}
			if f != nil {
				t.Error("a file beside the error")
			}
		})
	}
}

func aliasBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for _, i := range "123456789" {
		prev := string(i - 1)
		b.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.TrimSuffix(strings.Repeat("*a"+prev+", ", 10), ", ") + "]\n")
	}
	return b.String()
}

// What cannot be changed without touching something else is refused politely.
func TestApplyRefuses(t *testing.T) {
	entry := func(cluster string) string {
		return "clusters:\n- name: " + demoARN + "\n  cluster: " + cluster + "\n"
	}
	tests := []struct {
		name   string
		in     string
		line   int
		reason string
	}{
		{"entry is an alias", "x: &x {name: " + demoARN + "}\nclusters: [*x]\n", 2, "an alias stands where a change is wanted"},
		{"body is an alias", "x: &x {server: s}\n" + entry("*x"), 4, "an alias stands where a change is wanted"},
		{"value is an alias", "x: &x s\n" + entry("{server: *x}"), 4, "an alias stands where a change is wanted"},
		{"merge key", "x: &x {server: s}\n" + entry("{<<: *x}"), 3, "what is to be changed has a merge key"},
		{"anchor used elsewhere", entry("{server: &s s}") + "x: *s\n", 3, "an anchor is used in another item, so its item cannot be changed alone"},
		{"list is an alias", "x: &x []\nclusters: *x\n", 2, "clusters is an alias"},
		{"list is used elsewhere", "clusters: &x []\ny: *x\n", 1, "an anchor of clusters is used outside of it, so they cannot be changed alone"},
		{"list with our entry is used elsewhere", "clusters: &x [{name: \"" + demoARN + "\"}]\ny: *x\n", 1, "an anchor of clusters is used outside of it, so they cannot be changed alone"},
		{"list by merge", "x: &x {clusters: [{name: a}]}\n<<: *x\n", 1, "clusters comes from a merge key"},
		{"nothing and its end", "---\n...\n", 0, "has an end of document or a directive and nothing else"},
		{"explicit keys", "? clusters\n: \n", 2, "clusters is written in a way that cannot be edited in place"},
		{"the end is in an open block scalar", "users: []\nclusters:\n- cluster: {}\n  name: |\n    a", 3, "clusters is written in a way that cannot be edited in place"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, tt.in)
			_, err := f.Apply(mustChange(t, demo()))
			var e *NotEditableError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a NotEditableError\n%s", err, f.Bytes())
			}
			if e.Line != tt.line || e.Reason != tt.reason {
				t.Errorf("got %v, want line %d, %q", err, tt.line, tt.reason)
			}
			if string(f.Bytes()) != tt.in {
				t.Error("the file has changed")
			}
		})
	}
}

// findIn reports whether a file has an entry.
func findIn(f *File, list, name string) (line int, ok bool) {
	if n := f.doc.Find(list, name); n != nil {
		return n.Line, true
	}
	return 0, false
}
