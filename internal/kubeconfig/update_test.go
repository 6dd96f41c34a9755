package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/internal/safefile"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("KUBECONFIG_TEST_CHILD"); path != "" {
		if err := updateMany(context.Background(), path, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// numbered is the change for one of many clusters.
func numbered(id string) (Change, error) {
	o := demo()
	o.ClusterARN, o.ClusterName, o.Alias = demoARN+id, "demo"+id, "demo"+id
	return ForEKS(o)
}

func batch(changes ...Change) Batch { return Batch{Changes: changes} }

const perChild = 6

func updateMany(ctx context.Context, path, id string) error {
	for i := range perChild {
		c, err := numbered(fmt.Sprintf("-%s-%d", id, i))
		if err != nil {
			return err
		}
		if _, err := Update(ctx, Env{Flag: path}, batch(c)); err != nil {
			return err
		}
	}
	return nil
}

// checkAll holds that a file has a cluster, a context and a user for each id,
// and that nothing else is in its folder.
func checkAll(t *testing.T, path string, ids int) {
	t.Helper()
	c, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id := range ids {
		for i := range perChild {
			name := fmt.Sprintf("demo-%d-%d", id, i)
			ctx := c.Contexts[name]
			if ctx == nil || c.Clusters[ctx.Cluster] == nil || c.AuthInfos[ctx.AuthInfo] == nil {
				t.Errorf("%s is lost", name)
			}
		}
	}
	if got := folder(t, filepath.Dir(path)); !slices.Equal(got, []string{"config"}) {
		t.Errorf("left behind: %v", got)
	}
}

func folder(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// write writes a file that nobody has touched for an hour.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUpdateByManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".kube", "config")
	var wg sync.WaitGroup
	const n = 12
	for id := range n {
		wg.Go(func() {
			if err := updateMany(t.Context(), path, fmt.Sprint(id)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkAll(t, path, n)
}

// Several real processes at once lose nothing, while one reader sees a whole
// file each time, and while others are killed at any point.
func TestUpdateByManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".kube", "config")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(id string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), self, id)
		cmd.Env = append(os.Environ(), "KUBECONFIG_TEST_CHILD="+path)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	const n = 8
	var children, victims []*exec.Cmd
	for id := range n {
		children = append(children, start(fmt.Sprint(id)))
		victims = append(victims, start(fmt.Sprintf("victim%d", id)))
	}
	for i, cmd := range victims {
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		_ = cmd.Process.Kill() // it may have finished
		_ = cmd.Wait()
		if data, err := os.ReadFile(path); err == nil {
			if _, err := clientcmd.Load(data); err != nil {
				t.Errorf("half a file: %v", err)
			}
		}
	}
	for _, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	// A victim killed last may have left its lock: the next update takes it.
	if err := updateMany(t.Context(), path, "0"); err != nil {
		t.Fatal(err)
	}
	checkAll(t, path, n)
}

func TestUpdateMakesFileAndFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".kube", "config")
	r, err := Update(t.Context(), Env{Flag: path}, batch(mustChange(t, demo())))
	if err != nil {
		t.Fatal(err)
	}
	if r := r.Results; r[0].Cluster.Outcome != Added || !r[0].Changed() {
		t.Errorf("%+v", r)
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
}

// A second run does not even write.
func TestUpdateIsIdempotent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	env := Env{Flag: path}
	if _, err := Update(t.Context(), env, batch(mustChange(t, demo()))); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Update(t.Context(), env, batch(mustChange(t, demo())))
	if err != nil || r.Results[0].Changed() {
		t.Errorf("%+v, %v", r, err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Error("it was written again")
	}
}

// What is refused leaves the file as it was, and no lock.
func TestUpdateRefusesAndWritesNothing(t *testing.T) {
	for _, text := range []string{"clusters: [", "a: 1\na: 2\n", "clusters: {}\n", "users:\n- name: x\n- name: x\n",
		"x: &x {name: " + demoARN + "}\nclusters: [*x]\n"} {
		path := write(t, filepath.Join(t.TempDir(), "config"), text)
		if _, err := Update(t.Context(), Env{Flag: path}, batch(mustChange(t, demo()))); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
		if got := read(t, path); got != text {
			t.Errorf("%q has become %q", text, got)
		}
		if got := folder(t, filepath.Dir(path)); len(got) != 1 {
			t.Errorf("left behind: %v", got)
		}
	}
}

func TestUpdateWhileKubectlHoldsTheLock(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config"), "")
	write(t, path+".lock", "")
	_, err := Update(t.Context(), Env{Flag: path, LockWait: time.Millisecond}, Batch{Changes: []Change{mustChange(t, demo())}})
	var locked *safefile.LockedError
	if !errors.As(err, &locked) || locked.PID != 0 || locked.Path == "" {
		t.Errorf("got %v", err)
	}
	if read(t, path) != "" {
		t.Error("written without the lock")
	}
}

func TestChoosesFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string { return write(t, filepath.Join(dir, name), text) }
	missing := filepath.Join(dir, "missing")
	missing2 := filepath.Join(dir, "missing2")
	empty := file("empty", "")
	kind := file("kind", "current-context: kind\ncontexts:\n- name: kind\n  context: {user: "+demoUser+"~2}\n")
	cluster := file("cluster", "clusters:\n- name: "+demoARN+"\n")
	contexts := file("contexts", "contexts:\n- name: demo\n")
	users := file("users", "users:\n- name: "+demoUser+"\n")
	corrupt := file("corrupt", "clusters: [")
	home := filepath.Join(dir, ".kube", "config")
	change := mustChange(t, demo())
	list := func(paths ...string) string { return strings.Join(paths, string(filepath.ListSeparator)) }
	tests := []struct {
		name    string
		env     Env
		path    string
		current string // if another
		err     string
	}{
		{"nothing given", Env{Home: dir}, home, "", ""},
		{"flag", Env{Flag: missing, Kubeconfig: list(kind, cluster), Home: dir}, missing, "", ""},
		{"one file", Env{Kubeconfig: missing, Home: dir}, missing, "", ""},
		{"empty elements", Env{Kubeconfig: list("", missing, "", missing), Home: dir}, missing, "", ""},
		{"none exists: the last", Env{Kubeconfig: list(missing, missing2)}, missing2, "", ""},
		{"the first that exists", Env{Kubeconfig: list(missing, empty, kind)}, empty, kind, ""},
		{"the one with the cluster", Env{Kubeconfig: list(missing, empty, cluster, users)}, cluster, "", ""},
		{"the one with the context", Env{Kubeconfig: list(empty, contexts, cluster)}, contexts, "", ""},
		{"the one with the user", Env{Kubeconfig: list(empty, users, cluster)}, users, "", ""},
		{"an earlier current-context wins", Env{Kubeconfig: list(empty, kind, cluster)}, cluster, kind, ""},
		{"a later one is changed where it stands", Env{Kubeconfig: list(empty, cluster, kind)}, cluster, kind, ""},
		{"a corrupt file is named", Env{Kubeconfig: list(cluster, corrupt)}, "", "", corrupt + ":2: is not YAML"},
		{"a folder is named", Env{Kubeconfig: list(cluster, dir)}, "", "", dir + " is not a regular file"},
		{"a list of nothing", Env{Kubeconfig: list("", "")}, "", "", "names no file"},
		{"no home", Env{}, "", "", "no home directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _, err := Plan(t.Context(), tt.env, batch(change))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r := r.Results[0]; r.File != tt.path || r.Current.File != firstOf(tt.current, tt.path) {
				t.Errorf("got %s, current-context in %s", r.File, r.Current.File)
			}
		})
	}
}

