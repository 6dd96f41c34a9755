package kubeconfig

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

func planOne(t *testing.T, text string, o Options) Edit {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "config"), text)
	_, edits, err := Plan(t.Context(), Env{Flag: path}, batch(mustChange(t, o)))
	if err != nil {
		t.Fatal(err)
	}
	if len(edits) != 1 {
		t.Fatalf("%d files would change", len(edits))
	}
	return edits[0]
}

// hunks is a diff without the lines that name the file.
func hunks(e Edit) string {
	_, rest, _ := strings.Cut(e.Diff(), "\n")
	_, rest, _ = strings.Cut(rest, "\n")
	return rest
}

const ownUser = `- name: ` + demoUser + `
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - token
      - --cluster
      - demo
      - --region
      - eu-west-1
      - --exec-api-version
      - v1
      command: /usr/local/bin/ekskey
      installHint: ` + `"` + installHint + `"
      interactiveMode: IfAvailable
      provideClusterInfo: false
`

const ownFile = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: "Q0E="
    server: https://ABC.eks.amazonaws.com
  name: ` + demoARN + `
contexts:
- context:
    cluster: ` + demoARN + `
    namespace: team # mine
    user: ` + demoUser + `
  name: demo
current-context: demo
kind: Config
users:
` + ownUser

func TestDiff(t *testing.T) {
	o := demo()
	o.Namespace, o.Server = "other", "https://DEF.eks.amazonaws.com"
	got := hunks(planOne(t, ownFile, o))
	want := `@@ -2,12 +2,12 @@
 clusters:
 - cluster:
     certificate-authority-data: "Q0E="
-    server: https://ABC.eks.amazonaws.com
+    server: https://DEF.eks.amazonaws.com
   name: ` + demoARN + `
 contexts:
 - context:
     cluster: ` + demoARN + `
