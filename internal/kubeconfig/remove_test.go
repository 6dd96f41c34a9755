package kubeconfig

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

// removeFrom removes contexts from a file of that text.
func removeFrom(t *testing.T, text string, names ...string) (after string, removed []Removed, err error) {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "config"), text)
	_, edits, planErr := Plan(t.Context(), Env{Flag: path}, Batch{Remove: names})
	r, err := Update(t.Context(), Env{Flag: path}, Batch{Remove: names})
	if (planErr == nil) != (err == nil) {
		t.Errorf("the plan was other: %v, %v", planErr, err)
	}
	after = read(t, path)
	for _, e := range edits {
		if string(e.after.Bytes()) != after {
			t.Error("the plan was other")
		}
		checkDiff(t, e)
	}
	for i := range r.Removed {
		r.Removed[i].File = ""
	}
	return after, r.Removed, err
}

// The ways of writing a list, each with one entry of three removed.
func TestRemoveSplices(t *testing.T) {
	tests := []struct {
		name   string
		in     string
		remove string
		want   string
	}{
		{"first", "contexts:\n- name: a\n- name: b\n- name: c\nx: 1\n", "a", "contexts:\n- name: b\n- name: c\nx: 1\n"},
		{"middle", "contexts:\n- name: a\n- name: b\n- name: c\nx: 1\n", "b", "contexts:\n- name: a\n- name: c\nx: 1\n"},
		{"last", "contexts:\n- name: a\n- name: b\n- name: c\nx: 1\n", "c", "contexts:\n- name: a\n- name: b\nx: 1\n"},
		{"two neighbours", "contexts:\n- name: a\n- name: b\n- name: c\nx: 1\n", "b c", "contexts:\n- name: a\nx: 1\n"},
		{"all", "contexts:\n- name: a\n- name: b\nx: 1\n", "b a", "contexts: []\nx: 1\n"},
		{"the only one", "contexts:\n- name: a\n  context: {user: u}\nx: 1\n", "a", "contexts: []\nx: 1\n"},
		{"the only one, at the end", "x: 1\ncontexts:\n- name: a\n", "a", "x: 1\ncontexts: []\n"},
		{"the only one, without a final newline", "contexts:\n- name: a", "a", "contexts: []\n"},
		{"without a final newline", "contexts:\n- name: a\n- name: b", "b", "contexts:\n- name: a\n"},
		{"without a final newline, another", "contexts:\n- name: a\n- name: b", "a", "contexts:\n- name: b"},
		{"indented", "contexts:\n    - name: a\n    - name: b\n", "a", "contexts:\n    - name: b\n"},
		{"indented, the only one", "contexts:\n    - name: a\nx: 1\n", "a", "contexts: []\nx: 1\n"},
		{"CRLF", "contexts:\r\n- name: a\r\n- name: b\r\n  context:\r\n    user: u\r\n- name: c\r\n", "b", "contexts:\r\n- name: a\r\n- name: c\r\n"},
		{"CRLF, the only one", "contexts:\r\n- name: a\r\nx: 1\r\n", "a", "contexts: []\r\nx: 1\r\n"},
		{"BOM", "\uFEFFcontexts:\n- name: a\n- name: b\n", "a", "\uFEFFcontexts:\n- name: b\n"},
		{"BOM, the only one", "\uFEFFcontexts:\n- name: a\n", "a", "\uFEFFcontexts: []\n"},
		{"comments around", "contexts: # of mine\n# one\n- name: a # first\n  # inside\n  context: {user: u} # end\n# two\n\n- name: b\n", "a",
			"contexts: # of mine\n# one\n# two\n\n- name: b\n"},
		{"comments around the only one", "contexts: # of mine\n# one\n- name: a\n# two\nx: 1\n", "a", "contexts: [] # of mine\n# one\n# two\nx: 1\n"},
		{"comments deeper than the entry", "contexts:\n- name: a\n- name: b\n  context:\n    user: u\n      # deep\n- name: c\n", "b", "contexts:\n- name: a\n      # deep\n- name: c\n"},
		{"blank lines", "contexts:\n\n- name: a\n\n- name: b\n\n\n- name: c\n", "b", "contexts:\n\n- name: a\n\n\n\n- name: c\n"},
		{"a dash alone", "contexts:\n-\n  name: a\n-\n\n  name: b\n- name: c\n", "b", "contexts:\n-\n  name: a\n- name: c\n"},
		{"a dash with a comment", "contexts:\n- # - name: old\n  name: a\n- # - x\n\n  # - y\n  name: b\n- name: c\n", "b", "contexts:\n- # - name: old\n  name: a\n- name: c\n"},
		{"a list in an entry", "contexts:\n- name: a\n  x:\n  - 1\n  -\n    - 2\n- name: b\n", "a", "contexts:\n- name: b\n"},
		{"an entry without a body", "contexts:\n- name: a\n  context:\n- name: b\n", "a", "contexts:\n- name: b\n"},
		{"an entry without a body, the only one", "contexts:\n- name: a\n  context:\n\n# end\nx: 1\n", "a", "contexts: []\n\n# end\nx: 1\n"},
		{"null at the end", "contexts:\n- name: a\n- name: b\n  context: ~\n", "b", "contexts:\n- name: a\n"},
		{"a block scalar", "contexts:\n- name: a\n  x: |\n    text\n\n    # more\n- name: b\n", "a", "contexts:\n- name: b\n"},
		{"behind a block scalar", "contexts:\n- name: a\n  x: |\n    text\n- name: b\n# note\n\n- name: c\n", "b", "contexts:\n- name: a\n  x: |\n    text\n# note\n\n- name: c\n"},
		{"a scalar of several lines", "contexts:\n- name: a\n  x: one\n    two\n- name: b\n", "a", "contexts:\n- name: b\n"},
		{"entries in braces", "contexts:\n- {name: a}\n- {name: b,\n  context: {}}\n- {name: c}\n", "b", "contexts:\n- {name: a}\n- {name: c}\n"},
		{"tag and anchor of the list", "contexts: !!seq &x # mine\n- name: a\n", "a", "contexts: !!seq &x [] # mine\n"},
		{"tag on the next line", "contexts:\n  !!seq\n- name: a\n", "a", "contexts:\n  !!seq []\n"},
		{"anchor used in the entry alone", "contexts:\n- &x\n  name: &n a\n  x: *n\n- name: b\n", "a", "contexts:\n- name: b\n"},
		{"alias to elsewhere in the entry", "d: &d {user: u}\ncontexts:\n- name: a\n  context: *d\n- name: b\n", "a", "d: &d {user: u}\ncontexts:\n- name: b\n"},
		{"merge key in the entry", "d: &d {user: u}\ncontexts:\n- name: a\n  context:\n    <<: *d\n- name: b\n", "a", "d: &d {user: u}\ncontexts:\n- name: b\n"},
		{"an alias", "d: &d {name: a}\ncontexts:\n- *d # here\n- name: b\n", "a", "d: &d {name: a}\ncontexts:\n- name: b\n"},
		{"a document mark", "--- # x\ncontexts:\n- name: a\n...\n", "a", "--- # x\ncontexts: []\n...\n"},
		{"quoted keys", "\"contexts\" :\n- \"name\": 'a'\nx: 1\n", "a", "\"contexts\" : []\nx: 1\n"},

		{"flow, first", "contexts: [{name: a}, {name: b}, {name: c}]\n", "a", "contexts: [{name: b}, {name: c}]\n"},
		{"flow, middle", "contexts: [{name: a}, {name: b}, {name: c}]\n", "b", "contexts: [{name: a}, {name: c}]\n"},
		{"flow, last", "contexts: [{name: a}, {name: b}, {name: c}]\n", "c", "contexts: [{name: a}, {name: b}]\n"},
		{"flow, last two", "contexts: [{name: a}, {name: b}, {name: c}]\n", "b c", "contexts: [{name: a}]\n"},
		{"flow, all", "contexts: [{name: a}, {name: b}]\n", "a b", "contexts: []\n"},
		{"flow, the only one", "contexts: [ {name: a}, ] # x\n", "a", "contexts: [] # x\n"},
		{"flow, a comma at the end", "contexts: [{name: a}, {name: b},]\n", "b", "contexts: [{name: a},]\n"},
		{"flow, first and last", "contexts: [{name: a}, {name: b}, {name: c}]\n", "a c", "contexts: [{name: b}]\n"},
		{"flow, comments", "contexts: [ # 1\n  {name: a}, # 2\n  {name: b}, # 3\n  {name: c} # 4\n]\n", "b", "contexts: [ # 1\n  {name: a}, # 2\n   # 3\n  {name: c} # 4\n]\n"},
		{"flow, comments, last", "contexts: [ # 1\n  {name: a}, # 2\n  {name: b} # 3\n]\n", "b", "contexts: [ # 1\n  {name: a} # 2\n   # 3\n]\n"},
		{"flow, comments, all", "contexts: [ # 1\n  {name: a}, # 2\n  {name: b} # 3\n]\n", "a b", "contexts: [ # 1\n   # 2\n   # 3\n]\n"},
		{"JSON", "{\n  \"contexts\": [\n    {\n      \"name\": \"a\"\n    },\n    {\n      \"name\": \"b\"\n    }\n  ]\n}\n", "a",
			"{\n  \"contexts\": [\n    {\n      \"name\": \"b\"\n    }\n  ]\n}\n"},
		{"JSON, last", "{\n  \"contexts\": [\n    {\n      \"name\": \"a\"\n    },\n    {\n      \"name\": \"b\"\n    }\n  ]\n}\n", "b",
			"{\n  \"contexts\": [\n    {\n      \"name\": \"a\"\n    }\n  ]\n}\n"},
		{"JSON, all", "{\n  \"contexts\": [\n    {\n      \"name\": \"a\"\n    }\n  ], \"x\": 1\n}\n", "a", "{\n  \"contexts\": [], \"x\": 1\n}\n"},
		{"JSON in one line", `{"contexts":[{"name":"a"},{"name":"b"}],"current-context":"a"}`, "a", `{"contexts":[{"name":"b"}],"current-context":""}`},
		{"current-context", "current-context: a # mine\ncontexts:\n- name: a\n", "a", "current-context: \"\" # mine\ncontexts: []\n"},
		{"current-context in quotes", "current-context: 'a'\ncontexts: [{name: a}]\n", "a", "current-context: ''\ncontexts: []\n"},
		{"current-context of another", "current-context: b\ncontexts:\n- name: a\n- name: b\n", "a", "current-context: b\ncontexts:\n- name: b\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := removeFrom(t, tt.in, strings.Fields(tt.remove)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := clientcmd.Load([]byte(strings.TrimPrefix(got, "\uFEFF"))); err != nil {
				t.Errorf("client-go: %v", err)
			}
		})
	}
}

