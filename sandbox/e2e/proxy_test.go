//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// maxAge is how old the tokens may get that a sandbox takes; kube-apiserver keeps
// what was good for ten seconds more.
const maxAge = 20 * time.Second

// withShortTokens is a sandbox of which the server takes young tokens only.
func withShortTokens(t *testing.T) *box {
	t.Helper()
	b := own(t, stack.Config{WebhookTTL: -1})
	path := b.Layout().Path("server", "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config["server"].(map[string]any)["maxTokenAge"] = maxAge.String()
	if text, err = yaml.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pid, err := b.ServerPID()
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "an ekskey-server with the new configuration", func() bool {
		now, err := b.ServerPID()
		return err == nil && now != pid
	})
	waitFor(t, "a good token to be taken", func() bool { return b.status(t, b.mint(t, "admin", nil)) == 200 })
	if code := b.status(t, b.mint(t, "admin", at(-maxAge-5*time.Second))); code != 401 {
		t.Fatalf("an old token: %d", code)
	}
	return b
}

// service is a program that runs until it is told to end.
type service struct {
	cmd    *exec.Cmd
	stderr lockedText
}

type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs `ekskey`, and waits for its first line if it writes one. It is ended
// with the test, and must exit with 0 then.
func start(t *testing.T, env []string, waits bool, args ...string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(client(t), args...)}
	s.cmd.Env, s.cmd.Stderr = env, &s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("ekskey %s: %v\n%s", args[0], err, &s.stderr)
		}
		if strings.Contains(s.stderr.String(), "k8s-aws-v1.aHR0") {
			t.Error("a token is in the log")
		}
	})
	if waits {
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
			t.Fatalf("%q %v\n%s", line, err, &s.stderr)
		}
	}
	return s
}

var clientOnce = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "bin", "ekskey")
	compile := exec.Command("go", "build", "-o", path, "./cmd/ekskey")
	compile.Dir, compile.Stderr = filepath.Join(maker.Source, ".."), os.Stderr
	return path, compile.Run()
})

// client is the path of ekskey.
func client(t *testing.T) string {
	t.Helper()
	path, err := clientOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProxyOverAnExpiry has kubectl list and watch through a proxy for longer than
// the sandbox takes a token.
func TestProxyOverAnExpiry(t *testing.T) {
	b := withShortTokens(t)
	env := b.env(t, "admin")
	file := filepath.Join(value(env, "HOME"), "proxy.kubeconfig")
	p := start(t, env, true, "proxy", "--cluster", seed.Cluster, "--port", "0", "--kubeconfig-out", file, "--log-level", "debug")
	env = append(env, "KUBECONFIG="+file)
	has(t, mustRun(t, env, kubectl, "auth", "whoami"), "platform-admins")

	watch := exec.Command(kubectl, "get", "configmaps", "--namespace", "shop", "--watch-only", "--output", "name")
	watch.Env = env
	var events lockedText
	watch.Stdout, watch.Stderr = &events, &events
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	began := time.Now()
	for i := 0; time.Since(began) < 3*maxAge; i++ {
		name := fmt.Sprint("seen-", i)
		mustRun(t, env, kubectl, "create", "configmap", name, "--namespace", "shop")
		has(t, mustRun(t, env, kubectl, "get", "configmaps", "--namespace", "shop", "--output", "name"), "configmap/"+name)
		if i > 0 { // the first may come before the watch stands
			waitFor(t, "an event about "+name, func() bool { return strings.Contains(events.String(), "configmap/"+name+"\n") })
		}
		time.Sleep(2 * time.Second)
	}
	if n := strings.Count(p.stderr.String(), "token renewed"); n < 3 || n > 6 {
		t.Errorf("%d tokens in %v", n, time.Since(began))
	}
	if strings.Contains(p.stderr.String(), "status=401") {
		t.Error("a client saw a 401")
	}
}

// TestProxyReadOnly asks for what changes things and reaches into pods.
func TestProxyReadOnly(t *testing.T) {
	env := shared.env(t, "admin")
	file := filepath.Join(value(env, "HOME"), "proxy.kubeconfig")
	start(t, env, true, "proxy", "--cluster", seed.Cluster, "--port", "0", "--kubeconfig-out", file, "--read-only")
	env = append(env, "KUBECONFIG="+file)
	has(t, mustRun(t, env, kubectl, "get", "pods", "--namespace", "shop"), "NAME")
	pod := strings.TrimSpace(mustRun(t, env, kubectl, "get", "pods", "--namespace", "shop", "--output", "jsonpath={.items[0].metadata.name}"))
	for _, args := range [][]string{
		{"create", "namespace", "no"},
		{"delete", "pod", pod, "--namespace", "shop"},
		{"exec", pod, "--namespace", "shop", "--", "sh"},
		{"attach", pod, "--namespace", "shop"},
		{"port-forward", pod, "8080", "--namespace", "shop"},
		{"get", "--raw", "/api/v1/namespaces/shop/pods/" + pod + "/proxy/"},
		{"get", "--raw", "/api/v1/nodes/any/proxy/pods"},
		{"create", "token", "default", "--namespace", "shop"},
	} {
		o := command(t, env, kubectl, args...)
		if o.code == 0 || !strings.Contains(o.stderr, "ekskey proxy: the proxy is read-only") {
			t.Errorf("kubectl %s: %d %s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
		}
	}
	// Impersonation is not passed on, and that is said.
	o := command(t, env, kubectl, "get", "pods", "--namespace", "shop", "--as", "nobody")
	if o.code != 0 || !strings.Contains(o.stderr, "impersonation is not passed on") {
		t.Errorf("%d %s", o.code, o.stderr)
	}
}
