//go:build unix

package servercli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	var der []byte
	a.key, der = sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	}, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// issue makes a certificate for loopback, as PEM, and its key.
func (a *authority) issue(t *testing.T, notAfter time.Time) (certPEM, keyPEM string) {
	t.Helper()
	key, der := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, NotAfter: notAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func (f *fixture) change(t *testing.T, old, new string) {
	t.Helper()
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in the configuration", old)
	}
	f.write(t, "server.yaml", strings.Replace(string(text), old, new, 1))
}

func (p *process) hangup(t *testing.T) {
	t.Helper()
	before := strings.Count(p.stderr.String(), `"SIGHUP: done"`)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, func(log string) bool { return strings.Count(log, `"SIGHUP: done"`) > before })
}

func (p *process) waitFor(t *testing.T, ok func(log string) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(p.stderr.String()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", p.stderr.String())
		}
	}
}

func (p *process) metric(t *testing.T, series string) string {
	t.Helper()
	_, text := p.get(t, "/metrics")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "none"
}

// Under constant load over HTTP/1.1 and HTTP/2, the serving certificate, the client CAs,
// the configuration and the mapping are replaced, and no request is lost. A client whose
// CA is gone is refused on the connection that it has.
func TestReloadLosesNothing(t *testing.T) {
	f := newFixture(t)
	serverCA, oldCA, newCA := newAuthority(t, "servers"), newAuthority(t, "old clients"), newAuthority(t, "new clients")
	state := filepath.Join(f.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	install := func() string {
		cert, key := serverCA.issue(t, time.Now().Add(time.Hour))
		f.write(t, "state/cert.pem", cert+serverCA.pem)
		f.write(t, "state/key.pem", key)
		block, _ := pem.Decode([]byte(cert))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	install()
	f.write(t, "clients.pem", oldCA.pem+newCA.pem)
	f.change(t, "  port: 0\n", "  port: 0\n  clientCAFile: "+f.dir+"/clients.pem\n")
	tok := f.token(t)

	certOf := func(a *authority) tls.Certificate {
		cert, key := a.issue(t, time.Now().Add(time.Hour))
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	pool := x509.NewCertPool()
	pool.AddCert(serverCA.cert)
	client := func(cert tls.Certificate, http2 bool) *http.Client {
		transport := &http.Transport{ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: 4, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}}
		if !http2 {
			transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		return &http.Client{Timeout: 20 * time.Second, Transport: transport}
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]string{"token": tok}})
	if err != nil {
		t.Fatal(err)
	}
	p := f.start(t)
	p.client = client(certOf(newCA), true)
	post := func(c *http.Client) (status int, serial, answer string, err error) {
		resp, err := c.Post(p.url+"/authenticate", "application/json", bytes.NewReader(body))
		if err != nil {
			return 0, "", "", err
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.TLS.PeerCertificates[0].SerialNumber.String(), string(text), err
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var sent, lost atomic.Int64
	var serials sync.Map
	for _, http2 := range []bool{false, true} {
		c := client(certOf(newCA), http2)
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					status, serial, answer, err := post(c)
					sent.Add(1)
					serials.Store(serial, true)
					if err != nil || status != http.StatusOK || !strings.Contains(answer, `"authenticated":true`) {
						lost.Add(1)
						t.Errorf("request %d: %d %v %s", sent.Load(), status, err, answer)
					}
				}
			})
		}
	}
	more := func() {
		t.Helper()
		n := sent.Load()
		for deadline := time.Now().Add(20 * time.Second); sent.Load() < n+100; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no load")
			}
		}
	}
	old := client(certOf(oldCA), false)
	if status, _, _, err := post(old); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	var last string
	for i := range 4 {
		last = install()
		f.write(t, "aws-auth.yaml", fmt.Sprintf("mapUsers: |\n  - userarn: arn:aws:iam::111122223333:user/alice\n    username: alice%d\n", i))
		f.change(t, "shutdownDelay: 300ms\n", "shutdownDelay: 300ms\n  maxTokenAge: 14m\n")
		p.hangup(t)
		more()
		f.change(t, "  maxTokenAge: 14m\n", "")
		p.hangup(t)
		more()
	}
	if _, serial, answer, err := post(p.client); err != nil || serial != last || !strings.Contains(answer, `"username":"alice3"`) {
		t.Errorf("the last state is not in use: %v %s", err, answer)
	}
	// Without a signal it takes two looks.
	last = install()
	p.waitFor(t, func(log string) bool {
		return strings.Count(log, "the serving certificate has changed and is in use") == 5
	})
	more()

	f.write(t, "clients.pem", newCA.pem)
	p.hangup(t)
	if status, _, answer, err := post(old); err == nil && (status != http.StatusUnauthorized || strings.Contains(answer, "alice")) {
		t.Errorf("a client of a removed CA, on its connection: %d %s", status, answer)
	}
	if status, _, _, err := post(old); err == nil {
		t.Errorf("a client of a removed CA, on a new connection: %d", status)
	}
	more()

	// What cannot be used leaves the old one in use, with an alarm.
	cert, _ := serverCA.issue(t, time.Now().Add(time.Hour))
	_, otherKey := serverCA.issue(t, time.Now().Add(time.Hour))
	expired, expiredKey := serverCA.issue(t, time.Now().Add(-time.Minute))
	good, err := os.ReadFile(filepath.Join(state, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	goodKey, err := os.ReadFile(filepath.Join(state, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"a key of another": {cert, otherKey}, "an expired one": {expired, expiredKey}, "garbage": {"x", "y"}, "nothing": {"", ""},
		"a key beside the certificate": {string(good) + string(goodKey), string(goodKey)}, "half a file": {string(good[:len(good)/4]), string(goodKey)},
	} {
		f.write(t, "state/cert.pem", pair[0])
		f.write(t, "state/key.pem", pair[1])
		p.hangup(t)
		more()
		if got := p.metric(t, "ekskey_serving_certificate_stale"); got != "1" {
			t.Errorf("%s: stale is %s", name, got)
		}
	}
	f.write(t, "clients.pem", "garbage")
	p.hangup(t)
	if got := p.metric(t, "ekskey_client_ca_stale"); got != "1" || !strings.Contains(p.stderr.String(), "cannot use the new client-ca") {
		t.Errorf("bad client CAs: %s", got)
	}
	if _, serial, _, err := post(client(certOf(newCA), true)); err != nil || serial != last {
		t.Errorf("after bad ones: %v", err)
	}
	f.write(t, "state/cert.pem", string(good))
	f.write(t, "state/key.pem", string(goodKey))
	f.write(t, "clients.pem", newCA.pem)
	p.hangup(t)
	if a, b := p.metric(t, "ekskey_serving_certificate_stale"), p.metric(t, "ekskey_client_ca_stale"); a != "0" || b != "0" {
		t.Errorf("after good ones: %s %s", a, b)
	}
	stop()
	wg.Wait()
	n := 0
	serials.Range(func(any, any) bool { n++; return true })
	if n < 5 || lost.Load() != 0 || sent.Load() < 1000 {
		t.Errorf("%d of %d requests lost, %d certificates in use", lost.Load(), sent.Load(), n)
	}
	t.Logf("%d requests, none lost, over %d certificates", sent.Load(), n)
	kubeconfig, err := os.ReadFile(filepath.Join(f.dir, "webhook.kubeconfig"))
	if err != nil || strings.Contains(string(kubeconfig), "PRIVATE") {
		t.Errorf("%v %s", err, kubeconfig)
	}
}

// A rename and SIGHUP rotate the audit log without losing a line, and it has no secret.
func TestAuditFile(t *testing.T) {
	f := newFixture(t)
	log := filepath.Join(f.dir, "audit.log")
	f.change(t, "  port: 0\n", "  port: 0\n  audit: "+log+"\n")
	p := f.start(t)
	tok := f.token(t)
	ask := func(n int) {
		for range n {
			p.review(t, tok)
		}
	}
	ask(3)
	p.review(t, tok[:len(tok)-4]+"AAAA")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	p.hangup(t)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(log); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	ask(2)
	// A directory in its place: the old file stays in use, with an alarm.
	if err := errors.Join(os.Rename(log, log+".2"), os.Mkdir(log, 0o700)); err != nil {
		t.Fatal(err)
	}
	p.hangup(t)
	p.waitFor(t, func(log string) bool { return strings.Contains(log, "the audit log loses lines") })
	ask(2)
	if got := p.metric(t, "ekskey_audit_lines_dropped_total"); got != "0" {
		t.Errorf("%s lines dropped", got)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{".1": 4, ".2": 4} {
		text, err := os.ReadFile(log + name)
		if err != nil || strings.Count(string(text), "\n") != want {
			t.Errorf("%s: %v, want %d lines\n%s", name, err, want, text)
		}
		for line := range strings.Lines(string(text)) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil || doc["requestID"] == nil {
				t.Errorf("%v: %s", err, line)
			}
		}
		for _, secret := range []string{tok, f.key.SecretAccessKey, "X-Amz-Signature"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s has %q", name, secret)
			}
		}
		if info, err := os.Stat(log + name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	}
	text, _ := os.ReadFile(log + ".1")
	if !strings.Contains(string(text), `"entry":"aws-auth mapUsers[0] line`) || !strings.Contains(string(text), `"backend":"aws-auth"`) || !strings.Contains(string(text), `"outcome":"rejected","reason":"V`) {
		t.Errorf("%s", text)
	}
}

func TestAuditFileRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"a link":                            {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "audit.log")) }, "is not a regular file"},
		"a directory":                       {func(dir string) error { return os.Mkdir(filepath.Join(dir, "audit.log"), 0o700) }, "is not a regular file"},
		"a pipe":                            {func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "audit.log"), 0o600) }, "is not a regular file"},
		"in a directory that all can write": {func(dir string) error { return os.Chmod(dir, 0o777) }, "can be written by other users"},
		"in a directory that is missing":    {os.Remove, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			dir := filepath.Join(f.dir, "logs")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			f.change(t, "  port: 0\n", "  port: 0\n  audit: "+dir+"/audit.log\n")
			if out, code := run("serve", "--config", f.config); code != 1 || !strings.Contains(out, "server.audit: ") || !strings.Contains(out, c.want) {
				t.Errorf("%d %s", code, out)
			}
		})
	}
}

