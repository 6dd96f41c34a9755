//go:build unix

package cli_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/token"
)

func TestAgentProcess(t *testing.T) {
	c := newCanary(t)
	dir := filepath.Join(c.dir, "tokens")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	config := fmt.Sprintf(`clusters:
- name: demo
  tokenFile: %[1]s/demo
- name: other
  tokenFile: %[1]s/other
  group: "%[2]d"
  region: us-east-1
  roles:
  - arn: arn:aws:iam::111122223333:role/dev
    sessionName: agent
    duration: 15m
readyFile: %[1]s/ready
listen: 127.0.0.1:0
`, dir, os.Getegid())
	if err := os.WriteFile(filepath.Join(c.dir, "agent.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	c.env = append(c.env, "NOTIFY_SOCKET="+notify.LocalAddr().String())
	a := c.start(t, true, "agent", "--config", "agent.yaml")
	if !regexp.MustCompile(`^listening on http://127\.0\.0\.1:[0-9]+\n$`).MatchString(a.line) {
		t.Fatalf("%q", a.line)
	}
	told := make([]byte, 100)
	if n, err := notify.Read(told); err != nil || string(told[:n]) != "READY=1" {
		t.Errorf("%q %v", told[:n], err)
	}
	wait(t, "the ready file", func() bool { _, err := os.Stat(ready); return err == nil })
	for name, want := range map[string]struct {
		mode   os.FileMode
		region string
		temp   bool
	}{"demo": {0o600, testRegion, true}, "other": {0o640, "us-east-1", true}} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := token.Parse(string(text))
		if err != nil || tok.Region != want.region || !tok.ClusterSigned || tok.Temporary != want.temp {
			t.Errorf("%s: %v %v", name, tok, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want.mode {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if n := c.world.count("sts:AssumeRole"); n != 1 {
		t.Errorf("%d roles were assumed", n)
	}
	health := strings.TrimSpace(strings.TrimPrefix(a.line, "listening on ")) + "/healthz"
	res, err := http.Get(health) // #nosec G107 -- its own address
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 200 || !regexp.MustCompile(`^ok demo until \S+\nok other until \S+\n$`).Match(body) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	c.search(t, "/healthz", body)
	a.end(t)
	if n, err := notify.Read(told); err != nil || string(told[:n]) != "STOPPING=1" {
		t.Errorf("%q %v", told[:n], err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 2 {
		t.Errorf("it left %v", left)
	}
	c.search(t, "stderr", a.stderr.Bytes())
}

// 100 clusters, each with a role of its own to assume: memory, as the system
// counts it.
func TestAgentOfHundredClusters(t *testing.T) {
	status := "/proc/self/status"
	if _, err := os.Stat(status); err != nil {
		t.Skip("this system does not tell the most memory that a process had")
	}
	const most = 40 << 10 // KiB
	c := newCanary(t)
	dir := filepath.Join(c.dir, "tokens")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var config strings.Builder
	config.WriteString("readyFile: " + dir + "/ready\nclusters:\n")
	for i := range 100 {
		_, _ = fmt.Fprintf(&config, "- name: c%03d\n  tokenFile: %s/c%03d\n  roles:\n  - arn: arn:aws:iam::111122223333:role/dev\n    sessionName: s%d\n", i, dir, i, i)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "agent.yaml"), []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// As it is released: this test's own binary may have the race detector in it.
	program := filepath.Join(t.TempDir(), "ekskey")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../cmd/ekskey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	a := c.startProgram(t, program, false, "agent", "--config", "agent.yaml")
	wait(t, "100 tokens", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
	text, err := os.ReadFile("/proc/" + strconv.Itoa(a.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	peak, _ := strconv.Atoi(string(m[1]))
	t.Logf("100 clusters, each with a role: at most %.1f MB resident", float64(peak)/1024)
	if peak > most {
		t.Errorf("%d KiB, more than %d", peak, most)
	}
	if n := c.world.count("sts:AssumeRole"); n != 100 {
		t.Errorf("%d roles were assumed", n)
	}
	a.end(t)
}
