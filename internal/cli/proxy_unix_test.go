//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running is an `ekskey` that goes on until it is told to end.
type running struct {
	cmd    *exec.Cmd
	line   string // its first on stdout
	stderr *bytes.Buffer
}

// start runs a command and waits for its first line, if it writes one.
func (c *canary) start(t *testing.T, writes bool, words ...string) *running {
	t.Helper()
	return c.startProgram(t, "ekskey", writes, words...)
}

func (c *canary) startProgram(t *testing.T, program string, writes bool, words ...string) *running {
	t.Helper()
	r := &running{cmd: exec.CommandContext(t.Context(), program, append(words, "--log-level", "debug")...), stderr: &bytes.Buffer{}}
	r.cmd.Dir, r.cmd.Env, r.cmd.Stderr = c.dir, c.env, r.stderr
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if writes {
		if r.line, err = bufio.NewReader(stdout).ReadString('\n'); err != nil {
			_ = r.cmd.Wait()
			t.Fatalf("%v\n%s", err, r.stderr)
		}
	}
	return r
}

// end sends SIGTERM, and wants exit code 0.
func (r *running) end(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, r.stderr)
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 4000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain for " + what)
}

const reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

func review(t *testing.T, client *http.Client, url, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+reviewPath, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestProxyProcess(t *testing.T) {
	c := newCanary(t)
	if err := os.Chmod(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.dir, "kc")
	p := c.start(t, true, "proxy", "--cluster", "demo", "--port", "0", "--kubeconfig-out", file)
	if !regexp.MustCompile(`^listening on https://127\.0\.0\.1:[0-9]+\n$`).MatchString(p.line) {
		t.Errorf("%q", p.line)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	field := func(name string) string {
		m := regexp.MustCompile(name + `: (\S+)`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", name)
		}
		return string(m[1])
	}
	ca, err := base64.StdEncoding.DecodeString(field("certificate-authority-data"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	for range 3 {
		if code, body := review(t, client, field("server"), field("token")); code != 200 || !strings.Contains(body, `"username":"k8s:`) {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, _ := review(t, client, field("server"), "other"); code != 401 {
		t.Errorf("another bearer: %d", code)
	}
	if n := c.world.count("eks:DescribeCluster"); n != 1 {
		t.Errorf("EKS was asked %d times", n)
	}
	// Its port is taken, and is said to be.
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(field("server"), "https://"))
	second := exec.CommandContext(t.Context(), "ekskey", "proxy", "--cluster", "demo", "--port", port, "--kubeconfig-out", file)
	second.Dir, second.Env = c.dir, c.env
	if out, err := second.CombinedOutput(); second.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "another program listens there\nhint: ") {
		t.Errorf("%v %s", err, out)
	}
	// Its kubeconfig is not replaced while it runs, whatever the other's port.
	third := exec.CommandContext(t.Context(), "ekskey", "proxy", "--cluster", "demo", "--port", "0", "--kubeconfig-out", file)
	third.Dir, third.Env = c.dir, c.env
	third.WaitDelay = time.Second
	giveUp := time.AfterFunc(20*time.Second, func() { _ = third.Process.Signal(syscall.SIGTERM) })
	if out, err := third.CombinedOutput(); third.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "kc is the kubeconfig of a proxy that runs, on 127.0.0.1:"+port+"\nhint: ") {
		t.Errorf("%v %s", err, out)
	}
	giveUp.Stop()
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, text) {
		t.Errorf("its kubeconfig is another: %v", err)
	}
	client.CloseIdleConnections()
	p.end(t)
	// One that a killed proxy left is replaced.
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	after := c.start(t, true, "proxy", "--cluster", "demo", "--port", "0", "--kubeconfig-out", file)
	if now, err := os.ReadFile(file); err != nil || bytes.Equal(now, text) {
		t.Errorf("a killed proxy's kubeconfig stays: %v", err)
	}
	after.end(t)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("its kubeconfig is left: %v", err)
	}
	c.search(t, "stderr", p.stderr.Bytes())
	c.search(t, "the kubeconfig", text)
	if strings.Contains(p.stderr.String(), field("token")) || strings.Contains(p.stderr.String(), "k8s-aws-v1.aHR0") {
		t.Error("a secret is in the log")
	}
}

func TestProxySocketProcess(t *testing.T) {
	c := newCanary(t)
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "p")
	p := c.start(t, true, "proxy", "--cluster", "demo", "--socket", path)
	if p.line != "listening on unix:"+path+"\n" {
		t.Errorf("%q", p.line)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	if code, body := review(t, client, "http://demo", "whatever"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	client.CloseIdleConnections()
	p.end(t)
	c.search(t, "stderr", p.stderr.Bytes())
}
