//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/environ"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// person is the identity of this name.
func (b *box) person(t *testing.T, name string) state.Identity {
	t.Helper()
	for _, id := range b.Record().Identities {
		if id.Name == name {
			return id
		}
	}
	t.Fatalf("the sandbox has no identity %s", name)
	return state.Identity{}
}

// mint makes a token of a user's keys, with anything about it changed.
func (b *box) mint(t *testing.T, name string, change func(*token.Config)) string {
	t.Helper()
	id := b.person(t, name)
	return mint(t, id.AccessKeyID, id.SecretAccessKey, "", change)
}

func mint(t *testing.T, key, secret, session string, change func(*token.Config)) string {
	t.Helper()
	cfg := token.Config{Cluster: seed.Cluster, Region: seed.Region, Credentials: token.StaticKeys(key, secret, session)}
	if change != nil {
		change(&cfg)
	}
	source, err := token.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value()
}

// rewrite changes the URL inside a token.
func rewrite(t *testing.T, tok string, change func(string) string) string {
	t.Helper()
	url, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(tok, token.Prefix))
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(url))
	if changed == string(url) {
		t.Fatal("the change changes nothing")
	}
	return token.Prefix + base64.RawURLEncoding.EncodeToString([]byte(changed))
}

// tamper changes the last digit of the signature.
func tamper(t *testing.T, tok string) string {
	t.Helper()
	return rewrite(t, tok, func(url string) string {
		last := "0"
		if strings.HasSuffix(url, "0") {
			last = "1"
		}
		return url[:len(url)-1] + last
	})
}

// status is what the API server answers to this bearer token.
func (b *box) status(t *testing.T, tok string) int {
	t.Helper()
	client, err := b.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	code, err := ask(t, client, b.Record().APIServer, tok)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func ask(t *testing.T, client *http.Client, server, tok string) (int, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/api/v1/namespaces/shop/pods?limit=1", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// env is a process's environment as this identity, with a home of its own.
func (b *box) env(t *testing.T, as string) []string {
	t.Helper()
	e, err := environ.Of(b.Record(), b.Layout(), as)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return append(e.Apply(os.Environ()), "HOME="+home, "USERPROFILE="+home, "KUBERC=off",
		"KUBECONFIG="+home+"/kubeconfig", "KUBECACHEDIR="+home+"/kube-cache", "EKSKEY_CACHE_DIR="+home+"/ekskey-cache")
}

// without drops a variable.
func without(env []string, name string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			out = append(out, kv)
		}
	}
	return out
}

func value(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// outcome is what a command gave.
type outcome struct {
	stdout, stderr string
	code           int
}

// command runs a program to its end.
func command(t *testing.T, env []string, program string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %s: %v", program, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// mustRun runs a program that must succeed, and gives what it wrote to stdout.
func mustRun(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	o := command(t, env, program, args...)
	if o.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", program, strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// has reports each text that s lacks.
func has(t *testing.T, s string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s, text) {
			t.Errorf("no %q in:\n%s", text, s)
		}
	}
}

// waitFor waits until ok, a minute at most.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// alive counts a process that ended and was not reaped as ended.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return false
	}
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}

func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} // #nosec G402 -- sends no secret
}
