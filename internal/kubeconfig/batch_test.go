package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/safefile"
)

func context1(name, cluster, user string) string {
	return "- name: " + name + "\n  context: {cluster: " + cluster + ", user: " + user + "}\n"
}

// A context that an earlier file hid does not come to light, and what another
// file's contexts use stays.
func TestRemoveFromSeveralFiles(t *testing.T) {
	tests := []struct {
		name    string
		files   []string
		remove  string
		want    []string
		current string // as kubectl sees it afterwards
		kept    []Removed
	}{
		{"hidden", []string{"contexts:\n" + context1("a", "c", "u"), "contexts:\n" + context1("a", "d", "v") + "clusters:\n- name: d\nusers:\n- name: v\n- name: u\n"}, "a",
			[]string{"contexts: []\n", "contexts: []\nclusters: []\nusers: []\n"}, "", nil},
		{"used by a context of another file", []string{"contexts:\n" + context1("a", "c", "u") + "clusters:\n- name: c\n", "contexts:\n" + context1("b", "c", "w") + "users:\n- name: u\n"}, "a",
			[]string{"contexts: []\nclusters:\n- name: c\n", "contexts:\n" + context1("b", "c", "w") + "users: []\n"}, "", nil},
		{"credentials in a hidden entry", []string{"contexts:\n" + context1("a", "c", "u") + "users:\n- name: u\n", "users:\n- name: u\n  user: {token: t}\n"}, "a",
			[]string{"contexts: []\nusers: []\n", "users:\n- name: u\n  user: {token: t}\n"}, "", []Removed{{File: "1", Kind: "user", Name: "u", Kept: "it holds credentials of its own"}}},
		{"current in another file", []string{"current-context: a\n", "contexts:\n" + context1("a", "c", "u")}, "a",
			[]string{"current-context: \"\"\n", "contexts: []\n"}, "", nil},
		{"current in both files", []string{"current-context: a\n", "current-context: a\ncontexts:\n" + context1("a", "c", "u")}, "a",
			[]string{"current-context: \"\"\n", "current-context: \"\"\ncontexts: []\n"}, "", nil},
		{"another would become current", []string{"current-context: a\n", "current-context: b\ncontexts:\n" + context1("a", "c", "u") + context1("b", "c", "u")}, "a",
			[]string{"current-context: a\n", "current-context: b\ncontexts:\n" + context1("b", "c", "u")}, "a",
			[]Removed{{File: "0", Kind: "current-context", Name: "a", Kept: `"b" of 1 would become the current context`}}},
		{"another is current", []string{"current-context: b\n", "current-context: a\ncontexts:\n" + context1("a", "c", "u") + context1("b", "c", "u")}, "a",
			[]string{"current-context: b\n", "current-context: \"\"\ncontexts:\n" + context1("b", "c", "u")}, "b", nil},
		{"another would become current, two say a", []string{"current-context: a\n", "current-context: a\n", "current-context: b\ncontexts:\n" + context1("a", "c", "u")}, "a",
			[]string{"current-context: a\n", "current-context: \"\"\n", "current-context: b\ncontexts: []\n"}, "a",
			[]Removed{{File: "0", Kind: "current-context", Name: "a", Kept: `"b" of 2 would become the current context`}}},
		{"all that say something go", []string{"current-context: a\n", "current-context: b\ncontexts:\n" + context1("a", "c", "u") + context1("b", "c", "u")}, "a b",
			[]string{"current-context: \"\"\n", "current-context: \"\"\ncontexts: []\n"}, "", nil},
		{"a file without the context is not written", []string{"x: 1", "contexts:\n- name: a\n"}, "a", []string{"x: 1", "contexts: []\n"}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			paths := list(t, tt.files...)
			b := Batch{Remove: strings.Fields(tt.remove)}
			planned, _, err := Plan(t.Context(), listEnv(paths), b)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Update(t.Context(), listEnv(paths), b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(planned, r); diff != "" {
				t.Errorf("the plan was other: %s", diff)
			}
			if diff := cmp.Diff(tt.want, contents(t, paths)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := merged(t, paths).CurrentContext; got != tt.current {
				t.Errorf("current context %q", got)
			}
			var kept []Removed
			for _, x := range r.Removed {
				if x.Kept != "" {
					for i, p := range paths {
						x.Kept = strings.ReplaceAll(x.Kept, p, fmt.Sprint(i))
						x.File = strings.ReplaceAll(x.File, p, fmt.Sprint(i))
					}
					kept = append(kept, x)
				}
			}
			if diff := cmp.Diff(tt.kept, kept); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// One that cannot be edited in one file, or not be written, leaves all as they are.
func TestBatchIsAllOrNothing(t *testing.T) {
	good := "contexts:\n" + context1("a", "c", "u")
	tests := []struct {
		name  string
		other string
		mode  os.FileMode
		is    func(error) bool
	}{
		{"not editable", "contexts:\n- &x {name: a}\nx: *x\n", 0o600, func(err error) bool { var e *NotEditableError; return errors.As(err, &e) }},
		{"read-only", good, 0o400, func(err error) bool { var e *safefile.ReadOnlyError; return errors.As(err, &e) }},
		{"malformed", "contexts: {}\n", 0o600, func(err error) bool { var e *TypeError; return errors.As(err, &e) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, texts := range [][]string{{good, tt.other}, {tt.other, good}} {
				paths := list(t, texts...)
				for i, p := range paths {
					if texts[i] == tt.other {
						if err := os.Chmod(p, tt.mode); err != nil {
							t.Fatal(err)
						}
					}
				}
				_, err := Update(t.Context(), listEnv(paths), Batch{Remove: []string{"a"}})
				if !tt.is(err) {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(texts, contents(t, paths)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if got := folder(t, filepath.Dir(paths[0])); len(got) != 2 {
					t.Errorf("left behind: %v", got)
				}
			}
		})
	}
}

// An error that comes after a file was written says which.
func TestPartialError(t *testing.T) {
	paths := list(t, "", "")
	bad := filepath.Join(t.TempDir(), "gone", "config")
	var edits []Edit
	for _, p := range []string{paths[1], bad, paths[0]} {
		original, err := safefile.OpenOriginal(p, MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		edits = append(edits, Edit{Path: p, after: mustParse(t, "x: 1\n"), original: original})
	}
	var written []string
	err := writeAll(edits, false, &written)
	var e *PartialError
	if !errors.As(err, &e) || !slices.Equal(e.Written, paths[1:]) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), paths[1]) {
		t.Errorf("got %v", err)
	}
	if got := contents(t, paths); got[0] != "" || got[1] != "x: 1\n" {
		t.Errorf("the files are %q", got)
	}
}

// One file under two names is read and written once.
func TestFileTwiceInTheList(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "config"), several)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("config", link); err != nil {
		t.Fatal(err)
	}
	for _, paths := range [][]string{{path, link}, {link, path}, {link, filepath.Join(dir, ".", "config"), dir + "/x/../config"}} {
		if err := os.MkdirAll(filepath.Join(dir, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, several)
		b := Batch{Changes: []Change{mustChange(t, demo())}, Remove: []string{"d"}}
		_, edits, err := Plan(t.Context(), listEnv(paths), b)
		if err != nil || len(edits) != 1 || edits[0].Path != paths[0] {
			t.Errorf("edits %v, %v", edits, err)
		}
		if _, err := Update(t.Context(), listEnv(paths), b); err != nil {
			t.Fatal(err)
		}
		f := mustParse(t, read(t, path))
		if _, there := findIn(f, contextList, "demo"); !there || f.CurrentContext() != "demo" || len(f.Contexts()) != 3 {
			t.Errorf("the file is\n%s", read(t, path))
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Error("the link is gone")
		}
		m, err := ReadMerged(t.Context(), listEnv(paths))
		if err != nil || len(m.Contexts()) != 3 {
			t.Errorf("merged: %+v, %v", m, err)
		}
	}
}

// Several changes to several files are as one after the other, and each file is
// written once.
func TestBatchOverSeveralFiles(t *testing.T) {
	files := []string{"current-context: kind\n", clusterHere, "contexts:\n- name: second\n  context: {namespace: ns}\n"}
	one, many := list(t, files...), list(t, files...)
	var b Batch
	for _, name := range []string{"first", "second", "third", "second"} {
		o := demo()
		o.Alias = name
		if name == "second" {
			o.ClusterARN, o.ClusterName = demoARN+"2", "demo2"
		}
		c := mustChange(t, o)
		b.Changes = append(b.Changes, c)
		if _, err := Update(t.Context(), listEnv(one), batch(c)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Update(t.Context(), listEnv(many), b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, one), contents(t, many)); diff != "" {
		t.Errorf("-one by one +at once:\n%s", diff)
	}
	for i, want := range []int{1, 2, 1, 2} {
		if got := r.Results[i]; got.File != many[want] || got.Current.File != many[0] {
			t.Errorf("change %d went to %s and %s", i, got.File, got.Current.File)
		}
	}
}

// An entry that a change of the batch has put into one file is seen by those for
// another.
func TestBatchSeesItself(t *testing.T) {
	a := mustChange(t, demo())
	o := demo()
	o.Alias, o.UserAlias = "other", demoUser
	o.RoleChain = []Hop{{ARN: roleARN + "admin"}}
	paths := list(t, "contexts:\n- name: other\n", clusterHere)
	_, err := Update(t.Context(), listEnv(paths), batch(a, mustChange(t, o)))
	var e *ConflictError
	if !errors.As(err, &e) || !slices.Equal(e.Contexts, []string{"demo"}) {
		t.Errorf("got %v", err)
	}
	if got := contents(t, paths); got[1] != clusterHere {
		t.Errorf("written: %q", got)
	}
}

func TestChangesAndRemovals(t *testing.T) {
	o := demo()
	for _, in := range []string{several, "{contexts: [{name: d, context: {cluster: d, user: v}}], clusters: [{name: d}, {name: c}], users: [{name: v}]}", "contexts:\n- name: d"} {
		paths := list(t, in)
		r, err := Update(t.Context(), listEnv(paths), Batch{Changes: []Change{mustChange(t, o)}, Remove: []string{"d"}})
		if err != nil {
			t.Fatal(err)
		}
		f := mustParse(t, read(t, paths[0]))
		_, added := findIn(f, contextList, "demo")
		_, removed := findIn(f, contextList, "d")
		if !added || removed || r.Results[0].Context.Outcome != Added {
			t.Errorf("%+v\n%s", r, f.Bytes())
		}
		merged(t, paths)
	}
	_, err := Update(t.Context(), listEnv(list(t, several)), Batch{Changes: []Change{mustChange(t, demo())}, Remove: []string{"a"}})
	if err != nil {
		t.Error(err)
	}
	o = demo()
	o.Alias = "a"
	var e *OptionError
	if _, err := Update(t.Context(), listEnv(list(t, several)), Batch{Changes: []Change{mustChange(t, o)}, Remove: []string{"a"}}); !errors.As(err, &e) {
		t.Errorf("written and removed: %v", err)
	}
}

// What a change names stays, although nothing else names it any more.
func TestRemoveKeepsWhatIsWritten(t *testing.T) {
	old := mustChange(t, demo())
	paths := list(t, "")
	if _, err := Update(t.Context(), listEnv(paths), batch(old)); err != nil {
		t.Fatal(err)
	}
	o := demo()
	o.Alias = "renamed"
	r, err := Update(t.Context(), listEnv(paths), Batch{Changes: []Change{mustChange(t, o)}, Remove: []string{"demo"}})
	if err != nil || len(r.Removed) != 1 || r.Results[0].Cluster.Outcome != Unchanged || r.Results[0].User.Outcome != Unchanged {
		t.Errorf("%+v, %v", r, err)
	}
}

// Only sees what is there under the lock: here the context has become another one
// since the first look.
func TestOnlyIsAskedUnderTheLock(t *testing.T) {
	paths := list(t, "contexts:\n- name: a\n  context: {user: old}\n", "contexts:\n- name: b\n")
	asked := 0
	b := Batch{Remove: []string{"a"}, Only: func(c MergedContext) bool {
		if asked++; asked == 1 {
			write(t, paths[0], "contexts:\n- name: a\n  context: {user: new}\n")
		}
		return c.User == "old"
	}}
	r, err := Update(t.Context(), listEnv(paths), b)
	if err != nil || len(r.Removed) > 0 || asked != 2 || !strings.Contains(read(t, paths[0]), "new") {
		t.Errorf("asked %d times: %+v, %v", asked, r, err)
	}
}

// A change looks at the other files under the locks as well: a context that comes
// into one of them in between keeps its user.
func TestOthersAreReadUnderTheLock(t *testing.T) {
	role := ", --role-arn, " + roleARN + "readonly"
	paths := list(t, clusterHere, "users:\n"+awsUser(demoUser, role)+"contexts:\n- name: gone\n")
	first := true
	b := Batch{Changes: []Change{mustChange(t, demo())}, Remove: []string{"gone"}, Only: func(MergedContext) bool {
		if first { // between the plan without a lock and the one with it
			first = false
			write(t, paths[1], "users:\n"+awsUser(demoUser, role)+contexts("readonly", demoUser, "gone", "x"))
		}
		return true
	}}
	r, err := Update(t.Context(), listEnv(paths), b)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Results[0].User.Name; got != demoUser+"~2" {
		t.Errorf("context readonly acts as the user of another: %q", got)
	}
}

// Commands that name the same files in any order, under any name, never wait for
// each other in a circle, and lose nothing.
func TestLocksOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a", "b"} {
		paths = append(paths, write(t, filepath.Join(dir, name), "current-context: x\n"))
		if err := os.Symlink(name, filepath.Join(dir, "z"+name)); err != nil {
			t.Fatal(err)
		}
	}
	orders := [][]string{{"a", "b"}, {"b", "a"}, {"za", "b"}, {"zb", "za"}}
	var wg sync.WaitGroup
	const rounds = 10
	for n, order := range orders {
		var list []string
		for _, name := range order {
			list = append(list, filepath.Join(dir, name))
		}
		wg.Go(func() {
			for i := range rounds {
				// Its own entries go into the second file, current-context into the first.
				seed := fmt.Sprintf("-%d-%d", n, i)
				c, err := numbered(seed)
				if err != nil {
					t.Error(err)
					return
				}
				b := Batch{Changes: []Change{c}}
				if i > 0 {
					b.Remove = []string{fmt.Sprintf("demo-%d-%d", n, i-1)}
				}
				if _, err := Update(t.Context(), listEnv(list), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var names []string
	for _, c := range merged(t, paths).Contexts {
		names = append(names, c.AuthInfo)
	}
	if len(names) != len(orders) {
		t.Errorf("left are %v", names)
	}
	if got := folder(t, dir); len(got) != 4 {
		t.Errorf("left behind: %v", got)
	}
}
