package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// runMain runs a command line as the binary would.
func runMain(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	out, errs := open("out"), open("err")
	code = Main(args, os.Stdin, out, errs)
	read := func(f *os.File) string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return code, read(out), read(errs)
}

func TestRefusals(t *testing.T) {
	empty := t.TempDir()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		text string
	}{
		{"unknown command", []string{"dwon"}, exitUsage, `unknown command "dwon"`},
		{"unknown flag", []string{"down", "--force"}, exitUsage, "unknown flag"},
		{"an argument", []string{"demo", "fast"}, exitUsage, `no argument "fast"`},
		{"webhook version", []string{"up", "--webhook-version", "v2"}, exitUsage, `not "v2"`},
		{"port", []string{"up", "--port", "70000"}, exitUsage, "70000 is not a port"},
		{"negative port", []string{"up", "--aws-port=-1"}, exitUsage, "-1 is not a port"},
		{"shell", []string{"env", "--shell", "tcsh"}, exitUsage, `no shell "tcsh"`},
		{"output", []string{"env", "--output", "yaml"}, exitUsage, `not "yaml"`},
		{"source", []string{"up", "--source", foreign}, exitFailed, "no source of the sandbox"},
		{"env of nothing", []string{"env", "--state", empty}, exitNotFound, "no sandbox is running"},
		{"down of another's directory", []string{"down", "--state", foreign}, exitFailed, "no sandbox created"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := runMain(t, tc.args...)
			if code != tc.code || stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q, want none", code, tc.code, stdout)
			}
			if !strings.Contains(stderr, tc.text) || strings.Count(stderr, "error: ") != 1 || !strings.Contains(stderr, "hint: ") {
				t.Errorf("stderr is %q, want one error with %q, and a hint", stderr, tc.text)
			}
		})
	}
}

func TestEnvOfARunningSandbox(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	dir, _, err := state.Acquire(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Release()
	err = dir.Write(state.Record{
		Ready: true, PID: os.Getpid(), Region: "us-east-1", AWS: "https://127.0.0.1:1", Ekskey: filepath.Join(root, "bin", "ekskey"),
		Identities: []state.Identity{{Name: "admin", AccessKeyID: "AKIA1", SecretAccessKey: "secret"}, {Name: "viewer", RoleARN: "arn"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runMain(t, "env", "--state", root)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "export AWS_ACCESS_KEY_ID='AKIA1'\n") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	code, stdout, _ = runMain(t, "env", "--state", root, "--as", "viewer", "-o", "json")
	var got struct{ Set map[string]string }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got.Set["AWS_PROFILE"] != "viewer" {
		t.Errorf("%d, %v, %q", code, err, stdout)
	}
	if code, stdout, stderr := runMain(t, "env", "--state", root, "--as", "root"); code != exitNotFound || stdout != "" || !strings.Contains(stderr, "admin, viewer") {
		t.Errorf("an identity unknown: %d %q %q", code, stdout, stderr)
	}
	if code, _, stderr := runMain(t, "down", "--state", filepath.Join(root, "..", "none")); code != 0 || !strings.Contains(stderr, "nothing to stop") {
		t.Errorf("down of nothing: %d %q", code, stderr)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"up", "--help"}} {
		code, stdout, stderr := runMain(t, args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "--state") {
			t.Errorf("%q: %d %q %q", args, code, stdout, stderr)
		}
	}
}
