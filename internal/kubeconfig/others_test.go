package kubeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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
		{"chosen name of another role, unused", []string{clusterHere, "users:\n" + awsUser("dev", role)}, alias, "dev", ConflictError{}},
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
			planned, _, planErr := Plan(t.Context(), listEnv(paths), batch(change))
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

// Each entry is changed where it stands, as kubectl does, and none gets a twin.
func TestK08EntriesStayInTheirFiles(t *testing.T) {
	contextText := `
contexts:
- context:
    cluster: x
    namespace: payments
    extensions:
    - name: a.example/b
      extension: {count: 3, "on": "yes", list: [1.5, null, true], text: "a\nb"}
  name: demo
`
	clusterText := "clusters:\n- name: " + demoARN + "\n  cluster:\n    server: https://old\n    tls-server-name: tsn\n    insecure-skip-tls-verify: true\n    certificate-authority: ca.crt\n"
	userText := "users:\n" + ourUser(demoUser)
	files := map[string]string{"contexts": contextText, "clusters": clusterText, "users": userText, "current-context": "current-context: kind\n"}
	for _, order := range [][]string{
		{"clusters", "contexts", "users", "current-context"}, {"users", "clusters", "current-context", "contexts"},
		{"current-context", "users", "contexts", "clusters"}, {"contexts", "users", "clusters", "current-context"},
	} {
		var texts []string
		for _, what := range order {
			texts = append(texts, files[what])
		}
		paths := list(t, texts...)
		at := func(what string) string { return paths[slices.Index(order, what)] }
		want := merged(t, paths).Contexts["demo"]
		r, err := Update(t.Context(), listEnv(paths), batch(mustChange(t, demo())))
		if err != nil {
			t.Fatal(err)
		}
		for i, what := range order {
			f := mustParse(t, read(t, paths[i]))
			counts := map[string]int{"clusters": len(f.Clusters()), "contexts": len(f.Contexts()), "users": len(f.Users())}
			if f.CurrentContext() != "" {
				counts["current-context"] = 1
			}
			for other, n := range counts {
				if is := 0; other == what && n != 1 || other != what && n != is {
					t.Errorf("%v: the file of %s has %d %s", order, what, n, other)
				}
			}
		}
		got := r.Results[0]
		if got.Context.File != at("contexts") || got.Cluster.File != at("clusters") || got.User.File != at("users") || got.Current.File != at("current-context") || got.File != got.Context.File {
			t.Errorf("%v: told %+v", order, got)
		}
		all := merged(t, paths)
		c, x := all.Clusters[demoARN], all.Contexts["demo"]
		if c.TLSServerName != "tsn" || c.Server != demo().Endpoint || c.InsecureSkipTLSVerify || c.CertificateAuthority != "" {
			t.Errorf("the cluster is %+v", c)
		}
		if x.Namespace != "payments" || x.Cluster != demoARN || x.AuthInfo != demoUser || all.CurrentContext != "demo" {
			t.Errorf("the context is %+v", x)
		}
		if diff := cmp.Diff(want.Extensions, x.Extensions); diff != "" || len(x.Extensions) != 1 {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// Plan says what Update does, current-context in another file included, and
// writes nothing.
func TestPlanIsWhatUpdateDoes(t *testing.T) {
	paths := list(t, "current-context: kind\n", clusterHere)
	change := mustChange(t, demo())
	env := listEnv(paths)
	planned, edits, err := Plan(t.Context(), env, batch(change))
	if err != nil {
		t.Fatal(err)
	}
	if len(edits) != 2 || edits[0].Path != paths[1] || edits[1].Path != paths[0] {
		t.Fatalf("planned edits of %v", edits)
	}
	if read(t, paths[0]) != "current-context: kind\n" || read(t, paths[1]) != clusterHere || len(folder(t, filepath.Dir(paths[0]))) != 2 {
		t.Error("the plan has written something")
	}
	if r := planned.Results; r[0].Current != (Item{"demo", paths[0], Updated}) || r[0].User.Outcome != Added {
		t.Errorf("planned %+v", planned)
	}
	done, err := Update(t.Context(), env, batch(change))
	if diff := cmp.Diff(planned, done); diff != "" || err != nil {
		t.Errorf("%v: -planned +done:\n%s", err, diff)
	}
	for _, e := range edits {
		if diff := cmp.Diff(string(e.after.Bytes()), read(t, e.Path)); diff != "" {
			t.Errorf("%s: -planned +written:\n%s", e.Path, diff)
		}
	}
	missing := filepath.Join(t.TempDir(), "new", "config")
	if r, _, err := Plan(t.Context(), Env{Flag: missing}, batch(change)); err != nil || r.Results[0].Context.Outcome != Added {
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
				r, _, err := Plan(t.Context(), env, batch(mustChange(t, demo())))
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
