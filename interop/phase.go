package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// How old tokens get in the sandbox, and how old ekskey lets them get, as it does
// with real ones: refused after 15 minutes, called expired after 14.
const (
	shortAge, shortLife = 20 * time.Second, 15 * time.Second
	// longAge is for clients that read a token file once a minute: it allows
	// a token that is 30 seconds old when it is read.
	longAge, longLife = 90 * time.Second, 30 * time.Second
)

func life(age time.Duration) time.Duration {
	if age == shortAge {
		return shortLife
	}
	return longLife
}

// phase is the time in which tokens have one age.
type phase struct {
	*box
	age  time.Duration
	dir  string
	ca   string // base64 of PEM
	exec string // a kubeconfig as ekskey writes it

	stop  []func()
	agent *agent
	proxy *proxy

	mu    sync.Mutex
	ticks map[int]time.Time
}

// phase starts what these jobs need: the agent, the proxy, and a pod that
// changes every two seconds.
func (b *box) phase(ctx context.Context, age time.Duration, jobs []job) (_ *phase, err error) {
	if err := b.limitAge(ctx, age); err != nil {
		return nil, err
	}
	p := &phase{box: b, age: age, dir: filepath.Join(b.dir, age.String()), ticks: map[int]time.Time{}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	if err := p.writeCredentials(); err != nil {
		return nil, err
	}
	if err := p.writeKubeconfig(ctx); err != nil {
		return nil, err
	}
	uses := func(way string) bool { return slices.ContainsFunc(jobs, func(j job) bool { return j.way == way }) }
	if uses(wayTokenFile) {
		if p.agent, err = p.startAgent(ctx); err != nil {
			return nil, err
		}
	}
	if uses(wayProxy) {
		if p.proxy, err = p.startProxy(ctx); err != nil {
			return nil, err
		}
	}
	ticking, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	p.stop = append(p.stop, func() { stop(); <-ended })
	go func() {
		defer close(ended)
		p.tick(ticking)
	}()
	return p, nil
}

func (p *phase) close() {
	for _, stop := range slices.Backward(p.stop) {
		stop()
	}
}

// writeCredentials makes the profile whose tokens live for so long.
func (p *phase) writeCredentials() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	text, err := json.Marshal(p.keys)
	if err != nil {
		return fmt.Errorf("encoding the keys: %w", err)
	}
	file := filepath.Join(p.dir, "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the keys: %w", err)
	}
	config := fmt.Sprintf("[profile interop]\nregion = us-east-1\ncredential_process = \"%s\" %s \"%s\" %s\n",
		self, credentialsCommand, file, life(p.age))
	if err := os.WriteFile(p.awsConfig(), []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the AWS configuration: %w", err)
	}
	return nil
}

func (p *phase) awsConfig() string { return filepath.Join(p.dir, "aws-config") }

// writeKubeconfig has ekskey write the kubeconfig of its plugin.
func (p *phase) writeKubeconfig(ctx context.Context) error {
	file := filepath.Join(p.dir, "kubeconfig")
	cmd := exec.CommandContext(ctx, p.ekskey, "kubeconfig", "update", "--name", cluster, "--alias", "interop", "--kubeconfig", file) // #nosec G204 -- the sandbox's
	cmd.Env = p.env(p.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w: %s", err, out)
	}
	text, err := os.ReadFile(file) // #nosec G304 -- just written
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	p.exec = string(text)
	p.ca, err = field(text, "certificate-authority-data")
	return err
}

