package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/build"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func newPlane(t *testing.T, change func(*Config)) *ControlPlane {
	t.Helper()
	cfg := Config{
		Layout: state.Layout{Root: t.TempDir()}, Programs: build.Programs{APIServer: "/bin/kube-apiserver", Etcd: "/bin/etcd", Aggregation: "/bin/clusterrole-aggregation"},
		Port: 1, EtcdPort: 2, PeerPort: 3, WebhookKubeconfig: "/webhook", WebhookVersion: "v1",
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNothingListensForOthers(t *testing.T) {
	c := newPlane(t, nil)
	for _, arg := range append(c.Etcd().Args, c.APIServer().Args...) {
		name, value, _ := strings.Cut(arg, "=")
		if strings.HasSuffix(name, "-urls") || name == "--bind-address" || name == "--etcd-servers" {
			if !strings.Contains(value, "127.0.0.1") || strings.HasPrefix(value, "http:") {
				t.Errorf("%s", arg)
			}
		}
	}
	for _, want := range []string{"--client-cert-auth", "--peer-client-cert-auth"} {
		if !slices.Contains(c.Etcd().Args, want) {
			t.Errorf("etcd runs without %s", want)
		}
	}
}

// Node and RBAC authorize, and the authorizer of access policies after them where
// there is one.
func TestAuthorization(t *testing.T) {
	for kubeconfig, want := range map[string]string{"": "Node RBAC", "/authorizer": "Node RBAC Webhook"} {
		c := newPlane(t, func(c *Config) { c.AuthorizerKubeconfig = kubeconfig })
		if !slices.Contains(c.APIServer().Args, "--authorization-config="+c.path("authorization.yaml")) {
			t.Errorf("%q", c.APIServer().Args)
		}
		text, err := os.ReadFile(c.path("authorization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for line := range strings.Lines(string(text)) {
			if kind, ok := strings.CutPrefix(line, "- type: "); ok {
				types = append(types, strings.TrimSpace(kind))
			}
		}
		if got := strings.Join(types, " "); got != want || !strings.Contains(string(text), kubeconfig) {
			t.Errorf("%q: %s", kubeconfig, text)
		}
	}
}

func TestWebhookTTL(t *testing.T) {
	for ttl, want := range map[time.Duration]string{0: "", -1: "=0s", time.Minute: "=1m0s"} {
		const flag = "--authentication-token-webhook-cache-ttl"
		got := ""
		for _, arg := range newPlane(t, func(c *Config) { c.WebhookTTL = ttl }).APIServer().Args {
			if value, ok := strings.CutPrefix(arg, flag); ok {
				got = value
			}
		}
		if got != want {
			t.Errorf("%v: %q, want %q", ttl, got, want)
		}
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("ETCD_LISTEN_CLIENT_URLS", "http://0.0.0.0:2379")
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	c := newPlane(t, nil)
	for _, kv := range append(c.Etcd().Env, c.APIServer().Env...) {
		if strings.HasPrefix(kv, "ETCD_") || strings.HasPrefix(kv, "HTTPS_PROXY") {
			t.Errorf("inherited %s", kv)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	c := newPlane(t, nil)
	files, err := filepath.Glob(c.path("*"))
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, c.cfg.Layout.AdminKubeconfig()) {
		if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", file, info.Mode(), err)
		}
	}
}

func TestPorts(t *testing.T) {
	ports, err := FreePorts(8)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if got := slices.Compact(ports); len(got) != 8 {
		t.Errorf("some ports twice: %v", ports)
	}
	l, err := Listen(0, "--port")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var taken *PortError
	if _, err := Listen(port, "--port"); !errors.As(err, &taken) || taken.Port != port {
		t.Errorf("a port in use: %v, want *PortError", err)
	}
}

func TestWaitReady(t *testing.T) {
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 || r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	c := newPlane(t, func(c *Config) { c.Port = server.Listener.Addr().(*net.TCPAddr).Port })
	cert, err := tls.LoadX509KeyPair(c.path("apiserver.pem"), c.path("apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	if err := c.WaitReady(context.Background()); err != nil || asked != 3 {
		t.Errorf("%v after %d questions", err, asked)
	}
	// Somebody else's server is not ours.
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	other := newPlane(t, func(c *Config) { c.Port = stranger.Listener.Addr().(*net.TCPAddr).Port })
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("etcd exited"))
	if err := other.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "etcd exited") {
		t.Errorf("got %v, want the cause", err)
	}
}
