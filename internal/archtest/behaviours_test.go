package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// behaviours is how many rows testdata/behaviours.txt must have.
const behaviours = 39

// behaviourIDs are the ids that a name or a comment begins with: one or several, after
// Test or Fuzz, and not as a part of a longer word.
var (
	behaviourIDs = regexp.MustCompile(`^(?:Test|Fuzz)?_?([ACKW]\d\d(?:[ ,]*[ACKW]\d\d)*)(?:[^0-9a-z].*)?$`)
	behaviourID  = regexp.MustCompile(`[ACKW]\d\d`)
)

// Every behaviour of the table has a test that carries its id.
func TestBehavioursHaveTests(t *testing.T) {
	table, err := os.ReadFile("testdata/behaviours.txt")
	if err != nil {
		t.Fatal(err)
	}
	means := map[string]string{}
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, what, ok := strings.Cut(line, " ")
		if !ok || !behaviourIDs.MatchString(id) || means[id] != "" {
			t.Errorf("%q is not an id and its meaning, or is there twice", line)
		}
		means[id] = what
	}
	if len(means) != behaviours {
		t.Errorf("the table has %d behaviours, want %d", len(means), behaviours)
	}
	tests := map[string][]string{}
	walk(t, func(path string, text []byte) {
		for _, id := range idsIn(t, path, text) {
			tests[id] = append(tests[id], path)
		}
	})
	proven := 0
	for id, what := range means {
		if len(tests[id]) == 0 {
			t.Errorf("%s has no test: %s", id, what)
			continue
		}
		proven++
	}
	t.Logf("%d of %d behaviours have a test", proven, len(means))
}

// idsIn returns the ids that the tests in a file carry.
func idsIn(t *testing.T, path string, text []byte) []string {
	t.Helper()
	var ids []string
	add := func(name string) {
		m := behaviourIDs.FindStringSubmatch(name)
		if m == nil {
			return
		}
		for _, id := range behaviourID.FindAllString(m[1], -1) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	switch {
	case strings.HasSuffix(path, ".txtar"):
		for line := range strings.Lines(string(text)) {
			comment, ok := strings.CutPrefix(line, "#")
			if !ok {
				break
			}
			add(strings.TrimSpace(comment))
		}
	case strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "internal/archtest/behaviours"):
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz") {
					add(n.Name.Name)
				}
			case *ast.BasicLit: // the name of a subtest, there or in a table
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && strings.ContainsAny(s, " :") {
					add(s)
				}
			}
			return true
		})
	}
	return ids
}

func TestIDsAreFound(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"x_test.go", "package x\nfunc TestC03MFACommand(t *testing.T) {}", "C03"},
		{"x_test.go", "package x\nfunc Test_C03(t *testing.T) {}", "C03"},
		{"x_test.go", "package x\nfunc FuzzA01Sections(f *testing.F) {}", "A01"},
		{"x_test.go", "package x\nfunc TestC031(t *testing.T) {}", ""},
		{"x_test.go", "package x\nfunc helperC03() {}\n// C03: no test", ""},
		{"x_test.go", "package x\nvar rows = []row{{\"C03 three in a row\"}, {\"K01: lost\"}}", "C03 K01"},
		{"x_test.go", "package x\nvar s = []string{\"C03\", \"see C03 for\", \"C03x y\"}", ""},
		{"x.go", "package x\nfunc TestC03() {}", ""},
		{"x.txtar", "# A02 A03, A05: what is wrong.\n\n# A07: later", "A02 A03 A05"},
		{"x_test.go", "package x\nfunc TestC03C05Both(t *testing.T) {}", "C03 C05"},
		{"x.txtar", "# C03: three in a row.\n# A02 half a pair.\nekskey token\n# C04: too late", "C03 A02"},
		{"x.md", "# C03: a page", ""},
	} {
		if got := strings.Join(idsIn(t, c.path, []byte(c.text)), " "); got != c.want {
			t.Errorf("%s, %q: got %q, want %q", c.path, c.text, got, c.want)
		}
	}
}
