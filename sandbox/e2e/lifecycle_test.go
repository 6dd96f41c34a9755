//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// lonely is the environment of somebody who has nothing but Go: an empty home,
// which must stay empty, and a directory for temporary files, which must too.
func lonely(t *testing.T) (env []string, stateDir string) {
	t.Helper()
	dir := t.TempDir()
	home, temp := filepath.Join(dir, "home"), filepath.Join(dir, "tmp")
	for _, d := range []string{home, temp} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if entries, err := os.ReadDir(d); err != nil || len(entries) > 0 {
				t.Errorf("%s is not empty afterwards: %v, %v", d, entries, err)
			}
		})
	}
	env = append(os.Environ(), "HOME="+home, "TMPDIR="+temp, "EKSKEY_SANDBOX_CACHE="+cacheDir)
	for _, name := range []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOFLAGS"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	// Where the go command counts, in the background, for itself.
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	return append(env, "XDG_CONFIG_HOME="+config), filepath.Join(dir, "state")
}

// running is an `ekskey-sandbox up` in the foreground.
type running struct {
	*exec.Cmd
	said     *bytes.Buffer
	stateDir string
	pids     map[string]int
}

func upForeground(t *testing.T, env []string, stateDir string, args ...string) *running {
	t.Helper()
	cmd := exec.Command(sandbox, append([]string{"up", "--state", stateDir}, args...)...)
	r := &running{Cmd: cmd, said: &bytes.Buffer{}, stateDir: stateDir}
	cmd.Env, cmd.Stderr = env, r.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	waitFor(t, "the sandbox to be ready", func() bool {
		// Not the record of a sandbox that is gone, in whose directory this one starts.
		record, _, err := state.Read(stateDir)
		return err == nil && record.PID == cmd.Process.Pid
	})
	r.pids = programs(t, stateDir)
	return r
}

func programs(t *testing.T, stateDir string) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, name := range []string{"etcd", "kube-apiserver", "clusterrole-aggregation", "ekskey-server"} {
		pid, err := process.PID(state.Layout{Root: stateDir}.PIDFile(name))
		if err != nil {
			t.Fatal(err)
		}
		if !alive(pid) {
			t.Fatalf("%s does not run", name)
		}
		pids[name] = pid
	}
	return pids
}

func nothingRuns(t *testing.T, pids map[string]int) {
	t.Helper()
	for name, pid := range pids {
		waitFor(t, name+" to end", func() bool { return !alive(pid) })
	}
}

func gone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// refusal is one error line with a hint, nothing on stdout, and an exit code.
func refusal(t *testing.T, o outcome, code int, texts ...string) {
	t.Helper()
	if o.code != code || o.stdout != "" {
		t.Errorf("exit code %d, want %d; stdout %q, want none", o.code, code, o.stdout)
	}
	if n := strings.Count(o.stderr, "error: "); n != 1 {
		t.Errorf("%d error lines, want one", n)
	}
	has(t, o.stderr, append(texts, "error: ", "hint: ")...)
}

func TestUpInTheBackground(t *testing.T) {
	env, dir := lonely(t)
	refusal(t, command(t, env, sandbox, "env", "--state", dir), 5, "no sandbox is running")

	o := command(t, env, sandbox, "up", "-d", "--state", dir)
	t.Cleanup(func() { _, _ = state.Down(context.Background(), dir) })
	if o.code != 0 || o.stdout != "" {
		t.Fatalf("up -d: %+v", o)
	}
	has(t, o.stderr, "NOT FOR PRODUCTION", "kube-apiserver", "stranger", "down --state "+dir)
	pids := programs(t, dir)

	// What env prints is enough for the real tools, and for each identity.
	script := `set -eu
eval "$(` + sandbox + ` env --state ` + dir + ` --as dev)"
ekskey kubeconfig update --name demo --alias demo
` + kubectl + ` auth whoami -o 'jsonpath={.status.userInfo.username}'`
	if out := mustRun(t, env, "sh", "-c", script); !strings.HasSuffix(out, "dev") {
		t.Errorf("through env, kubectl is %q", out)
	}
	var e struct{ Set map[string]string }
	if err := json.Unmarshal([]byte(mustRun(t, env, sandbox, "env", "--state", dir, "--output", "json")), &e); err != nil || e.Set["AWS_CA_BUNDLE"] == "" {
		t.Errorf("env --output json: %v, %v", err, e)
	}
	refusal(t, command(t, env, sandbox, "env", "--state", dir, "--as", "nobody"), 5, `no identity "nobody"`, "admin, dev")
	refusal(t, command(t, env, sandbox, "up", "--state", dir), 1, "already running")
	refusal(t, command(t, env, sandbox, "up", "-d", "--state", dir), 1, "already running")

	// Nobody gets in without credentials, but may ask whether it is well.
	r, l, err := state.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(l.Root); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state directory is %v, %v", info.Mode(), err)
	}
	for path, want := range map[string]int{"/readyz": 200, "/version": 401, "/api": 401, "/metrics": 401} {
		resp, err := insecure().Get(r.APIServer + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s without credentials: %d, want %d", path, resp.StatusCode, want)
		}
	}

	if o := command(t, env, sandbox, "down", "--state", dir); o.code != 0 {
		t.Errorf("down: %+v", o)
	}
	nothingRuns(t, pids)
	gone(t, dir)
	if o := command(t, env, sandbox, "down", "--state", dir); o.code != 0 {
		t.Errorf("down of nothing: %+v", o)
	}
}

