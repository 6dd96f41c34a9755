package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	cluster   = "demo" // as the sandbox calls it
	namespace = "shop"
	// readyWithin is for a sandbox that must compile Kubernetes first.
	readyWithin = 20 * time.Minute
	// kept is how long kube-apiserver goes on taking a good token, whatever it is
	// told: it keeps what its webhook said for ten seconds.
	kept = 12 * time.Second
)

// box is a running sandbox of the runner's own.
type box struct {
	dir       string // the runner's; state lies in it
	state     string
	program   *exec.Cmd
	exited    chan error
	environ   []string // of programs that use the sandbox as nobody yet
	ekskey    string
	apiServer string
	keys      keys
	admin     *http.Client // with a client certificate, past all that ekskey does
	bearer    *http.Client // with none
}

// startBox starts a sandbox in a directory of its own.
func startBox(ctx context.Context, program string, progress io.Writer) (_ *box, err error) {
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("finding ekskey-sandbox: %w", err)
	}
	dir, err := os.MkdirTemp("", "ekskey-interop-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	b := &box{dir: dir, state: filepath.Join(dir, "state"), exited: make(chan error, 1)}
	// Killed, it takes what it started with it.
	b.program = exec.Command(program, "up", "--webhook-cache-ttl=-1s") // #nosec G204 -- named by who runs this
	b.program.Env = append(os.Environ(), "EKSKEY_SANDBOX_STATE="+b.state)
	b.program.Stderr = progress
	if err := b.program.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the sandbox: %w", err), os.RemoveAll(dir))
	}
	go func() { b.exited <- b.program.Wait() }()
	err = b.waitReady(ctx)
	if err == nil {
		err = b.prepareHelm(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *box) close() error {
	_ = b.program.Process.Signal(os.Interrupt)
	select {
	case <-b.exited:
	case <-time.After(20 * time.Second):
		_ = b.program.Process.Kill()
		<-b.exited
	}
	return os.RemoveAll(b.dir)
}

func (b *box) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, errors.New("the sandbox did not get ready"))
	defer cancel()
	var record struct {
		Ready             bool
		APIServer, Ekskey string
		Identities        []struct {
			Name string
			keys
		}
	}
	for !record.Ready {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-b.exited:
			b.exited <- err
			return fmt.Errorf("the sandbox ended: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
		// While it is written it does not exist, or not whole.
		if text, err := os.ReadFile(filepath.Join(b.state, "sandbox.json")); err == nil {
			_ = json.Unmarshal(text, &record)
		}
	}
	b.ekskey, b.apiServer = record.Ekskey, record.APIServer
	for _, id := range record.Identities {
		if id.Name == "admin" {
			b.keys = id.keys
		}
	}
	if err := b.readEnviron(ctx); err != nil {
		return err
	}
	return b.connect()
}

// readEnviron asks the sandbox for the variables that lead to it, and leaves out
// those that say who one is.
func (b *box) readEnviron(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, b.program.Path, "env", "--output", "json") // #nosec G204 -- as above
	cmd.Env = b.program.Env
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("querying the sandbox for its environment: %w", err)
	}
	var env struct {
		Set  map[string]string
		Path string
	}
	if err := json.Unmarshal(text, &env); err != nil {
		return fmt.Errorf("reading the sandbox's environment: %w", err)
	}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "AWS_"), strings.HasPrefix(name, "KUBE"), strings.HasPrefix(name, "EKSKEY_"), strings.HasPrefix(name, "HELM_"):
		case name == "PATH":
			b.environ = append(b.environ, "PATH="+env.Path+string(os.PathListSeparator)+value)
		default:
			b.environ = append(b.environ, kv)
		}
	}
	for name, value := range env.Set {
		if name != "AWS_ACCESS_KEY_ID" && name != "AWS_SECRET_ACCESS_KEY" && name != "KUBECONFIG" {
			b.environ = append(b.environ, name+"="+value)
		}
	}
	return nil
}

