// Package archtest holds the house's rules that the compiler does not: who may
// import whom, what the client links, how long a file may be,
// and that the documents say what the code does.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/ekskey/ekskey"
	root   = "../.."
)

// The rules hold for each system, because files are chosen by system.
func TestImports(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			packages := list(t, "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
			if !slices.ContainsFunc(packages, func(p pkg) bool { return p.ImportPath == module+"/token" }) {
				t.Fatal("package token was not listed")
			}
			for _, wrong := range check(module, packages) {
				t.Error(wrong)
			}
		})
	}
}

func list(t *testing.T, env ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// The checker finds what it is there to find: a made-up graph, one thing wrong a
// row.
func TestCheckFinds(t *testing.T) {
	std := func(path string) pkg { return pkg{ImportPath: path, Standard: true} }
	other := func(path string, deps ...string) pkg { return pkg{ImportPath: path, Imports: deps, Deps: deps} }
	// ours links all that it imports.
	ours := func(room string, deps ...string) pkg { return other(module+"/"+room, deps...) }
	for _, c := range []struct {
		name string
		pkgs []pkg
		want string
	}{
		{"nothing wrong", []pkg{
			std("fmt"), other("github.com/aws/aws-sdk-go-v2/aws", "fmt"), ours("identity", "fmt"),
			ours("token", module+"/identity", "github.com/aws/aws-sdk-go-v2/aws"),
			ours("internal/cli", module+"/token"), ours("cmd/ekskey", module+"/internal/cli"),
		}, ""},
		{"up", []pkg{ours("token", module+"/verify")}, "token imports verify, which is not below it"},
		{"sideways", []pkg{ours("verify", module+"/internal/mapping")}, "verify imports internal/mapping, which is not below it"},
		{"cli from below", []pkg{ours("internal/webhook", module+"/internal/cli")}, "internal/webhook imports internal/cli"},
		{"cli from beside", []pkg{ours("internal/servercli", module+"/internal/cli")}, "internal/servercli imports internal/cli"},
		{"a command from bench", []pkg{ours("bench", module+"/cmd/ekskey")}, "bench imports cmd/ekskey"},
		{"no layer", []pkg{ours("internal/util")}, "internal/util is in no layer"},
		{"a name that only begins like a layer's", []pkg{ours("tokens")}, "tokens is in no layer"},
		{"identity beyond the standard library", []pkg{other("golang.org/x/sys/unix"), ours("identity", "golang.org/x/sys/unix")}, "identity links golang.org/x/sys/unix"},
		{"fakeaws with the SDK", []pkg{other("github.com/aws/smithy-go"), ours("internal/fakeaws", "github.com/aws/smithy-go")}, "internal/fakeaws links github.com/aws/smithy-go"},
		{"fakeaws with ours", []pkg{ours("identity"), ours("internal/fakeaws", module+"/identity")}, "internal/fakeaws links " + module + "/identity"},
		{"client-go in token", []pkg{other("k8s.io/client-go/rest"), ours("token", "k8s.io/client-go/rest")}, "token links k8s.io/client-go/rest"},
		{"client-go in mapping, indirectly", []pkg{{ImportPath: module + "/internal/mapping", Deps: []string{"k8s.io/client-go"}}}, "internal/mapping links k8s.io/client-go"},
		{"apimachinery in the client", []pkg{ours("cmd/ekskey", "k8s.io/apimachinery/pkg/types")}, "cmd/ekskey links k8s.io/apimachinery/pkg/types"},
		{"prometheus in the client", []pkg{ours("cmd/ekskey", "github.com/prometheus/client_golang/prometheus")}, "cmd/ekskey links github.com/prometheus"},
		{"prometheus in the server", []pkg{ours("cmd/ekskey-server", "github.com/prometheus/client_golang/prometheus")}, ""},
		{"fakeaws in the server", []pkg{ours("cmd/ekskey-server", module+"/internal/fakeaws")}, "cmd/ekskey-server links " + module + "/internal/fakeaws"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(check(module, c.pkgs), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

const (
	maxFile = 400
	maxMain = 25
)

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFilesAreShort(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if wrong := tooLong(filepath.ToSlash(path), text); wrong != "" {
			t.Error(wrong)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d Go files were found", seen)
	}
}

func tooLong(path string, text []byte) string {
	lines, most := bytes.Count(text, []byte("\n")), maxFile
	if folder, file := filepath.Split(path); file == "main.go" && strings.Contains(folder, "/cmd/") {
		most = maxMain
	}
	if lines <= most || generated.Match(text) {
		return ""
	}
	return fmt.Sprintf("%s has %d lines, at most %d", path, lines, most)
}

func TestTooLongFinds(t *testing.T) {
	lines := func(n int) []byte { return bytes.Repeat([]byte("x\n"), n) }
	for _, c := range []struct {
		path string
		text []byte
		bad  bool
	}{
		{"../../token/parse.go", lines(400), false},
		{"../../token/parse.go", lines(401), true},
		{"../../identity/zz.go", append([]byte("// Code generated by x; DO NOT EDIT.\n"), lines(500)...), false},
		{"../../cmd/ekskey/main.go", lines(25), false},
		{"../../cmd/ekskey/main.go", lines(26), true},
		{"../../sandbox/cmd/ekskey-sandbox/main.go", lines(26), true},
		{"../../tools/stsgen/main.go", lines(155), false},
	} {
		if got := tooLong(c.path, c.text); (got != "") != c.bad {
			t.Errorf("%s, %d bytes: %q", c.path, len(c.text), got)
		}
	}
}
