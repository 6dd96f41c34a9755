package kubeconfig

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/safefile"
)

// listOf writes files and returns the environment that names them in order.
func listOf(t *testing.T, texts ...string) (Env, []string) {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, text := range texts {
		path := filepath.Join(dir, string(rune('a'+i)))
		paths = append(paths, path)
		if text == "" {
			continue
		}
		write(t, path, text)
	}
	return Env{Kubeconfig: strings.Join(paths, string(filepath.ListSeparator))}, paths
}

func contents(t *testing.T, paths []string) []string {
	t.Helper()
	var all []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	return all
}

func getTokenUser(name string) string {
	return "- name: " + name + "\n  user: {exec: {apiVersion: " + awsExecAPIVersion + ", command: aws, args: [eks, get-token, --cluster-name, c]}}\n"
}

// brief is "file user state", one a user, with the contexts.
func brief(users []ConvertedUser) (lines []string) {
	for _, u := range users {
		lines = append(lines, strings.TrimSpace(filepath.Base(u.File)+" "+u.Name+" "+string(u.State)+" "+strings.Join(u.Contexts, ",")))
	}
	return lines
}

func TestConvertSeveralFiles(t *testing.T) {
	first := "users:\n" + getTokenUser("one") + getTokenUser("two") + "contexts:\n- name: x\n  context: {user: one}\n- name: y\n  context: {user: three}\n"
	second := "users:\n" + getTokenUser("one") + getTokenUser("three") + "contexts:\n- name: x\n  context: {user: three}\n- name: z\n  context: {user: one}\n- name: lost\n  context: {user: nobody}\n"
	for _, row := range []struct {
		contexts []string
		want     []string
		missing  string
	}{
		{nil, []string{"a one converted x,z", "a two converted", "c one converted", "c three converted y"}, ""},
		{[]string{"x"}, []string{"a one converted x,z"}, ""},
		{[]string{"y", "z"}, []string{"a one converted x,z", "c three converted y"}, ""},
		{[]string{"x", "nope"}, nil, `there is no context "nope"`},
		{[]string{"x", "lost"}, nil, `there is no user of context "lost"`},
	} {
		env, paths := listOf(t, first, "", second, "# nothing to do\n")
		before := contents(t, paths)
		c := toOursTest()
		c.Contexts = row.contexts
		planned, err := PlanConversion(t.Context(), env, c)
		if d := cmp.Diff(before, contents(t, paths)); d != "" {
			t.Errorf("a plan wrote: %s", d)
		}
		users, err2 := Convert(t.Context(), env, c)
		if row.missing != "" {
			var missing *MissingError
			if !errors.As(err, &missing) || !errors.As(err2, &missing) || missing.Error() != row.missing || cmp.Diff(before, contents(t, paths)) != "" {
				t.Errorf("%v: %v, %v", row.contexts, err, err2)
			}
			continue
		}
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if d := cmp.Diff(row.want, brief(users)); d != "" {
			t.Errorf("%v: %s", row.contexts, d)
		}
		if d := cmp.Diff(planned, users); d != "" {
			t.Errorf("%v: planned otherwise: %s", row.contexts, d)
		}
		count := strings.Count(strings.Join(contents(t, paths), ""), ourPath)
		if count != len(row.want) {
			t.Errorf("%v: %d users run ekskey", row.contexts, count)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(paths[0]), "*.lock")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// A file that is broken stops all, before the first is written.
func TestConvertMalformed(t *testing.T) {
	good := "users:\n" + getTokenUser("one")
	for bad, want := range map[string]string{
		"users:\n- name: a\n  user: {exec: {args: x}}\n": ":3: users[0].user.exec.args is a string, not a list",
		"users:\n- name: a\n- name: a\n":                 `:3: users has a second entry "a"`,
		"users: [\n":                                     "is not YAML",
		"kind: Config\nkind: Config\n":                   `:2: key "kind" is already on line 1`,
	} {
		env, paths := listOf(t, good, bad)
		before := contents(t, paths)
		_, err := Convert(t.Context(), env, toOursTest())
		if err == nil || !strings.Contains(err.Error(), paths[1]+":") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", bad, err)
		}
		if d := cmp.Diff(before, contents(t, paths)); d != "" {
			t.Errorf("%q: %s", bad, d)
		}
	}
	env, paths := listOf(t, "", "")
	_, err := Convert(t.Context(), env, toOursTest())
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Name != paths[0] {
		t.Errorf("no file: %v", err)
	}
	env, _ = listOf(t, good)
	if _, err := Convert(t.Context(), Env{Flag: filepath.Dir(env.Kubeconfig) + string(filepath.Separator)}, toOursTest()); err == nil {
		t.Error("a folder was converted")
	}
}

// Each file is changed under its lock, and a file with nothing to do needs none.
func TestConvertLocks(t *testing.T) {
	env, paths := listOf(t, "users:\n"+getTokenUser("one"), "# nothing\n")
	hold := func(path string) *safefile.Lock {
		lock, err := safefile.Acquire(t.Context(), safefile.LockConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return lock
	}
	c := toOursTest()
	env.LockWait = time.Millisecond
	idle, busy := hold(paths[1]), hold(paths[0])
	_, err := Convert(t.Context(), env, c)
	var locked *safefile.LockedError
	if !errors.As(err, &locked) {
		t.Errorf("locked by another: %v", err)
	}
	if err := busy.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), env, c); err != nil {
		t.Errorf("only the idle file is locked: %v", err)
	}
	if err := idle.Release(); err != nil {
		t.Fatal(err)
	}
}

