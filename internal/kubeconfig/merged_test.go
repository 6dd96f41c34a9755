package kubeconfig

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// As large as kubeconfigs get.
func TestFileOf5MB(t *testing.T) {
	var b strings.Builder
	ca := strings.Repeat("Q0FD", 360)
	for i := range 3400 {
		fmt.Fprintf(&b, "- name: c%d # mine\n  cluster: {server: https://c%d, certificate-authority-data: %s}\n", i, i, ca)
	}
	clusters := "clusters:\n" + b.String() + "contexts:\n"
	tail := context1("last", "c3399", "u") + "users:\n- name: u\n  user: {token: t}\n"
	path := write(t, filepath.Join(t.TempDir(), "config"), clusters+context1("a", "c1", "u")+tail)
	if len(clusters) < 5_000_000 {
		t.Fatalf("only %d bytes", len(clusters))
	}
	if _, err := Update(t.Context(), Env{Flag: path}, Batch{Changes: []Change{mustChange(t, demo())}, Remove: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("- name: c1 # mine\n  cluster: {server: https://c1, certificate-authority-data: %s}\n", ca)
	kept, after, _ := strings.Cut(read(t, path), "- cluster:\n    certificate-authority-data: Q0E=\n")
	if want := strings.TrimSuffix(strings.Replace(clusters, line, "", 1), "contexts:\n"); kept != want || !strings.Contains(after, "contexts:\n"+context1("last", "c3399", "u")) {
		t.Error("other bytes have changed")
	}
}

func TestReadMerged(t *testing.T) {
	paths := list(t,
		"contexts:\n"+context1("a", "c", "u")+"users:\n- name: u\n  user: {exec: {command: first}}\n",
		"current-context: b\ncontexts:\n"+context1("a", "hidden", "hidden")+context1("b", "none", "none")+"clusters:\n- name: c\n  cluster: {server: \"https://c\"}\nusers:\n- name: u\n  user: {token: t}\n",
		"current-context: a\n")
	env := listEnv(append(paths, filepath.Join(t.TempDir(), "missing")))
	m, err := ReadMerged(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Contexts()
	want := merged(t, paths)
	if name, file := m.Current(); name != want.CurrentContext || file != paths[1] {
		t.Errorf("current is %s of %s", name, file)
	}
	if len(got) != 2 || got[0].Name != "a" || got[0].Cluster != "c" || got[0].File != paths[0] || got[0].Current || got[0].ClusterEntry.Server != "https://c" ||
		!got[0].HasUser || got[0].UserEntry.Exec.Command != "first" || got[0].IsEKS {
		t.Errorf("got %+v", got)
	}
	if !got[1].Current || got[1].HasCluster || got[1].HasUser {
		t.Errorf("got %+v", got[1])
	}
	if m, err := ReadMerged(t.Context(), Env{Flag: filepath.Join(t.TempDir(), "missing")}); err != nil || len(m.Contexts()) > 0 {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := ReadMerged(t.Context(), listEnv(list(t, "", "a: ["))); err == nil {
		t.Error("a broken file was skipped")
	}
}
