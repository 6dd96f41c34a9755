package archtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/token"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The worked example of the token's format is what this code mints.
func TestTokenExample(t *testing.T) {
	page := readFile(t, "docs/token-format.md")
	block := func(name string) string {
		_, rest, ok := strings.Cut(page, "<!-- example: "+name+" -->\n```\n")
		text, _, closed := strings.Cut(rest, "\n```\n")
		if !ok || !closed {
			t.Fatalf("no example %q", name)
		}
		return text
	}
	source, err := token.New(token.Config{
		Cluster: "demo", Region: "eu-central-1",
		Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
		Now:         func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := source.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := block("token"); got != tok.Value() {
		t.Errorf("the token is %s", got)
	}
	parsed, err := token.Parse(tok.Value())
	if err != nil {
		t.Fatal(err)
	}
	if got := block("url"); got != parsed.RequestURL() {
		t.Errorf("the URL is %s", got)
	}
	sum := sha256.Sum256([]byte(block("canonical request")))
	if got := block("string to sign"); !strings.HasSuffix(got, "\n"+hex.EncodeToString(sum[:])) {
		t.Errorf("the string to sign is %s, the canonical request's digest %x", got, sum)
	}
}

// Every rule that the code names has a row, in order.
func TestRulesAreListed(t *testing.T) {
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (V\d\d) \| .+ \|$`).FindAllStringSubmatch(readFile(t, "docs/token-format.md"), -1) {
		listed = append(listed, row[1])
	}
	if !slices.IsSorted(listed) {
		t.Errorf("the rules are not in order: %v", listed)
	}
	inCode := matches(t, regexp.MustCompile(`"(V\d\d)[":]`), "token", "verify")
	if len(inCode) < 25 {
		t.Errorf("only %d rules were found in the code", len(inCode))
	}
	for code, file := range inCode {
		if !slices.Contains(listed, code) {
			t.Errorf("%s of %s is not listed", code, file)
		}
	}
}

// matches finds what a pattern's first group takes in the non-test Go files of
// folders, and a file for each.
func matches(t *testing.T, pattern *regexp.Regexp, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
				found[m[1]] = filepath.Base(file)
			}
		}
	}
	return found
}

// Every key of the server's configuration, every metric and every code of a
// remark about a mapping stands in the pages about them.
func TestServerIsDocumented(t *testing.T) {
	for _, c := range []struct {
		page    string
		pattern *regexp.Regexp
		folders []string
		least   int
	}{
		{"docs/server.md", regexp.MustCompile(`(?m)^\s+"([a-z0-9]+)":\s+(?:r\.|func\()`), []string{"internal/servercli"}, 25},
		{"docs/metrics.md", regexp.MustCompile(`"(ekskey_[a-z_]+)"`), []string{"internal/servercli", "internal/webhook", "internal/listener", "internal/servingtls"}, 20},
		{"docs/server.md", regexp.MustCompile(`return "([a-z]+-[a-z-]+)"`), []string{"internal/webhook"}, 10},
		{"docs/authorizer.md", regexp.MustCompile(`"(ekskey_[a-z_]+)"`), []string{"internal/authorizer"}, 2},
		{"docs/mapping.md", regexp.MustCompile(`(?m)^\s[A-Z]\w+\s+Code = "([a-z0-9-]+)"`), []string{"internal/mapping"}, 16},
	} {
		page := strings.ToLower(readFile(t, c.page))
		found := matches(t, c.pattern, c.folders...)
		if len(found) < c.least {
			t.Errorf("%v: only %d names were found", c.folders, len(found))
		}
		for name, file := range found {
			if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(page) {
				t.Errorf("%s of %s is not in %s", name, file, c.page)
			}
		}
	}
}

// The README's Go is the body of an example that is compiled and run.
func TestReadmeGoCompiles(t *testing.T) {
	_, rest, ok := strings.Cut(readFile(t, "README.md"), "```go\n")
	snippet, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("the README has no Go")
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if !strings.Contains(flat(readFile(t, "token/example_test.go")), flat(snippet)) {
		t.Errorf("not in token/example_test.go:\n%s", snippet)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	seen := 0
	check := func(page string) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			seen++
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	pages, err := fs.Glob(os.DirFS(root), "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		check(page)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			relative, relErr := filepath.Rel(root, path)
			if relErr != nil {
				return relErr
			}
			check(relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Errorf("only %d links were found", seen)
	}
}

// Every module of the repository is known to the Makefile, and every target that
// the documents name exists.
func TestMakefileIsWhole(t *testing.T) {
	makefile := readFile(t, "Makefile")
	listed := regexp.MustCompile(`(?m)^(?:MODULES|CONTROLPLANE) := (.+)$`).FindAllStringSubmatch(makefile, -1)
	var modules []string
	for _, m := range listed {
		modules = append(modules, strings.Fields(m[1])...)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "go.mod" {
			folder, relErr := filepath.Rel(root, filepath.Dir(path))
			if relErr != nil {
				return relErr
			}
			if !slices.Contains(modules, filepath.ToSlash(folder)) {
				t.Errorf("the module in %s is not in the Makefile", folder)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := fmt.Sprint(readFile(t, "README.md"), readFile(t, "CONTRIBUTING.md"), readFile(t, ".ci/run"))
	targets := regexp.MustCompile(`\bmake ([a-z][a-z0-9-]+)`).FindAllStringSubmatch(named, -1)
	if len(targets) < 4 {
		t.Errorf("only %d targets are named", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("make %s is named, but is no target", m[1])
		}
	}
}
