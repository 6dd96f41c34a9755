package client

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if binaries, err = os.MkdirTemp("", "examples-*"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(binaries)
		if out, err := exec.Command("go", "build", "-o", binaries+"/", "./...").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func program(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(binaries, name)
}

func TestPrograms(t *testing.T) {
	for _, c := range []struct {
		name string
		env  func(t *testing.T, w *world) []string
		want string // of stdout
		fail string // of stderr; empty if it is to succeed
	}{
		{"static-keys", func(_ *testing.T, w *world) []string {
			return []string{
				"AWS_ENDPOINT_URL=https://127.0.0.1:1", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=",
				"KEY_ID=" + w.key.AccessKeyID, "SECRET_KEY=" + w.key.SecretAccessKey,
				"CLUSTER_ENDPOINT=https://" + w.k8s.Address, "CLUSTER_CA=" + base64.StdEncoding.EncodeToString(w.k8s.CA),
			}
		}, "connected to Kubernetes v1.36.3\n", ""},
		{"role-chain", func(t *testing.T, w *world) []string {
			first := w.role(t, "first", account, "")
			return []string{"FIRST_ROLE=" + first, "SECOND_ROLE=" + w.role(t, "second", first, "id"), "EXTERNAL_ID=id"}
		}, "default\nshop\n", ""},
		{"role-chain", func(t *testing.T, w *world) []string {
			first := w.role(t, "first", account, "")
			return []string{"FIRST_ROLE=" + first, "SECOND_ROLE=" + w.role(t, "second", first, "id"), "EXTERNAL_ID=wrong"}
		}, "", "ask for the role: assuming role arn:aws:iam::111122223333:role/second: "},
		{"count-pods", func(*testing.T, *world) []string {
			return []string{"POD_NAMESPACE=default", "POD=one"}
		}, "There are 2 pods in the cluster\nFound pod one in namespace default, on node-a\n", ""},
		{"count-pods", func(*testing.T, *world) []string {
			return []string{"POD_NAMESPACE=default", "POD=example-xxxxx"}
		}, "There are 2 pods in the cluster\nPod example-xxxxx in namespace default not found\n", ""},
		{"count-pods", func(*testing.T, *world) []string { return []string{"CLUSTER=nowhere"} }, "", "there is no cluster nowhere in eu-central-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			cmd := exec.CommandContext(t.Context(), program(c.name))
			cmd.Env = append(w.env, c.env(t, w)...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if (err == nil) != (c.fail == "") || stdout.String() != c.want || !strings.Contains(stderr.String(), c.fail) {
				t.Errorf("%v\n%s%s", err, stdout.String(), stderr.String())
			}
		})
	}
}

func TestController(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a program there cannot be asked to end")
	}
	w := newWorld(t)
	cmd := exec.CommandContext(t.Context(), program("controller"))
	cmd.Env = w.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	saw := map[string]bool{}
	lines := bufio.NewScanner(stdout)
	for len(saw) < 2 && lines.Scan() {
		saw[lines.Text()] = true
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if !saw["saw pod one in namespace default"] || !saw["saw pod two in namespace shop"] {
		t.Errorf("%v\n%s", saw, stderr.String())
	}
}

// The Go in docs/client-go.md is in one of the programs, which are compiled and run,
// or in the documentation's own test.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/client-go.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	flat := func(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }
	var all string
	for _, name := range append(sources, "docs_test.go") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += flat(text) + "\n"
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 4 {
		t.Errorf("only %d blocks of Go were found", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(all, flat(block[1])) {
			t.Errorf("in no program:\n%s", block[1])
		}
	}
}