// Each part that is not ready is named, without its reason; health stays what it is.
func TestReadiness(t *testing.T) {
	f := newFixture(t)
	f.change(t, "  shutdownDelay", "  maxStale: 0s\n  shutdownDelay")
	f.change(t, "    caFile", "    timeout: 200ms\n    caFile")
	p := f.start(t)
	want := func(when, body string) {
		t.Helper()
		code := http.StatusServiceUnavailable
		if body == "ok" {
			code = http.StatusOK
		}
		if got, text := p.get(t, "/readyz"); got != code || strings.TrimSpace(text) != body {
			t.Errorf("%s: %d %s, want %s", when, got, text, body)
		}
		if got := p.metric(t, "ekskey_ready"); (got == "1") != (body == "ok") {
			t.Errorf("%s: the metric is %s", when, got)
		}
		if got, text := p.get(t, "/healthz"); got != http.StatusOK || text != "ok" {
			t.Errorf("%s: health is %d %s", when, got, text)
		}
	}
	want("at the start, when nobody called STS", "ok")
	good, err := os.ReadFile(filepath.Join(f.dir, "aws-auth.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "aws-auth.yaml", "mapUsers: [")
	p.hangup(t)
	want("a broken aws-auth", "not ready: backend aws-auth")
	if !strings.Contains(p.stderr.String(), `"msg":"not ready","part":"backend aws-auth","reason":"`) {
		t.Error("the reason is not in the log")
	}
	f.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Latency: 5 * time.Second})
	for range 8 {
		p.review(t, f.token(t))
	}
	want("STS does not answer", "not ready: sts, backend aws-auth")
	f.write(t, "aws-auth.yaml", string(good))
	p.hangup(t)
	want("a good aws-auth again", "not ready: sts")
	f.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{})
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.review(t, f.token(t)), `"authenticated":true`); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("STS is not called again")
		}
	}
	want("STS answers", "ok")
}

