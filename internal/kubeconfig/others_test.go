package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// list writes the files of a KUBECONFIG list and returns their paths.
func list(t *testing.T, texts ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, text := range texts {
		paths = append(paths, write(t, filepath.Join(dir, string(rune('a'+i))), text))
	}
	return paths
}

func listEnv(paths []string) Env {
	return Env{Kubeconfig: strings.Join(paths, string(filepath.ListSeparator))}
}

// merged is the list as kubectl sees it.
func merged(t *testing.T, paths []string) *api.Config {
	t.Helper()
	c, err := (&clientcmd.ClientConfigLoadingRules{Precedence: paths}).Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const clusterHere = "clusters:\n- name: " + demoARN + "\n  cluster: {server: \"https://old\"}\n"

// What hides an entry of another file must not make another context somebody
// else.
func TestOtherFilesAreNotHidden(t *testing.T) {
	role := ", --role-arn, " + roleARN + "readonly"
	alias := func(o *Options) { o.Alias, o.UserAlias = "admin", "dev" }
	tests := []struct {
		name     string
		files    []string
		mutate   func(*Options)
		want     string // user, "" for a ConflictError
		conflict ConflictError
	}{
		{"chosen name of another role", []string{clusterHere, "users:\n" + awsUser("dev", role) + contexts("readonly", "dev")}, alias,
			"", ConflictError{Kind: "user", Name: "dev", Contexts: []string{"readonly"}}},
		{"chosen name of another role, unused", []string{clusterHere, "users:\n" + awsUser("dev", role)}, alias, "", ConflictError{Kind: "user", Name: "dev"}},
		{"chosen name of the same principal", []string{clusterHere, "users:\n" + ourUser("dev") + contexts("readonly", "dev")}, alias, "dev", ConflictError{}},
		{"entry of aws with a role", []string{clusterHere, "users:\n" + awsUser(demoUser, role) + contexts("readonly", demoUser)}, nil, demoUser + "~2", ConflictError{}},
		{"same principal", []string{clusterHere, "users:\n" + ourUser(demoUser) + contexts("dev", demoUser)}, nil, demoUser, ConflictError{}},
		{"entry of aws, which looks elsewhere for credentials", []string{clusterHere, "users:\n" + awsUser(demoUser, "") + contexts("dev", demoUser)}, nil, demoUser + "~2", ConflictError{}},
		{"a token", []string{clusterHere, "users:\n- name: " + demoUser + "\n  user: {token: t}\n"}, nil, demoUser + "~2", ConflictError{}},
		{"impersonation", []string{clusterHere, "users:\n" + awsUser(demoUser, "") + "    as: viewer\n" + contexts("dev", demoUser)}, nil, demoUser + "~2", ConflictError{}},
		{"impersonation of our own context", []string{clusterHere, "users:\n" + ourUser(demoUser) + "    as: viewer\n" + contexts("demo", demoUser, "dev", demoUser)}, nil, demoUser, ConflictError{}},
		{"second name in an earlier file", []string{"users:\n" + awsUser(demoUser+"~2", role) + contexts("dev", demoUser+"~2"), clusterHere + "users:\n" + awsUser(demoUser, role) + awsUser(demoUser+"~2", "") + contexts("dev2", demoUser)},
			nil, demoUser + "~3", ConflictError{}},
		{"hidden already", []string{clusterHere + "users:\n" + awsUser("dev", ""), "users:\n" + awsUser("dev", role)}, alias, "dev", ConflictError{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := demo()
			if tt.mutate != nil {
				tt.mutate(&o)
			}
			change := mustChange(t, o)
			paths := list(t, tt.files...)
			before := merged(t, paths)
			planned, _, planErr := Plan(listEnv(paths), batch(change))
			done, err := Update(t.Context(), listEnv(paths), batch(change))
			r := done.Results
			var blamed *ChangeError
			if errors.As(err, &blamed) && blamed.Index == 0 {
				err = blamed.Err
			}
			if diff := cmp.Diff(planned, done); diff != "" || !cmp.Equal(errors.Unwrap(planErr), err) {
				t.Errorf("the plan was other: %s %v", diff, planErr)
			}
			if tt.want == "" {
				tt.conflict.File = paths[1]
				if diff := cmp.Diff(error(&tt.conflict), err); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			after := merged(t, paths)
			if r[0].User.Name != tt.want || after.Contexts[o.Alias].AuthInfo != tt.want {
				t.Errorf("user %q, want %q", r[0].User.Name, tt.want)
			}
			for name, c := range before.Contexts {
				old, now := before.AuthInfos[c.AuthInfo], after.AuthInfos[after.Contexts[name].AuthInfo]
				if name != o.Alias && (old.Token != now.Token || !sameRole(old, now)) || old != nil && old.Impersonate != now.Impersonate {
					t.Errorf("context %s acts as %+v, was %+v", name, now, old)
				}
			}
			again, err := Update(t.Context(), listEnv(paths), batch(change))
			if err != nil || again.Results[0].Changed() {
				t.Errorf("a second run changes %+v, %v", again, err)
			}
		})
	}
}

func sameRole(a, b *api.AuthInfo) bool {
	role := func(u *api.AuthInfo) bool { return strings.Contains(strings.Join(u.Exec.Args, " "), "readonly") }
	return role(a) == role(b)
}

func TestClusterOfAnotherFileIsNotHidden(t *testing.T) {
	o := demo()
	o.ClusterAlias = "prod"
	change := mustChange(t, o)
	other := "clusters:\n- name: prod\n  cluster: {server: \"https://other\"}\n"
	tests := []struct {
		name string
		file string
		want []string
	}{
		{"used by another context", other + "contexts:\n- name: x\n  context: {cluster: prod, user: u}\n", []string{"x"}},
		{"used by a user of this cluster", other + "contexts:\n- name: x\n  context: {cluster: prod, user: u}\nusers:\n" + awsUser("u", ""), nil},
		{"used by nobody", other, nil},
		{"the same server", "clusters:\n- name: prod\n  cluster: {server: \"" + o.Endpoint + "\"}\ncontexts:\n- name: x\n  context: {cluster: prod}\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			paths := list(t, "contexts:\n- name: demo\n", tt.file)
			_, err := Update(t.Context(), listEnv(paths), batch(change))
			var conflict *ConflictError
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.As(err, &conflict) || cmp.Diff(tt.want, conflict.Contexts) != "" || conflict.File != paths[1] || conflict.Kind != "cluster" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An entry put before one of another file has what that one said.
func TestHiddenEntryIsCopied(t *testing.T) {
	for _, first := range []string{clusterHere, `{"clusters": [{"name": "` + demoARN + `", "cluster": {}}]}`} {
		paths := list(t, first, `
x: &n 3
contexts:
- context:
    cluster: x
    namespace: payments
    extensions:
    - name: a.example/b
      extension: {count: *n, "on": "yes", list: [1.5, null, true], text: "a\nb"}
  name: demo
`)
		change := mustChange(t, demo())
		want := merged(t, paths).Contexts["demo"]
		if _, err := Update(t.Context(), listEnv(paths), batch(change)); err != nil {
			t.Fatal(err)
		}
		got := merged(t, paths).Contexts["demo"]
		if got.LocationOfOrigin != paths[0] || got.Namespace != "payments" || got.Cluster != demoARN {
			t.Errorf("got %+v", got)
		}
		if diff := cmp.Diff(want.Extensions, got.Extensions); diff != "" || len(got.Extensions) != 1 {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	// A cluster keeps its settings, but no path and no exception.
	o := demo()
	o.CAData = nil
	change := mustChange(t, o)
	paths := list(t, "contexts:\n- name: demo\n", "clusters:\n- name: "+demoARN+"\n  cluster:\n    server: https://old\n"+
		"    tls-server-name: tsn\n    proxy-url: http://p\n    insecure-skip-tls-verify: true\n    certificate-authority: ca.crt\n")
	if _, err := Update(t.Context(), listEnv(paths), batch(change)); err != nil {
		t.Fatal(err)
	}
	c := merged(t, paths).Clusters[demoARN]
	if c.TLSServerName != "tsn" || c.ProxyURL != "http://p" || c.Server != o.Endpoint || c.InsecureSkipTLSVerify || c.CertificateAuthority != "" {
		t.Errorf("got %+v", c)
	}
}

func TestUncopiableEntryIsRefused(t *testing.T) {
	for _, body := range []string{"{extensions: [{name: x, extension: !mine secret}]}", "{extensions: [{name: x, extension: {<<: {a: b}}}]}",
		"{extensions: [{name: x, extension: 0x10}]}", "{extensions: [{name: x, extension: {1: x}}]}",
		"{extensions: [{name: x, extension: {on: x}}]}", "{extensions: [{name: x, extension: yes}]}"} {
		paths := list(t, clusterHere, "contexts:\n- name: demo\n  context: "+body+"\n")
		change := mustChange(t, demo())
		_, err := Update(t.Context(), listEnv(paths), batch(change))
		var e *NotEditableError
		if !errors.As(err, &e) || e.File != paths[1] || e.Line != 2 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Plan says what Update does, current-context in another file included, and
// writes nothing.
func TestPlanIsWhatUpdateDoes(t *testing.T) {
	paths := list(t, "current-context: kind\n", clusterHere)
	change := mustChange(t, demo())
	env := listEnv(paths)
	planned, edits, err := Plan(env, batch(change))
	if err != nil {
		t.Fatal(err)
	}
	if len(edits) != 2 || edits[0].Path != paths[1] || edits[1].Path != paths[0] {
		t.Fatalf("planned edits of %v", edits)
	}
	if read(t, paths[0]) != "current-context: kind\n" || read(t, paths[1]) != clusterHere || len(folder(t, filepath.Dir(paths[0]))) != 2 {
		t.Error("the plan has written something")
	}
	if r := planned.Results; r[0].Current != (Item{"demo", Updated}) || r[0].CurrentFile != paths[0] || r[0].User.Outcome != Added {
		t.Errorf("planned %+v", planned)
	}
	done, err := Update(t.Context(), env, batch(change))
	if diff := cmp.Diff(planned, done); diff != "" || err != nil {
		t.Errorf("%v: -planned +done:\n%s", err, diff)
	}
	for _, e := range edits {
		if diff := cmp.Diff(string(e.after.data), read(t, e.Path)); diff != "" {
			t.Errorf("%s: -planned +written:\n%s", e.Path, diff)
		}
	}
	missing := filepath.Join(t.TempDir(), "new", "config")
	if r, _, err := Plan(Env{Flag: missing}, batch(change)); err != nil || r.Results[0].Context.Outcome != Added {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Dir(missing)); err == nil {
		t.Error("the plan has made a folder")
	}
}

// A path that names a folder makes none.
func TestFolderAsFile(t *testing.T) {
	for _, name := range []string{"new/dd/", "new/dd/.", "new/dd/.."} {
		dir := t.TempDir()
		env := Env{Flag: dir + string(filepath.Separator) + filepath.FromSlash(name)}
		for _, do := range []func() (Report, error){
			func() (Report, error) { return Update(t.Context(), env, batch(mustChange(t, demo()))) },
			func() (Report, error) {
				r, _, err := Plan(env, batch(mustChange(t, demo())))
				return r, err
			},
		} {
			var e *OptionError
			if _, err := do(); !errors.As(err, &e) || e.Option != "kubeconfig" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := folder(t, dir); len(got) > 0 {
			t.Errorf("%s made %v", name, got)
		}
	}
}