func TestCtrlC(t *testing.T) {
	env, dir := lonely(t)
	r := upForeground(t, env, dir)
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("up ended with %v: %s", err, r.said)
	}
	nothingRuns(t, r.pids)
	gone(t, dir)
}

func TestKilledSupervisorAndWhatFollows(t *testing.T) {
	env, dir := lonely(t)
	r := upForeground(t, env, dir)
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.Wait()
	nothingRuns(t, r.pids)
	refusal(t, command(t, env, sandbox, "env", "--state", dir), 5, "no sandbox is running")

	// The directory is as the dead left it: the next one says so and goes on.
	again := upForeground(t, env, dir)
	has(t, again.said.String(), "found an earlier sandbox that was running", "process "+strconv.Itoa(r.Process.Pid)+", gone")

	// One whose API server dies cannot go on, and says why.
	if err := syscall.Kill(again.pids["kube-apiserver"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := again.Wait(); again.ProcessState.ExitCode() != 1 {
		t.Errorf("up ended with %v", err)
	}
	has(t, again.said.String(), "error: the sandbox cannot go on: kube-apiserver")
	nothingRuns(t, again.pids)
	gone(t, dir)
	for _, kept := range glob(t, filepath.Join(value(env, "TMPDIR"), "ekskey-sandbox-kube-apiserver-*.log")) {
		if err := os.Remove(kept); err != nil { // the log it speaks of
			t.Error(err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"--port", "--aws-port"} {
		t.Run(flag, func(t *testing.T) {
			env, dir := lonely(t)
			refusal(t, command(t, env, sandbox, "up", "--state", dir, flag, port), 1, "port "+port+" is in use", flag)
		})
	}
}

func TestWrongUsage(t *testing.T) {
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
		{"a flag unknown", []string{"up", "--stricht"}, 2, "unknown flag"},
		{"a command unknown", []string{"upp"}, 2, "upp"},
		{"an argument too many", []string{"up", "now"}, 2, `"now"`},
		{"a version unknown", []string{"up", "--webhook-version", "v2"}, 2, `"v2"`},
		{"a shell unknown", []string{"env", "--shell", "cmd"}, 2, `"cmd"`},
		{"no source there", []string{"up", "--source", foreign}, 1, "no source"},
		{"up in someone's directory", []string{"up", "--state", foreign}, 1, "that no sandbox created"},
		{"down in someone's directory", []string{"down", "--state", foreign}, 1, "that no sandbox created"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env, _ := lonely(t)
			refusal(t, command(t, env, sandbox, tc.args...), tc.code, tc.text)
		})
	}
	t.Run("assets that do not exist", func(t *testing.T) {
		env, dir := lonely(t)
		refusal(t, command(t, append(env, "KUBEBUILDER_ASSETS="+foreign), sandbox, "up", "--state", dir), 1, "KUBEBUILDER_ASSETS has no")
	})
	if _, err := os.Stat(filepath.Join(foreign, "precious")); err != nil {
		t.Error(err)
	}
}

func TestDemo(t *testing.T) {
	env, _ := lonely(t)
	o := command(t, append(env, "NO_COLOR=1"), sandbox, "demo")
	if o.code != 0 {
		t.Fatalf("the demo ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	has(t, o.stdout, "All 12 steps gave exactly what they should", "Forbidden", "HTTP 401 Unauthorized", "AmazonEKSViewPolicy")
	has(t, o.stderr, "NOT FOR PRODUCTION")
	if strings.Contains(o.stdout, "\x1b") {
		t.Error("colour, though this is no terminal")
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// insecure is a client that asks whoever answers, and tells nobody anything.
func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
}