// Whatever file it goes into, kubectl's merge of the list must see the change.
func TestUpdateIsSeenThroughTheList(t *testing.T) {
	dir := t.TempDir()
	a := write(t, filepath.Join(dir, "a"), "current-context: kind\ncontexts:\n- name: kind\n  context: {user: u}\n")
	b := write(t, filepath.Join(dir, "b"), "# mine\nclusters:\n- name: "+demoARN+"\n  cluster: {server: \"https://old\"}\n")
	list := a + string(filepath.ListSeparator) + b
	change := mustChange(t, demo())
	all, err := Update(t.Context(), Env{Kubeconfig: list}, batch(change))
	if err != nil {
		t.Fatal(err)
	}
	r := all.Results
	if r[0].Current != (Item{"demo", a, Updated}) || r[0].Cluster.Outcome != Updated {
		t.Errorf("%+v", r)
	}
	merged, err := (&clientcmd.ClientConfigLoadingRules{Precedence: []string{a, b}}).Load()
	if err != nil {
		t.Fatal(err)
	}
	if merged.CurrentContext != "demo" || merged.Clusters[demoARN].Server != demo().Endpoint || merged.Contexts["demo"].AuthInfo != demoUser {
		t.Errorf("merged: %+v", merged)
	}
	if got, want := read(t, a), "current-context: demo\ncontexts:\n- name: kind\n  context: {user: u}\n"; got != want {
		t.Errorf("-want +got:\n%s", cmp.Diff(want, got))
	}
}

// A context in another file of the list counts as well.
func TestUserOfAnotherFileIsNotTakenOver(t *testing.T) {
	dir := t.TempDir()
	a := write(t, filepath.Join(dir, "a"), "users:\n"+awsUser(demoUser, ", --profile, other"))
	b := write(t, filepath.Join(dir, "b"), "contexts:\n- name: dev\n  context: {user: \""+demoUser+"\"}\n"+
		"users:\n- name: "+demoUser+"~2\n  user: {token: t}\n")
	change := mustChange(t, demo())
	all, err := Update(t.Context(), Env{Kubeconfig: a + string(filepath.ListSeparator) + b}, batch(change))
	if err != nil {
		t.Fatal(err)
	}
	if r := all.Results[0]; r.File != a || r.User.Name != demoUser+"~3" {
		t.Errorf("%s: %+v", r.File, r.User)
	}
}