// What cannot be removed without touching something else is refused.
func TestRemoveRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   string
		line int
	}{
		{"anchor used elsewhere", "contexts:\n- name: b\n- &x\n  name: a\nx: *x\n", 3},
		{"anchor inside used elsewhere", "contexts:\n- name: &n a\ncurrent-context: *n\n", 2},
		{"anchor of its user used elsewhere", "contexts:\n- name: a\n  context: {user: u}\nusers:\n- &u {name: u}\nx: *u\n", 5},
		{"list is an alias", "x: &x [{name: a}]\ncontexts: *x\n", 2},
		{"list has an alias", "contexts: &x [{name: a}]\nx: *x\n", 1},
		{"list from a merge key", "x: &x {contexts: [{name: a}]}\n<<: *x\n", 1},
		{"current-context has an alias", "contexts: [{name: a}]\ncurrent-context: &c a\nx: *c\n", 2},
		{"explicit keys", "? contexts\n: - name: a\n  - name: b\n", 2},
		{"no braces", "contexts: [name: a, name: b]\n", 1},
		{"a comment would become text", "contexts:\n- name: b\n  x: |\n    text\n- name: a\n    # note\n- name: c\n", 2},
		{"a blank line would become text", "contexts:\n- name: b\n  x: |+\n    text\n- name: a\n\n- name: c\n", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := removeFrom(t, tt.in, "a")
			var e *NotEditableError
			if !errors.As(err, &e) || e.Line != tt.line {
				t.Errorf("got %v", err)
			}
			if got != tt.in {
				t.Errorf("the file has become %q", got)
			}
		})
	}
}

