//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

const plainFile = `apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster:
    server: https://old.example
  name: old
contexts:
- context:
    cluster: old
    namespace: kept
    user: old
  name: old
current-context: old
users:
- name: old
  user:
    token: word
`

// oddFiles are kubeconfigs as people have them.
var oddFiles = map[string]string{
	"plain":           plainFile,
	"empty":           "",
	"only-comments":   "# nothing yet\n\n# at all\n",
	"crlf":            strings.ReplaceAll(plainFile, "\n", "\r\n"),
	"bom":             "\ufeff" + plainFile,
	"no-last-newline": strings.TrimSuffix(plainFile, "\n"),
	"document-marks":  "---\n" + plainFile + "...\n",
	"flow": `{apiVersion: v1, kind: Config, clusters: [{name: old, cluster: {server: "https://old.example"}}],
 contexts: [{name: old, context: {cluster: old, user: old, namespace: kept}}], users: [{name: old, user: {token: word}}], current-context: old}
`,
	"json":          `{"apiVersion":"v1","kind":"Config","clusters":[{"name":"old","cluster":{"server":"https://old.example"}}],"contexts":[{"name":"old","context":{"cluster":"old","user":"old","namespace":"kept"}}],"users":[{"name":"old","user":{"token":"word"}}],"current-context":"old"}`,
	"json-indented": "{\n    \"apiVersion\": \"v1\",\n    \"clusters\": [],\n    \"contexts\": null,\n    \"kind\": \"Config\",\n    \"users\": [\n        {\n            \"name\": \"old\",\n            \"user\": {}\n        }\n    ]\n}\n",
	"comments":      "# mine\n" + strings.ReplaceAll(strings.ReplaceAll(plainFile, "- cluster:\n", "# the old one\n- cluster: # why\n"), "users:\n", "users: # whose\n# next\n") + "# the end\n",
	"anchors": `apiVersion: v1
kind: Config
clusters:
- name: old
  cluster: &old {server: "https://old.example"}
- name: same
  cluster: *old
contexts:
- name: old
  context: &in
    cluster: old
    user: old
    namespace: kept
- name: same
  context: *in
users:
- name: old
  user: {token: word}
current-context: old
`,
	"null-lists":   "apiVersion: v1\nkind: Config\nclusters: null\ncontexts:\nusers: ~\ncurrent-context: \"\"\n",
	"empty-lists":  "apiVersion: v1\nclusters: []\ncontexts: []\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: []\n",
	"indented":     "apiVersion: v1\nkind: Config\nclusters:\n    -   name: old\n        cluster:\n            server: https://old.example\ncontexts:\n    -   name: old\n        context: {cluster: old, user: old, namespace: kept}\nusers:\n    -   name: old\n        user:\n            token: word\ncurrent-context: old\n",
	"quoted-keys":  "\"apiVersion\": 'v1'\n'kind': \"Config\"\n\"users\":\n- \"name\": \"old\"\n  \"user\": {'token': \"word\"}\n",
	"not-in-order": "users:\n- user: {}\n  name: old\ncurrent-context: old\nkind: Config\napiVersion: v1\nextensions:\n- name: theirs\n  extension: {of: theirs}\n",
}

