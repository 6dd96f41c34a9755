// Package archtest checks the rules that the compiler does not: which package may
// import which, what the client links, that the documents match the code, that every
// promised behaviour has a test, and that the text uses plain words.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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

// The checker finds what it should: a made-up graph, one mistake per row.
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

const maxMain = 25 // lines

// A main function parses nothing and decides nothing.
func TestMainsAreShort(t *testing.T) {
	mains := 0
	walk(t, func(path string, text []byte) {
		if dir, file := filepath.Split(path); file != "main.go" || !strings.Contains("/"+dir, "/cmd/") {
			return
		}
		mains++
		if lines := bytes.Count(text, []byte("\n")); lines > maxMain {
			t.Errorf("%s has %d lines, at most %d are allowed", path, lines, maxMain)
		}
	})
	if mains < 3 {
		t.Errorf("only %d main.go files were found", mains)
	}
}

// walk calls f with each file of the repository, of all modules, whose directory is
// not one of build output or of test data other than scripts.
func walk(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".md", ".txtar":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(relative), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