// connect makes the runner's own clients of the API server.
func (b *box) connect() error {
	text, err := os.ReadFile(filepath.Join(b.state, "admin.kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading the sandbox's own kubeconfig: %w", err)
	}
	var pem [3][]byte
	for i, key := range []string{"certificate-authority-data", "client-certificate-data", "client-key-data"} {
		value, err := field(text, key)
		if err == nil {
			pem[i], err = base64.StdEncoding.DecodeString(value)
		}
		if err != nil {
			return fmt.Errorf("reading the sandbox's own kubeconfig: %s: %w", key, err)
		}
	}
	certificate, err := tls.X509KeyPair(pem[1], pem[2])
	if err != nil {
		return fmt.Errorf("reading the sandbox's own kubeconfig: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem[0])
	client := func(certificates ...tls.Certificate) *http.Client {
		return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates, MinVersion: tls.VersionTLS12},
		}}
	}
	b.admin, b.bearer = client(certificate), client()
	return nil
}

// field finds the value of the first such key in a kubeconfig as the sandbox and
// ekskey write it: one key a line, no quotes needed.
func field(kubeconfig []byte, key string) (string, error) {
	m := regexp.MustCompile(`(?m)^[\s-]*` + regexp.QuoteMeta(key) + `: *"?([^\s"]+)"?\s*$`).FindSubmatch(kubeconfig)
	if m == nil {
		return "", fmt.Errorf("no %s in the kubeconfig", key)
	}
	return string(m[1]), nil
}

// ask is one request of the runner's own, and the status it gets.
func (b *box) ask(ctx context.Context, client *http.Client, method, path, contentType, body string, header http.Header) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.apiServer+path, strings.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("calling the API server: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("calling the API server: %w", err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// change makes an object or changes one, as the administrator.
func (b *box) change(ctx context.Context, method, path, contentType, body string) error {
	code, err := b.ask(ctx, b.admin, method, path, contentType, body, nil)
	if err == nil && code >= 300 {
		err = fmt.Errorf("%s %s: status %d", method, path, code)
	}
	return err
}

// with asks as whoever has this token.
func (b *box) with(ctx context.Context, token string) (int, error) {
	return b.ask(ctx, b.bearer, http.MethodGet, "/api/v1/namespaces/"+namespace+"/pods?limit=1", "", "",
		http.Header{"Authorization": {"Bearer " + token}})
}

// limitAge makes ekskey-server refuse tokens over this age. It is started again
// for that: whoever ends it, the sandbox starts it again.
func (b *box) limitAge(ctx context.Context, age time.Duration) error {
	file := filepath.Join(b.state, "server", "config.yaml")
	text, err := os.ReadFile(file) // #nosec G304 -- the sandbox's
	if err != nil {
		return fmt.Errorf("reading ekskey-server's configuration: %w", err)
	}
	config := regexp.MustCompile(`(?m)^  maxTokenAge: .*\n`).ReplaceAllString(string(text), "")
	config = strings.Replace(config, "server:\n", fmt.Sprintf("server:\n  maxTokenAge: %s\n", age), 1)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing ekskey-server's configuration: %w", err)
	}
	text, err = os.ReadFile(filepath.Join(b.state, "run", "ekskey-server.pid"))
	if err != nil {
		return fmt.Errorf("finding ekskey-server: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("finding ekskey-server: %w", err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("finding ekskey-server: %w", err)
	}
	if err := server.Kill(); err != nil {
		return fmt.Errorf("ending ekskey-server: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("ekskey-server did not come back"))
	defer cancel()
	for {
		if token, err := b.mint(ctx); err == nil {
			if code, err := b.with(ctx, token); err == nil && code == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// mint makes a token that says it is good for 14 minutes.
func (b *box) mint(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, b.ekskey, "token", "--cluster", cluster, "--output", "token") // #nosec G204 -- the sandbox's
	cmd.Env = append(b.environ[:len(b.environ):len(b.environ)], "EKSKEY_CACHE_DIR="+filepath.Join(b.dir, "own-cache"),
		"AWS_ACCESS_KEY_ID="+b.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+b.keys.SecretAccessKey)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("minting a token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