// env is a program's environment in a directory of its own.
func (p *phase) env(dir string, more ...string) []string {
	return append(append(p.environ[:len(p.environ):len(p.environ)],
		"AWS_PROFILE=interop", "AWS_CONFIG_FILE="+p.awsConfig(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(dir, "none"),
		"EKSKEY_CACHE_DIR="+filepath.Join(dir, "ekskey-cache"), "KUBECACHEDIR="+filepath.Join(dir, "kube-cache"),
		"HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir,
		"HOME="+dir, "USERPROFILE="+dir, "KUBERC=off", "INTEROP_NAMESPACE="+namespace), more...)
}

// tick changes a pod every two seconds, for watches to see.
func (p *phase) tick(ctx context.Context) {
	pod, err := p.onePod(ctx)
	for n := int(time.Now().Unix()); err == nil; n++ {
		made := time.Now()
		err = p.change(ctx, http.MethodPatch, "/api/v1/namespaces/"+namespace+"/pods/"+pod, "application/merge-patch+json",
			fmt.Sprintf(`{"metadata":{"annotations":{"interop/tick":"%d"}}}`, n))
		p.mu.Lock()
		p.ticks[n] = made
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// made gives the changes so far.
func (p *phase) made() map[int]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.ticks)
}

func (p *phase) onePod(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.apiServer+"/api/v1/namespaces/"+namespace+"/pods?limit=1", nil)
	if err != nil {
		return "", err
	}
	resp, err := p.admin.Do(req)
	if err != nil {
		return "", fmt.Errorf("getting a pod: %w", err)
	}
	defer resp.Body.Close()
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Items) == 0 {
		return "", fmt.Errorf("getting a pod: status %d, %w", resp.StatusCode, err)
	}
	return list.Items[0].Metadata.Name, nil
}

// proveExpiry fails unless a token is refused once it is too old.
func (p *phase) proveExpiry(ctx context.Context) error {
	token, err := p.mint(ctx)
	if err != nil {
		return err
	}
	if code, err := p.with(ctx, token); err != nil || code != http.StatusOK {
		return fmt.Errorf("a new token was answered with %d, %w", code, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.age + kept):
	}
	if code, err := p.with(ctx, token); err != nil || code != http.StatusUnauthorized {
		return fmt.Errorf("nothing expires in this sandbox: a token of %s was answered with %d, %w", p.age+kept, code, err)
	}
	return nil
}

// session is one client in one way.
type session struct {
	*phase
	way        string
	dir        string
	relay      *relay
	kubeconfig string
	environ    []string
}

// drive makes the session and has the client go through it.
func (p *phase) drive(ctx context.Context, j job) (string, error) {
	s := &session{phase: p, way: j.way, dir: filepath.Join(p.dir, j.client.name+"-"+j.way)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", fmt.Errorf("making a directory: %w", err)
	}
	server := p.apiServer
	if j.way == wayProxy {
		server = p.proxy.server
	}
	target, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("reading the address of the API server: %w", err)
	}
	if s.relay, err = startRelay(target.Host); err != nil {
		return "", err
	}
	defer s.relay.close()
	relayed := "https://" + s.relay.address()
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")
	var text string
	var more []string
	switch j.way {
	case wayExec:
		text = strings.ReplaceAll(p.exec, server, relayed)
	case wayTokenFile:
		user := j.client.tokenFileUser
		if user == "" {
			user = "tokenFile: %s"
		}
		text = kubeconfig(relayed, p.ca, fmt.Sprintf(user, p.agent.tokenFile))
		more = []string{"INTEROP_TOKEN_FILE=" + p.agent.tokenFile}
	case wayProxy:
		text = strings.ReplaceAll(p.proxy.kubeconfig, server, relayed)
	}
	if err := os.WriteFile(s.kubeconfig, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	s.environ = p.env(s.dir, append(more, "KUBECONFIG="+s.kubeconfig)...)
	return j.drive(ctx, s)
}

// kubeconfig is one with a single context.
func kubeconfig(server, ca, user string) string {
	return `apiVersion: v1
kind: Config
current-context: interop
contexts:
- name: interop
  context:
    cluster: interop
    user: interop
clusters:
- name: interop
  cluster:
    server: ` + server + `
    certificate-authority-data: ` + ca + `
users:
- name: interop
  user:
    ` + strings.ReplaceAll(user, "\n", "\n    ") + "\n"
}