-    namespace: team # REDACTED
+    namespace: other # REDACTED
     user: ` + demoUser + `
   name: demo
 current-context: demo
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Changes far from one another have hunks of their own, and a line without a
// line break says so.
func TestDiffHunks(t *testing.T) {
	o := demo()
	o.Server, o.Command = "https://DEF.eks.amazonaws.com", "/bin/ekskey"
	got := hunks(planOne(t, strings.TrimSuffix(ownFile, "\n"), o))
	want := `@@ -2,7 +2,7 @@
 clusters:
 - cluster:
     certificate-authority-data: "Q0E="
-    server: https://ABC.eks.amazonaws.com
+    server: https://DEF.eks.amazonaws.com
   name: ` + demoARN + `
 contexts:
 - context:
@@ -25,7 +25,7 @@
       - eu-west-1
       - --exec-api-version
       - v1
-      command: /usr/local/bin/ekskey
+      command: /bin/ekskey
       installHint: "` + installHint + `"
       interactiveMode: IfAvailable
       provideClusterInfo: false
\ No newline at end of file
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDiffOfNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new\x1b[2J", "config")
	_, edits, err := Plan(t.Context(), Env{Flag: path}, batch(mustChange(t, demo())))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(edits[0].Diff(), "\n")
	if !edits[0].Created || lines[0] != "--- /dev/null\n" || lines[1] != "+++ "+strings.ReplaceAll(path, "\x1b", "?")+"\n" || lines[2] != "@@ -0,0 +1,34 @@\n" {
		t.Errorf("it begins %q", lines[:3])
	}
	if got := unmark(lines[3:], '+'); got != string(edits[0].after.Bytes()) {
		t.Errorf("-want +got:\n%s", cmp.Diff(string(edits[0].after.Bytes()), got))
	}
}

// A diff of what is already so is none.
func TestNoDiff(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "config"), ownFile)
	if _, edits, err := Plan(t.Context(), Env{Flag: path}, batch(mustChange(t, demo()))); err != nil || len(edits) != 0 {
		t.Errorf("%v, %v", edits, err)
	}
}

func unmark(lines []string, mark byte) string {
	var b strings.Builder
	for _, line := range lines {
		if line != "" && line[0] == mark {
			b.WriteString(line[1:])
		}
	}
	return b.String()
}

// checkDiff holds that a diff is one: its hunks are where they say, have the
// lines that they say, in order, and lead from the one file to the other. The
// text has lines as they are shown, so the blocks are held against the bytes.
func checkDiff(t *testing.T, e Edit) {
	t.Helper()
	show := func(f *File) []string { return yamlsplice.Redact(f.doc, f.visible(e.commands)) }
	before, after := show(e.before), show(e.after)
	var got []string
	at := 0
	var left [2]int // lines that the hunk has still to have, old and new
	text := strings.TrimSuffix(hunks(e), "\n")
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if line[0] == '@' {
			start, size := hunkPlace(t, fields[1])
			if left != [2]int{} || start < at {
				t.Fatalf("hunk %q begins at %d, %v left", line, at, left)
			}
			got = append(got, before[at:start]...)
			at = start
			now, size2 := hunkPlace(t, fields[2])
			if now != len(got) {
				t.Fatalf("hunk %q is at %d", line, len(got))
			}
			left = [2]int{size, size2}
			continue
		}
		if line[0] == '\\' {
			continue
		}
		if line[0] != '+' {
			if at >= len(before) || before[at] != line[1:] {
				t.Fatalf("line %q is not line %d of the file", line, at)
			}
			at, left[0] = at+1, left[0]-1
		}
		if line[0] != '-' {
			got = append(got, line[1:])
			left[1]--
		}
	}
	got = append(got, before[at:]...)
	if left != [2]int{} || !slices.Equal(got, after) {
		t.Fatalf("%v left, -want +got:\n%s", left, cmp.Diff(after, got))
	}
}

// hunkPlace reads a range of lines as it stands in a hunk's head.
func hunkPlace(t *testing.T, s string) (start, size int) {
	t.Helper()
	first, count, ok := strings.Cut(s[1:], ",")
	size = 1
	var err, err2 error
	if start, err = strconv.Atoi(first); ok {
		size, err2 = strconv.Atoi(count)
	}
	if err != nil || err2 != nil {
		t.Fatalf("%q is no range", s)
	}
	if size > 0 {
		start--
	}
	return start, size
}

func FuzzDiff(f *testing.F) {
	seed(f)
	f.Add([]byte(ownFile), "demo", "ns")
	f.Fuzz(func(t *testing.T, data []byte, alias, namespace string) {
		before, err := Parse("config", data)
		if err != nil || len(data) > 1<<16 {
			return
		}
		o := demo()
		o.Alias = alias
		change, err := ForEKS(o)
		change.Context.Namespace = namespace
		if err != nil || change.check() != nil {
			return
		}
		set := fileSet{{path: "config", file: before}}
		_, edits, err := set.apply(batch(change))
		if err != nil {
			return
		}
		for _, e := range edits {
			checkDiff(t, e)
		}
	})
}

// All the ways of writing that the golden files have, and a thousand entries.
func TestDiffLeadsFromFileToFile(t *testing.T) {
	paths, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal(err, len(paths))
	}
	n := 0
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "config"), disguise(string(a.Files[0].Data), string(a.Comment)))
			_, edits, err := Plan(t.Context(), Env{Flag: file}, batch(mustChange(t, demo())))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range edits {
				n++
				checkDiff(t, e)
			}
		})
	}
	if n < len(paths)/2 {
		t.Errorf("only %d files had a diff", n)
	}
	var all []Change
	for i := range 1000 {
		c, err := numbered(fmt.Sprintf("-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	path := write(t, filepath.Join(t.TempDir(), "config"), ownFile)
	_, edits, err := Plan(t.Context(), Env{Flag: path}, batch(all...))
	if err != nil {
		t.Fatal(err)
	}
	checkDiff(t, edits[0])
	if got := strings.Count(edits[0].Diff(), "\n-"); got != 1 {
		t.Errorf("%d lines go, where entries are added and one becomes the current", got)
	}
}