// oddNames are context names that are something else without quotes, in one
// version of YAML or in another.
var oddNames = []string{"on", "No", "null", "~", "1:30", "12:30:45", "0x10", "017", "1_000", ".5", ".inf", "2026-01-01", "=", "<<", "-", "- a",
	"a: b", "a:", ":a", "a #b", "#a", "@a", "`a", "%a", "&a", "*a", "!a", "|", ">", "? a", "'", `"`, `\`, "[a", "{a}", "a,b", "ü", " a ", "---", "..."}

// oddToAWS are those that the aws command itself writes without quotes, whereupon
// kubectl reads a boolean or a number.
var oddToAWS = []string{"y", "N", "1e3", "0o17"}

// Whoever reads a file before ekskey has been there reads it after.
func TestKubeconfigFilesForOthers(t *testing.T) {
	eks := newManyClusters(t, 2)
	aws := awsCommand(t, eks.env)
	for name, text := range oddFiles {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "config")
			put(t, file, text)
			before := load(t, file)
			awsReads := aws != "" && func() bool {
				copied := filepath.Join(dir, "aws")
				put(t, copied, text)
				return awsUpdate(t, eks, aws, copied).code == 0
			}()
			ours := update(t, eks, file, "new")
			after := load(t, file)
			if wrong := ours.wrong(after); wrong != "" {
				t.Error(wrong)
			}
			sameBut(t, before, after, "new", arnOf(eks.names[0]), arnOf(eks.names[0])+"~ekskey")
			asKubectlSees(t, eks.env, file, after)
			if !awsReads {
				t.Log("the aws command does not read the file as it was, so it is not asked afterwards")
				return
			}
			if o := awsUpdate(t, eks, aws, file); o.code != 0 {
				t.Fatalf("aws eks update-kubeconfig read the file before and does not now: %s", o.stderr)
			}
			again := load(t, file)
			if wrong := ours.wrong(again); wrong != "" {
				t.Errorf("after aws eks update-kubeconfig: %s", wrong)
			}
			update(t, eks, file, "newer")
			sameBut(t, again, load(t, file), "newer", "", "")
		})
	}
}

// Names that YAML would take for something else stay names, for everyone.
func TestKubeconfigOddNamesForOthers(t *testing.T) {
	eks := newManyClusters(t, 2)
	aws := awsCommand(t, eks.env)
	for style, text := range map[string]string{"block": "", "flow": "{apiVersion: v1, kind: Config, contexts: []}\n", "json": "{}\n"} {
		t.Run(style, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config")
			put(t, file, text)
			var want []entry
			for _, name := range oddNames {
				want = append(want, update(t, eks, file, name))
			}
			check := func(when string) {
				t.Helper()
				c := load(t, file)
				asKubectlSees(t, eks.env, file, c)
				for _, e := range want {
					if wrong := e.wrong(c); wrong != "" {
						t.Errorf("%s, context %q: %s", when, e.alias, wrong)
					}
				}
			}
			check("as ekskey wrote it")
			if aws != "" {
				if o := awsUpdate(t, eks, aws, file); o.code != 0 {
					t.Fatalf("aws eks update-kubeconfig: %s", o.stderr)
				}
				check("as the aws command wrote it")
			}
			for _, name := range oddToAWS {
				want = append(want, update(t, eks, file, name))
			}
			check("in the end")
		})
	}
}

// Of several files, all tools see what ekskey wrote into one.
func TestKubeconfigListForOthers(t *testing.T) {
	eks := newManyClusters(t, 2)
	aws := awsCommand(t, eks.env)
	dir := t.TempDir()
	var files []string
	for i, text := range []string{strings.ReplaceAll(plainFile, "old", "one"), oddFiles["null-lists"], strings.ReplaceAll(oddFiles["flow"], "old", "three")} {
		files = append(files, filepath.Join(dir, string(rune('a'+i))))
		put(t, files[i], text)
	}
	files = append(files, filepath.Join(dir, "none"))
	env := append(slices.Clone(eks.env), "KUBECONFIG="+strings.Join(files, string(os.PathListSeparator)))
	merged := func() *clientcmdapi.Config {
		t.Helper()
		c, err := (&clientcmd.ClientConfigLoadingRules{Precedence: files}).Load()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := merged()
	e := entry{alias: "new", cluster: eks.names[0], namespace: "ns"}
	args := slices.DeleteFunc(e.args("-"), func(s string) bool { return s == "--kubeconfig" || s == "-" })
	mustRun(t, env, shared.Record().Ekskey, args...)
	after := merged()
	if wrong := e.wrong(after); wrong != "" || after.CurrentContext != "new" {
		t.Errorf("%s; the current context is %s", wrong, after.CurrentContext)
	}
	sameBut(t, before, after, "new", arnOf(e.cluster), arnOf(e.cluster)+"~ekskey")
	if got := strings.TrimSpace(mustRun(t, env, kubectl, "config", "current-context")); got != "new" {
		t.Errorf("kubectl's current context is %s", got)
	}
	if aws != "" {
		mustRun(t, env, aws, "eks", "update-kubeconfig", "--name", eks.names[1], "--alias", "aws")
		if wrong := e.wrong(merged()); wrong != "" {
			t.Errorf("after aws eks update-kubeconfig: %s", wrong)
		}
	}
	if _, err := os.Stat(files[3]); err == nil {
		t.Error("the file that was not there has been made")
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, eks *manyClusters, file, alias string) entry {
	t.Helper()
	e := entry{alias: alias, cluster: eks.names[0], namespace: "ns"}
	mustRun(t, eks.env, shared.Record().Ekskey, e.args(file)...)
	return e
}

// awsUpdate has the aws command write the other cluster's entries.
func awsUpdate(t *testing.T, eks *manyClusters, aws, file string) outcome {
	t.Helper()
	return command(t, eks.env, aws, "eks", "update-kubeconfig", "--name", eks.names[1], "--kubeconfig", file, "--region", seed.Region)
}

// sameBut compares all but the entries of these names, which may be new.
func sameBut(t *testing.T, before, after *clientcmdapi.Config, context, cluster, user string) {
	t.Helper()
	strip := func(c *clientcmdapi.Config) *clientcmdapi.Config {
		c = c.DeepCopy()
		delete(c.Contexts, context)
		delete(c.Clusters, cluster)
		delete(c.AuthInfos, user)
		c.CurrentContext = ""
		return c
	}
	if a, b := strip(before), strip(after); !reflect.DeepEqual(a, b) {
		t.Errorf("what ekskey did not write has changed from\n%+v\nto\n%+v", a, b)
	}
}

// asKubectlSees holds the real kubectl's view of a file against client-go's.
func asKubectlSees(t *testing.T, env []string, file string, c *clientcmdapi.Config) {
	t.Helper()
	var seen struct {
		Current                   string `json:"current-context"`
		Contexts, Clusters, Users []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(mustRun(t, env, kubectl, "--kubeconfig", file, "config", "view", "--raw", "-o", "json")), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Current != c.CurrentContext || len(seen.Contexts) != len(c.Contexts) || len(seen.Clusters) != len(c.Clusters) || len(seen.Users) != len(c.AuthInfos) {
		t.Errorf("kubectl sees %+v", seen)
	}
	for _, context := range seen.Contexts {
		if c.Contexts[context.Name] == nil {
			t.Errorf("kubectl sees context %q", context.Name)
		}
	}
}
