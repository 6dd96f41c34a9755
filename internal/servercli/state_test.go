package servercli_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// run runs one command of the server and gives its output and exit code.
func run(args ...string) (string, int) {
	cmd := command(args...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// What an operator adds to the kubeconfig stays; what is not ours is not touched;
// what no longer fits is made again.
func TestKubeconfigIsKept(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	file := filepath.Join(f.dir, "webhook.kubeconfig")
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatal(out)
	}
	made, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(made, []byte("  user: {}\n"), []byte("  user: {client-certificate: /etc/x.crt} # mine\n"), 1)
	if bytes.Equal(edited, made) {
		t.Fatal("nothing to edit")
	}
	check := func(name string, text, want []byte, code int) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, got := run("init", "--config", f.config)
		after, err := os.ReadFile(file)
		if err != nil || got != code || !bytes.Equal(after, want) {
			t.Errorf("%s: exit %d, %v, %s\n%s", name, got, err, out, after)
		}
	}
	check("an edited one", edited, edited, 0)
	check("one of another certificate", bytes.Replace(made, []byte("data: "), []byte("data: QQ"), 1), made, 0)
	check("an edited one of another certificate", bytes.Replace(edited, []byte("data: "), []byte("data: QQ"), 1), edited, 0)
	foreign := []byte("apiVersion: v1\nkind: Config\nusers:\n- name: me\n")
	check("somebody else's", foreign, foreign, 1)
}

func TestStateFolderOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no permission bits")
	}
	f := newFixture(t)
	f.fixPort(t)
	state := filepath.Join(f.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 1 || !strings.Contains(out, "can be written by every user") {
		t.Errorf("a directory that all can write: %d %s", code, out)
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	// A key without its certificate may be somebody's: it stays.
	key := filepath.Join(state, "key.pem")
	if err := os.WriteFile(key, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 1 || !strings.Contains(out, "exists without its certificate") {
		t.Errorf("a key alone: %d %s", code, out)
	}
	if text, err := os.ReadFile(key); err != nil || string(text) != "old" {
		t.Errorf("the key was changed: %q %v", text, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatalf("%s", out)
	}
	if err := os.Chmod(f.config, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 1 || !strings.Contains(out, "can be written by every user") {
		t.Errorf("a configuration that all can write: %d %s", code, out)
	}
}

// Two at once agree on one pair.
func TestInitTwiceAtOnce(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if out, code := run("init", "--config", f.config); code != 0 {
				t.Errorf("%d %s", code, out)
			}
		})
	}
	wg.Wait()
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Errorf("the pair does not fit: %s", out)
	}
	entries, err := os.ReadDir(filepath.Join(f.dir, "state"))
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestInitWithoutKubeconfigMakesNothing(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "server.yaml", strings.Replace(string(text), "  generateKubeconfig: "+f.dir+"/webhook.kubeconfig\n", "", 1))
	if out, code := run("init", "--config", f.config); code != 1 {
		t.Errorf("%d %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "state")); err == nil {
		t.Error("a state directory was made")
	}
}

func TestInit(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	if out, code := run("init", "--config", f.config); code != 0 || !strings.Contains(out, "--authentication-token-webhook-config-file="+f.dir) {
		t.Errorf("%s", out)
	}
	before, err := os.ReadFile(filepath.Join(f.dir, "state", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatal(out)
	}
	after, err := os.ReadFile(filepath.Join(f.dir, "state", "cert.pem"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a second init made another certificate: %v", err)
	}
	block, _ := pem.Decode(after)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.VerifyHostname("127.0.0.1") != nil || cert.VerifyHostname("localhost") != nil {
		t.Errorf("%v %v", err, cert)
	}
}

func TestKeyThatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no permission bits")
	}
	f := newFixture(t)
	f.fixPort(t)
	if out, err := command("init", "--config", f.config).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	if err := os.Chmod(filepath.Join(f.dir, "state", "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := command("serve", "--config", f.config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "can be read by other users") || !strings.Contains(string(out), "hint: chmod 600") {
		t.Errorf("%v: %s", err, out)
	}
}

// An IP address as the hostname is one in the certificate; a certificate that does not
// cover the host is an error with a hint.
func TestCertificateCoversTheHost(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	f.write(t, "client-ca.pem", string(f.tls.CA))
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	set := func(hostname string) {
		f.write(t, "server.yaml", strings.Replace(string(text), "  port: 21362\n",
			"  port: 21362\n  address: 0.0.0.0\n  clientCAFile: "+f.dir+"/client-ca.pem\n  hostname: '"+hostname+"'\n", 1))
	}
	set("10.0.0.5")
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatal(out)
	}
	pemText, err := os.ReadFile(filepath.Join(f.dir, "state", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pemText)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.VerifyHostname("10.0.0.5") != nil {
		t.Errorf("%v %v", err, cert.IPAddresses)
	}
	set("10.0.0.6")
	if out, code := run("init", "--config", f.config); code != 1 || !strings.Contains(out, "does not cover the host") || !strings.Contains(out, "hint: ") {
		t.Errorf("%d %s", code, out)
	}
}
