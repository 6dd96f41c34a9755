package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/environ"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// Config is what a demo needs. All fields but Colour are required.
type Config struct {
	// Stack is a fresh sandbox. The demo changes it.
	Stack *stack.Stack
	// Kubectl is the path of kubectl.
	Kubectl string
	Out     io.Writer
	Colour  bool
}

// WrongError says that a step did not give what it should.
type WrongError struct{ Step, Reason string }

func (e *WrongError) Error() string {
	return "step " + e.Step + " did not give what it should: " + e.Reason
}

// Run shows all steps. It fails with *WrongError at the first that goes wrong.
func Run(ctx context.Context, cfg Config) error {
	s := &show{page: &page{out: cfg.Out, colour: cfg.Colour}, cfg: cfg, ctx: ctx}
	if err := s.be("admin"); err != nil {
		return err
	}
	begun := time.Now()
	for _, step := range []struct {
		title string
		run   func(*show) error
	}{
		{"Who am I to AWS?", (*show).whoami},
		{"A token, decoded", (*show).token},
		{"A kubeconfig entry", (*show).kubeconfig},
		{"kubectl, let in", (*show).letIn},
		{"A role that may read, refused a delete", (*show).readOnly},
		{"A second kubectl, with cached credentials", (*show).cached},
		{"A role that aws-auth names with its path, locked out", (*show).lockedOut},
		{"An identity that nothing maps, refused", (*show).unmapped},
		{"The creator: an access entry with a policy, and no RBAC", (*show).entry},
		{"Another access entry, made now", (*show).grant},
		{"A tampered token, refused", (*show).tampered},
		{"A token for another cluster, refused", (*show).foreign},
	} {
		s.page.step(step.title)
		if err := step.run(s); err != nil {
			s.page.wrong(err.Error())
			return &WrongError{Step: fmt.Sprintf("%d (%s)", s.page.steps, step.title), Reason: err.Error()}
		}
	}
	s.page.say(fmt.Sprintf("All %d steps gave exactly what they should, in %s. Play with a sandbox of your own: "+
		"make build, then bin/ekskey-sandbox up. docs/sandbox.md says more.", s.page.steps, time.Since(begun).Round(100*time.Millisecond)))
	return nil
}

// show runs the commands of the steps.
type show struct {
	*page
	cfg Config
	ctx context.Context // lives as long as Run
	env []string
	as  string
	// asked is how often STS had been asked before the first kubectl.
	asked int
}

// be sets who the commands act as from now on.
func (s *show) be(name string) error {
	layout := s.cfg.Stack.Layout()
	env, err := environ.Of(s.cfg.Stack.Record(), layout, name)
	if err != nil {
		return err
	}
	if s.as != "" {
		s.command(`eval "$(ekskey-sandbox env --as ` + name + `)"`)
	}
	s.as = name
	// A home of its own: not even a cache of kubectl's may land in the user's.
	home := layout.Path("home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("making a home for the demo: %w", err)
	}
	s.env = append(env.Apply(os.Environ()), "HOME="+home, "USERPROFILE="+home, "KUBERC=off",
		"EKSKEY_CACHE=disk") // its directory is one of the sandbox's
	return nil
}

// outcome is what a command gave.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a command as this identity, showing it and what it writes.
func (s *show) run(program string, args ...string) (outcome, error) {
	typed := program
	for _, arg := range args {
		if strings.ContainsAny(arg, " {}'\\$*") {
			arg = `"` + arg + `"`
		}
		typed += " " + arg
	}
	s.command(typed)
	o, err := s.quietly("", program, args...)
	s.result(o.stdout)
	s.result(o.stderr)
	return o, err
}

// quietly runs a command without showing it.
func (s *show) quietly(stdin, program string, args ...string) (outcome, error) {
	path := s.cfg.Kubectl
	if program == "ekskey" {
		path = s.cfg.Stack.Record().Ekskey
	}
	cmd := exec.CommandContext(s.ctx, path, args...)
	cmd.Env, cmd.Dir = s.env, s.cfg.Stack.Layout().Path("home")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, fmt.Errorf("running %s: %w", filepath.Base(path), err)
	}
	if s.ctx.Err() != nil {
		return outcome{}, s.ctx.Err()
	}
	return outcome{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}, nil
}

// want holds an outcome to an exit code and to texts in what it wrote.
func (o outcome) want(code int, texts ...string) error {
	if o.code != code {
		return fmt.Errorf("the exit code is %d, not %d", o.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout+o.stderr, text) {
			return fmt.Errorf("the output has no %q in it", text)
		}
	}
	return nil
}

// newToken mints a token and keeps it off the page.
func (s *show) newToken(cluster string) (string, error) {
	o, err := s.quietly("", "ekskey", "token", "--cluster", cluster, "--output", "token")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(o.stdout), o.want(0, "k8s-aws-v1.")
}

// asks sends a bearer token to the API server, with no client library in
// between, shows that, and returns the status.
func (s *show) asks(variable, token string) (int, error) {
	const path = "/api/v1/namespaces"
	url := s.cfg.Stack.Record().APIServer + path
	s.command(`curl --cacert ca.pem -H "Authorization: Bearer $` + variable + `" ` + url)
	client, err := s.cfg.Stack.Client()
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("calling the API server: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("calling the API server: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("reading the API server's answer: %w", err)
	}
	s.result("HTTP " + resp.Status)
	return resp.StatusCode, nil
}

// pods counts the pods of all namespaces, with the administrator's certificate.
func (s *show) pods() (int, error) {
	o, err := s.quietly("", "kubectl", "--kubeconfig", s.cfg.Stack.Layout().AdminKubeconfig(), "get", "pods", "-A", "-o", "name")
	if err != nil {
		return 0, err
	}
	return len(strings.Fields(o.stdout)), o.want(0)
}

// denials counts how often ekskey-server has said no.
func (s *show) denials() int {
	lines, _ := s.cfg.Stack.ServerLog(0)
	n := 0
	for _, line := range lines {
		if strings.Contains(line, `"access denied"`) {
			n++
		}
	}
	return n
}

func arn(resource string) string { return "arn:aws:iam::" + seed.Account + ":" + resource }
