package servercli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/servercli"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

// The test binary is the server when it is told to be.
func TestMain(m *testing.M) {
	if os.Getenv("EKSKEY_TEST_SERVER") == "1" {
		os.Exit(servercli.Main(servercli.Env{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	os.Exit(m.Run())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type fixture struct {
	dir, config string
	args        []string // of start; nil means serve
	aws         *fakeaws.Server
	key         fakeaws.Key
	tls         *tlstest.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), aws: fakeaws.New(fakeaws.Config{})}
	if err := f.aws.AddAccount("111122223333", "aws"); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.key, err = f.aws.AddUser(fakeaws.User{Account: "111122223333", Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	f.tls = tlstest.Serve(t, f.aws, "sts.us-east-1.amazonaws.com")
	f.write(t, "ca.pem", string(f.tls.CA))
	f.write(t, "aws-auth.yaml", "mapUsers: |\n  - userarn: arn:aws:iam::111122223333:user/alice\n    username: alice\n    groups: [devs]\n")
	f.config = f.write(t, "server.yaml", fmt.Sprintf(`clusterID: demo
server:
  port: 0
  stateDir: %[1]s/state
  generateKubeconfig: %[1]s/webhook.kubeconfig
  awsAuthFile: %[1]s/aws-auth.yaml
  shutdownDelay: 300ms
  sts:
    dialAddress: %[2]s
    caFile: %[1]s/ca.pem
`, f.dir, f.tls.Address))
	return f
}

// fixPort names a port, as init needs it; nobody listens there.
func (f *fixture) fixPort(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "server.yaml", strings.Replace(string(text), "  port: 0\n", "  port: 21362\n", 1))
}

func (f *fixture) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	stderr lockedBuffer
	url    string
	client *http.Client
}

func (f *fixture) start(t *testing.T) *process {
	t.Helper()
	kubeconfig := filepath.Join(f.dir, "webhook.kubeconfig")
	_ = os.Remove(kubeconfig)
	args := f.args
	if args == nil {
		args = []string{"serve", "--config", f.config, "--log-level", "debug"}
	}
	p := &process{cmd: command(args...)}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(p.stderr.String(), `"msg":"serving"`) {
		if time.Now().After(deadline) {
			t.Fatalf("the server does not serve: %s", p.stderr.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	// What kube-apiserver reads, read by the library that it uses.
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cluster.CertificateAuthorityData) {
		t.Fatal("no CA in the kubeconfig")
	}
	p.url = strings.TrimSuffix(cluster.Server, "/authenticate")
	p.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return p
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "EKSKEY_TEST_SERVER=1")
	return cmd
}

func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := p.client.Get(p.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (p *process) review(t *testing.T, tok string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]string{"token": tok}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Post(p.url+"/authenticate", "application/json", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func (f *fixture) token(t *testing.T) string {
	t.Helper()
	s, err := token.New(token.Config{Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(f.key.AccessKeyID, f.key.SecretAccessKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value()
}

func TestServe(t *testing.T) {
	f := newFixture(t)
	p := f.start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := p.get(t, path); code != 200 || body != "ok" {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	tok := f.token(t)
	if got := p.review(t, tok); !strings.Contains(got, `"username":"alice"`) || !strings.Contains(got, `"groups":["devs"]`) {
		t.Errorf("%s", got)
	}
	if got := p.review(t, tok[:len(tok)-4]+"AAAA"); strings.Contains(got, `"authenticated":true`) {
		t.Errorf("a tampered token: %s", got)
	}
	if _, metrics := p.get(t, "/metrics"); !strings.Contains(metrics, `ekskey_token_reviews_total{outcome="authenticated"} 1`) || !strings.Contains(metrics, `ekskey_mapping_entries{backend="aws-auth"} 1`) {
		t.Errorf("%s", metrics)
	}
	for _, secret := range []string{tok, f.key.SecretAccessKey, "X-Amz-Signature"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		info, err := os.Stat(filepath.Join(f.dir, "state", name))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

// SIGTERM: not ready at first, then what is in flight is answered, then exit 0.
func TestStops(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no SIGTERM to send")
	}
	f := newFixture(t)
	p := f.start(t)
	f.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Latency: 900 * time.Millisecond})
	answer := make(chan string, 1)
	tok := f.token(t)
	go func() { answer <- p.review(t, tok) }()
	for f.aws.Counts()[fakeaws.GetCallerIdentity] == 0 {
		if strings.Contains(p.stderr.String(), "access denied") {
			t.Fatal(p.stderr.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(p.stderr.String(), `"msg":"stopping"`) {
		time.Sleep(5 * time.Millisecond)
	}
	if code, body := p.get(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz while stopping: %d %s", code, body)
	}
	if got := <-answer; !strings.Contains(got, `"authenticated":true`) {
		t.Errorf("the request in flight: %s", got)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.stderr.String())
	}
}

func TestClientCertificate(t *testing.T) {
	f := newFixture(t)
	pair, ca := tlstest.Certificate(t, "kube-apiserver")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	health := free.Addr().String()
	_ = free.Close()
	f.write(t, "client-ca.pem", string(ca))
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "server.yaml", strings.Replace(string(text), "  port: 0\n", "  port: 0\n  address: 0.0.0.0\n  healthAddress: "+health+"\n  clientCAFile: "+filepath.ToSlash(f.dir)+"/client-ca.pem\n", 1))
	p := f.start(t)
	tok := f.token(t)
	for _, path := range []string{"/authenticate", "/metrics", "/healthz", "/readyz"} {
		if code, body := p.get(t, path); code != 0 || !strings.Contains(body, "certificate required") {
			t.Errorf("%s without a certificate: %d %s", path, code, body)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, err := http.Get("http://" + health + path)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("health: %v %v", resp, err)
		}
		_ = resp.Body.Close()
	}
	for _, path := range []string{"/authenticate", "/metrics"} {
		resp, err := http.Get("http://" + health + path)
		if err != nil || resp.StatusCode != http.StatusNotFound {
			t.Fatalf("%s at healthAddress: %v %v", path, resp, err)
		}
		_ = resp.Body.Close()
	}
	p.client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	p.client.CloseIdleConnections()
	if got := p.review(t, tok); !strings.Contains(got, `"authenticated":true`) {
		t.Errorf("with one: %s", got)
	}
	other, _ := tlstest.Certificate(t, "kube-apiserver")
	p.client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{other}
	p.client.CloseIdleConnections()
	if got := p.review(t, tok); strings.Contains(got, `"authenticated":true`) {
		t.Errorf("with a stranger's: %s", got)
	}
}

func TestBadInput(t *testing.T) {
	f := newFixture(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name, old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return f.write(t, name, strings.Replace(string(good), old, new, 1))
	}
	f.write(t, "empty.pem", "no certificate")
	for _, c := range []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"no command", nil, 2, "a command is required"},
		{"an unknown command", []string{"sevre"}, 2, "sevre"},
		{"an unknown flag", []string{"serve", "--confg", "x"}, 2, "--confg"},
		{"no configuration", []string{"serve"}, 2, "--config is required"},
		{"a bad level", []string{"serve", "--config", f.config, "--log-level", "loud"}, 2, "loud"},
		{"an argument", []string{"serve", "x"}, 2, `unknown argument "x"`},
		{"no such file", []string{"serve", "--config", f.dir + "/none.yaml"}, 1, "none.yaml"},
		{"a directory", []string{"serve", "--config", f.dir}, 1, f.dir},
		{"an unknown key", []string{"serve", "--config", change("a.yaml", "  port: 0", "  prot: 0")}, 1, "a.yaml:3: unknown key server.prot"},
		{"a port in use", []string{"serve", "--config", change("b.yaml", "port: 0", "port: "+taken.Addr().String()[len("127.0.0.1:"):])}, 1, "address already in use"},
		{"a CA that is no PEM", []string{"serve", "--config", change("c.yaml", "ca.pem", "empty.pem")}, 1, "empty.pem contains no PEM certificate"},
		{"a proxy that is not one", []string{"serve", "--config", change("i.yaml", "    dialAddress: "+f.tls.Address, "    proxy: ftp://proxy:21")}, 1, "i.yaml: server.sts.proxy is not the URL of an http, https or socks5 proxy"},
		{"a proxy without a host", []string{"serve", "--config", change("j.yaml", "    dialAddress: "+f.tls.Address, "    proxy: 'http:'")}, 1, "server.sts.proxy is not"},
		{"a bad mapping", []string{"serve", "--config", change("e.yaml", "  port: 0", "  port: 0\n  mapUsers:\n  - userarn: nobody\n    username: x")}, 1, "e.yaml"},
		{"a bad creator", []string{"serve", "--config", change("f.yaml", "  port: 0", "  port: 0\n  creator: nobody")}, 1, "server.creator"},
		{"nowhere to write", []string{"init", "--config", change("g.yaml", "port: 0\n  stateDir: "+f.dir+"/state\n  generateKubeconfig: "+f.dir, "port: 21362\n  stateDir: "+f.dir+"/state\n  generateKubeconfig: "+f.dir+"/none")}, 1, "server.generateKubeconfig"},
		{"init without a port", []string{"init", "--config", f.config}, 1, "server.port is 0"},
		{"no kubeconfig named", []string{"init", "--config", change("h.yaml", "  generateKubeconfig: "+f.dir+"/webhook.kubeconfig\n", "")}, 1, "server.generateKubeconfig is missing"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := command(c.args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		var errorLines int
		for _, line := range strings.Split(stderr.String(), "\n") {
			if strings.HasPrefix(line, "error: ") {
				errorLines++
			}
		}
		if cmd.ProcessState.ExitCode() != c.exit || errorLines != 1 || !strings.Contains(stderr.String(), c.want) || stdout.Len() != 0 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit %d and %q", c.name, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), c.exit, c.want)
		}
	}
}

// Thousands of strangers that begin a handshake, or finish it and stay idle, do not keep
// the API server out.
func TestIdleStrangers(t *testing.T) {
	f := newFixture(t)
	p := f.start(t)
	address := strings.TrimPrefix(p.url, "https://")
	tok := f.token(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range 4096 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			if i < 600 { // the server allows 256 unfinished handshakes
				t.Fatalf("this machine allows %d connections, which is not enough: %v", i, err)
			}
			t.Logf("this machine allows %d connections: %v", i, err)
			break
		}
		conns = append(conns, c)
		if i%1024 == 1023 {
			p.client.CloseIdleConnections()
			if got := p.review(t, tok); !strings.Contains(got, `"authenticated":true`) {
				t.Fatalf("with %d strangers: %s", i+1, got)
			}
		}
	}
	for _, c := range conns {
		_ = c.Close()
	}
	conns = nil
	config := p.client.Transport.(*http.Transport).TLSClientConfig
	for i := range 1200 {
		c, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i%400 == 399 {
			p.client.CloseIdleConnections()
			if got := p.review(t, tok); !strings.Contains(got, `"authenticated":true`) {
				t.Fatalf("with %d that finished the handshake: %s", i+1, got)
			}
		}
	}
}

// A client that distrusts the certificate is seen in the log.
func TestDistrustIsLogged(t *testing.T) {
	f := newFixture(t)
	p := f.start(t)
	if _, err := (&http.Client{Timeout: 10 * time.Second}).Get(p.url + "/healthz"); err == nil {
		t.Fatal("the certificate is trusted")
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.stderr.String(), "the TLS handshake failed"); {
		if time.Now().After(deadline) {
			t.Fatal(p.stderr.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A second SIGTERM ends the process without waiting for requests in flight.
func TestSecondSignalEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no SIGTERM to send")
	}
	f := newFixture(t)
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "server.yaml", strings.Replace(string(text), "shutdownDelay: 300ms", "shutdownDelay: 1m", 1))
	p := f.start(t)
	for range 2 {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(p.stderr.String(), `"msg":"stopping"`) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("exit code 0")
		}
	case <-time.After(20 * time.Second):
		t.Error("still running")
	}
}
