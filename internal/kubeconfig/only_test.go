package kubeconfig

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// marked is a context that was made here.
func marked(name, user string) string {
	return "- name: " + name + "\n  context: {cluster: " + demoARN + ", user: " + user + ", extensions: [{name: ekskey, extension: {cluster: " + demoARN + "}}]}\n"
}

// All contexts of a name would go, so each is asked about: one of a person's own that
// a marked one of an earlier file hides is not pruned.
func TestOnlyIsAskedAboutHiddenContexts(t *testing.T) {
	ours := "contexts:\n" + marked("a", "u") + "users:\n" + ourUser("u")
	theirs := "contexts:\n" + context1("a", "home", "admin")
	alias := strings.ReplaceAll(ours, "name: a\n", "name: b\n")
	isOurs := func(c MergedContext) bool { return c.MadeFor == demoARN && c.EKS.ARN == demoARN }
	tests := []struct {
		name   string
		files  []string
		remove string
		gone   []string // contexts
		kept   string   // the file with the one that keeps it, empty for none
	}{
		{"alone", []string{ours}, "a", []string{"a"}, ""},
		{"ours twice", []string{ours, ours}, "a", []string{"a", "a"}, ""},
		{"hides another's", []string{ours, theirs}, "a", nil, "1"},
		{"hides another's and ours", []string{ours, ours, theirs}, "a", nil, "2"},
		{"hides another's, and one that goes", []string{ours, theirs, alias}, "a b", []string{"b"}, "1"},
		{"hidden by another's", []string{theirs, ours}, "a", nil, ""},
		// As kubectl reads it, the second one's user is the first file's.
		{"user of an earlier file", []string{ours + "- name: v\n  user: {token: t}\n", "contexts:\n" + marked("a", "v") + "users:\n" + ourUser("v")}, "a", nil, "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			paths := list(t, tt.files...)
			before := contents(t, paths)
			r, err := Update(t.Context(), listEnv(paths), Batch{Remove: strings.Fields(tt.remove), Only: isOurs})
			if err != nil {
				t.Fatal(err)
			}
			var gone []string
			kept := ""
			for _, x := range r.Removed {
				switch {
				case x.Kind == "context" && x.Kept == "":
					gone = append(gone, x.Name)
				case x.Kind == "context":
					file, _, _ := strings.Cut(x.Kept, " has a context of this name")
					kept = string(filepath.Base(file)[0] - 'a' + '0')
					if x.Name != "a" || x.File != paths[0] {
						t.Errorf("kept is %+v", x)
					}
				}
			}
			if diff := cmp.Diff(tt.gone, gone); diff != "" || kept != tt.kept {
				t.Errorf("kept for the sake of file %q: %+v", kept, r.Removed)
			}
			for i, text := range contents(t, paths) {
				if same := text == before[i]; len(tt.gone) == 0 && !same || strings.Contains(text, "name: a\n") != strings.Contains(before[i], "name: a\n") && tt.kept != "" {
					t.Errorf("file %d has become %q", i, text)
				}
			}
			if tt.kept == "" {
				return
			}
			// Asked for by name, all go.
			if _, err := Update(t.Context(), listEnv(paths), Batch{Remove: []string{"a"}}); err != nil || merged(t, paths).Contexts["a"] != nil {
				t.Errorf("it is there still: %v", err)
			}
		})
	}
}

// A context that a person has led elsewhere by hand since is no longer ours to prune.
func TestOnlyOfAContextLedByHand(t *testing.T) {
	text := "contexts:\n" + strings.Replace(marked("p", "u"), "cluster: "+demoARN, "cluster: mine", 1) +
		"clusters:\n- name: mine\n  cluster: {server: \"https://mine\"}\nusers:\n" + ourUser("u")
	paths := list(t, text)
	r, err := Update(t.Context(), listEnv(paths), Batch{Remove: []string{"p"}, Only: func(c MergedContext) bool { return c.MadeFor != "" || c.EKS.ARN != "" }})
	if err != nil || len(r.Removed) > 0 || read(t, paths[0]) != text {
		t.Errorf("%+v, %v", r, err)
	}
}

// The change that is to blame is known, so that the others may be made without it.
func TestChangeError(t *testing.T) {
	good, bad := mustChange(t, demo()), demo()
	bad.Alias, bad.UserAlias = "bad", "mine"
	paths := list(t, "users:\n- name: mine\n  user: {token: t}\n")
	before := contents(t, paths)
	_, _, planErr := Plan(t.Context(), listEnv(paths), batch(good, mustChange(t, bad), good))
	_, err := Update(t.Context(), listEnv(paths), batch(good, mustChange(t, bad), good))
	for _, err := range []error{planErr, err} {
		var blamed *ChangeError
		var conflict *ConflictError
		if !errors.As(err, &blamed) || blamed.Index != 1 || !errors.As(err, &conflict) || err.Error() != conflict.Error() {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff(before, contents(t, paths)); diff != "" {
		t.Error(diff)
	}
}