// Profiles are on loopback, if requested.
func TestProfiles(t *testing.T) {
	f := newFixture(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	f.change(t, "  port: 0\n", "  port: 0\n  pprofAddress: "+address+"\n")
	p := f.start(t)
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/goroutine": 200, "/debug/pprof/cmdline": 404, "/metrics": 404, "/authenticate": 404} {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if code, _ := p.get(t, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles on the server's own port: %d", code)
	}
}

// A state directory in which nothing can be written is enough for a pair that is there.
func TestReadOnlyStateDirectory(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatal(out)
	}
	f.change(t, "  port: 21362\n", "  port: 0\n")
	state := filepath.Join(f.dir, "state")
	if os.Geteuid() == 0 { // whom modes do not stop
		if err := readOnly(t, state); err != nil {
			t.Logf("this machine mounts nothing, so the directory can be written: %v", err)
		}
	}
	if err := os.Chmod(state, 0o500); err != nil && !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(state, 0o700) })
	p := f.start(t)
	if got := p.review(t, f.token(t)); !strings.Contains(got, `"authenticated":true`) {
		t.Errorf("%s", got)
	}
}

// A key that root gave to a group of ours is taken, as a Secret's is in a pod.
func TestKeyOfAGroup(t *testing.T) {
	f := newFixture(t)
	f.fixPort(t)
	if out, code := run("init", "--config", f.config); code != 0 {
		t.Fatal(out)
	}
	key := filepath.Join(f.dir, "state", "key.pem")
	root := os.Geteuid() == 0
	for mode, ok := range map[os.FileMode]bool{0o640: root, 0o440: root, 0o600: true, 0o660: false, 0o644: false, 0o604: false} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if out, code := run("init", "--config", f.config); (code == 0) != ok {
			t.Errorf("mode %o: %d %s", mode, code, out)
		}
	}
	if !root {
		return
	}
	if err := errors.Join(os.Chmod(key, 0o640), os.Chown(key, 0, 54321)); err != nil {
		t.Fatal(err)
	}
	if out, code := run("init", "--config", f.config); code != 1 || !strings.Contains(out, "can be read by other users") {
		t.Errorf("of a strange group: %d %s", code, out)
	}
}