const several = `contexts:
- name: a
  context: {cluster: c, user: u}
- name: b
  context: {cluster: c, user: v}
- name: d
  context: {cluster: d, user: v}
clusters:
- name: c
- name: d
- name: unused
users:
- name: u
- name: v
`

// What a removed context named goes with it, if nothing else needs it.
func TestRemoveWhatIsNamed(t *testing.T) {
	gone := func(pairs ...string) (r []Removed) {
		for i := 0; i < len(pairs); i += 2 {
			r = append(r, Removed{Kind: pairs[i], Name: pairs[i+1]})
		}
		return r
	}
	own := "it holds credentials of its own"
	plugin := func(exec string) string {
		return "contexts:\n- name: a\n  context: {user: y}\nusers:\n- name: y\n  user: {exec: " + exec + "}\n"
	}
	tests := []struct {
		name   string
		in     string
		remove string
		want   []Removed
	}{
		{"cluster used by another", several, "a", gone("context", "a", "user", "u")},
		{"user used by another", several, "d", gone("context", "d", "cluster", "d")},
		{"both used by others", several, "b", gone("context", "b")},
		{"those who share, together", several, "d b", gone("context", "d", "cluster", "d", "user", "v", "context", "b")},
		{"all", several, "a b d", gone("context", "a", "cluster", "c", "user", "u", "context", "b", "user", "v", "context", "d", "cluster", "d")},
		{"twice", several, "a a", gone("context", "a", "user", "u")},
		{"entries that are missing", "contexts:\n- name: a\n  context: {cluster: x, user: y}\n", "a", gone("context", "a")},
		{"entries without a name", "contexts:\n- name: a\nusers:\n- user: {}\nclusters:\n- name: \"\"\n", "a", gone("context", "a")},
		{"a token", several + "  user: {token: t}\n", "d b", append(gone("context", "d", "cluster", "d"), Removed{Kind: "user", Name: "v", Kept: own}, Removed{Kind: "context", Name: "b"})},
		{"a key beside a plugin", "contexts:\n- name: a\n  context: {user: y}\nusers:\n- name: y\n  user: {exec: {command: aws}, client-key: f}\n", "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: own})},
		{"a plugin of unknown words", plugin("{command: /opt/vault.sh, args: [--password, hunter2], env: [{name: VAULT_TOKEN, value: t}]}"), "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: `it runs "vault.sh", which nothing here could write again`})},
		{"a program known, its words not", plugin("{command: aws, args: [sso, login]}"), "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: `it runs "aws", which nothing here could write again`})},
		{"keys in the environment", plugin("{command: ekskey, args: [token, -i, demo], env: [{name: AWS_SECRET_ACCESS_KEY, value: t}]}"), "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: `it runs "ekskey", which nothing here could write again`})},
		{"a terminal escape", plugin(`{command: "x\e[2J"}`), "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: `it runs "x\x1b[2j", which nothing here could write again`})},
		{"ours", plugin("{command: ekskey, args: [token, -i, demo]}"), "a", gone("context", "a", "user", "y")},
		{"of aws", plugin("{command: aws, args: [eks, get-token, --cluster-name, demo], env: [{name: AWS_PROFILE, value: p}]}"), "a", gone("context", "a", "user", "y")},
		{"ours, under another name", plugin("{command: /opt/kk, args: [token, -i, demo]}"), "a",
			append(gone("context", "a"), Removed{Kind: "user", Name: "y", Kept: `it runs "kk", which nothing here could write again`})},
		{"ours, under another name, marked", strings.Replace(plugin("{command: /opt/kk, args: [token, -i, demo]}"), "{user: y}",
			"{user: y, cluster: c, extensions: [{name: ekskey, extension: {cluster: x, entry: c}}]}", 1), "a", gone("context", "a", "user", "y")},
		{"no plugin, impersonation", "contexts:\n- name: a\n  context: {user: y}\nusers:\n- name: y\n  user: {as: z}\n", "a", gone("context", "a", "user", "y")},
		{"current", "current-context: a\n" + several, "a", gone("context", "a", "user", "u", "current-context", "a")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			after, got, err := removeFrom(t, tt.in, strings.Fields(tt.remove)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			f := mustParse(t, after)
			for _, r := range got {
				list := map[string]string{"context": contextList, "cluster": clusterList, "user": userList}[r.Kind]
				if _, there := findIn(f, list, r.Name); there != (r.Kept != "") {
					t.Errorf("%+v, and it is there: %v", r, there)
				}
			}
			if slices.ContainsFunc(got, func(r Removed) bool { return r.Kind == "current-context" }) != (f.CurrentContext() != mustParse(t, tt.in).CurrentContext()) {
				t.Errorf("current context %q", f.CurrentContext())
			}
		})
	}
}

func TestRemoveMissing(t *testing.T) {
	after, _, err := removeFrom(t, several, "a", "nobody")
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Name != "nobody" || missing.Kind != "context" || after != several {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "new", "config")
	if _, err := Update(t.Context(), Env{Flag: path}, Batch{Remove: []string{"a"}}); !errors.As(err, &missing) {
		t.Errorf("no file: %v", err)
	}
	if got := folder(t, filepath.Dir(filepath.Dir(path))); len(got) > 0 {
		t.Errorf("made %v", got)
	}
	// With Only it is as it should be.
	all := func(MergedContext) bool { return true }
	if r, err := Update(t.Context(), Env{Flag: path}, Batch{Remove: []string{"a"}, Only: all}); err != nil || len(r.Removed) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