// hooked calls a function when it is first asked whether it is done: when a lock is
// taken, after the first look at the files.
type hooked struct {
	context.Context
	once sync.Once
	hook func()
}

func (h *hooked) Err() error {
	h.once.Do(h.hook)
	return h.Context.Err()
}

// Between the look and the lock another program may write the file: what it
// wrote is converted, and not overwritten.
func TestConvertChangedMeanwhile(t *testing.T) {
	for later, want := range map[string][]string{
		"users:\n" + getTokenUser("two") + "# new\n": {"a two converted"},
		"# nothing\n": nil,
		"users: [":    nil,
	} {
		env, paths := listOf(t, "users:\n"+getTokenUser("one"))
		called := false
		ctx := &hooked{Context: context.Background(), hook: func() {
			called = true
			write(t, paths[0], later)
		}}
		users, err := Convert(ctx, env, toOursTest())
		got := contents(t, paths)[0]
		if !called {
			t.Fatal("no lock was taken")
		}
		if want == nil {
			if got != later || (err == nil) == (later == "users: [") {
				t.Errorf("%q became %q, %v", later, got, err)
			}
			continue
		}
		if d := cmp.Diff(want, brief(users)); err != nil || d != "" || !strings.HasSuffix(got, "# new\n") || !strings.Contains(got, ourPath) {
			t.Errorf("%q became %q, %v %s", later, got, err, d)
		}
	}
}

// One read-only file keeps all from being written, and one file under two names is
// one.
func TestConvertFilesTogether(t *testing.T) {
	env, paths := listOf(t, "users:\n"+getTokenUser("one"), "users:\n"+getTokenUser("two"))
	before := contents(t, paths)
	for _, p := range paths {
		if err := os.Chmod(p, 0o400); err != nil {
			t.Fatal(err)
		}
		var e *safefile.ReadOnlyError
		if _, err := Convert(t.Context(), env, toOursTest()); !errors.As(err, &e) || e.Path != p {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(before, contents(t, paths)); diff != "" {
			t.Error(diff)
		}
		if err := os.Chmod(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(filepath.Dir(paths[0]), "link")
	if err := os.Symlink(paths[0], link); err != nil {
		t.Fatal(err)
	}
	env.Kubeconfig += string(filepath.ListSeparator) + link
	for _, do := range []func() ([]ConvertedUser, error){
		func() ([]ConvertedUser, error) { return PlanConversion(t.Context(), env, toOursTest()) },
		func() ([]ConvertedUser, error) { return Convert(t.Context(), env, toOursTest()) },
	} {
		if users, err := do(); err != nil || len(users) != 2 {
			t.Errorf("%+v, %v", users, err)
		}
	}
}

// What cannot be changed alone is left alone, and keeps no other user back.
func TestConvertNotEditable(t *testing.T) {
	for _, row := range []struct{ entry, reason string }{
		{"- name: a\n  user: *u\n", "an alias stands"},
		{"- name: a\n  user: {exec: {<<: *e, interactiveMode: Never}}\n", "has a merge key"},
		{"- {name: a, user: {exec: {apiVersion: " + awsExecAPIVersion + ", command: aws, args: [eks, get-token, # why\n      --cluster-name=c]}}}\n", "line 4: entry \"a\" of users has a comment inside a list"},
	} {
		in := "x: &u\n  exec: &e {apiVersion: " + awsExecAPIVersion + ", command: aws, args: [eks, get-token, --cluster-name, c]}\nusers:\n" + row.entry + getTokenUser("b")
		out, users := convertText(t, toOursTest(), in)
		if !strings.Contains(out, row.entry) || users[0].State != LeftAlone || users[0].To != "" || !strings.Contains(users[0].Reason, row.reason) {
			t.Errorf("%+v\n%s", users[0], out)
		}
		if users[1].State != Converted || !strings.Contains(out, ourPath) {
			t.Errorf("the other one: %+v\n%s", users[1], out)
		}
	}
}

// Comments between arguments are about words that are replaced. They stand
// before the new ones.
func TestConvertKeepsComments(t *testing.T) {
	head := "users:\n- name: a\n  user:\n    exec:\n      apiVersion: " + execAPIVersion + "\n      interactiveMode: Never\n      installHint: x\n"
	in := head + "      args: # one\n      # two\n      - eks # three\n\n      - 'get-token'\n        #four #\n      - \"--cluster-name=a#b\" # five\n      # six\n      command: aws\n"
	want := head + "      args:\n      # one\n      # two\n      # three\n      #four #\n      - token\n      - --cluster\n      - \"a#b\"\n      - --aws-cli-order=true\n      - --exec-api-version\n      - v1 # five\n      # six\n      command: " + ourPath + "\n"
	for _, how := range []string{"", "crlf"} {
		out, users := convertText(t, toOursTest(), disguise(in, how))
		if d := cmp.Diff(disguise(want, how), out); d != "" {
			t.Errorf("%+v %s", users, d)
		}
		out, users = convertText(t, toAWSTest(), out)
		if !strings.Contains(out, "# one") || !strings.Contains(out, "#four #") || users[0].State != Converted {
			t.Errorf("%+v %s", users, out)
		}
	}
}

// An entry must not be half converted.
func TestConvertAllOrNothing(t *testing.T) {
	// The last setting has no place: a pair cannot follow this one.
	in := "users:\n- name: a\n  user:\n    ? exec\n    : ? apiVersion\n      : " + awsExecAPIVersion + "\n      ? command\n      : aws\n      ? args\n      : [eks, get-token, --cluster-name, c]\n"
	if out, users := convertText(t, toOursTest(), in); out != in || users[0].State != LeftAlone {
		t.Errorf("%+v\n%s", users, out)
	}
}

// K05: a plugin that env runs is converted with the variables that it gets.
func TestK05ConvertEnv(t *testing.T) {
	in := "users:\n- name: a\n  user:\n    exec:\n      apiVersion: " + awsExecAPIVersion + "\n      command: /usr/bin/env\n      args: [AWS_PROFILE=p, aws, eks, get-token, --cluster-name, c]\n      env:\n      - name: X\n        value: y\n"
	out, users := convertText(t, toOursTest(), in)
	e := mustParse(t, out).Users()[0].Exec
	want := []EnvVar{{Name: "X", Value: "y"}, {Name: "AWS_PROFILE", Value: "p"}}
	if users[0].State != Converted || e.Command != ourPath || strings.Join(e.Args, " ") != "token --cluster c --aws-cli-order=true --exec-api-version v1" || !slices.Equal(e.Env, want) {
		t.Errorf("%+v\n%s", users[0], out)
	}
}
