package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What every sandbox has: see docs/sandbox.md.
const (
	sandboxCluster = "demo"
	sandboxRole    = "arn:aws:iam::111122223333:role/team/viewer"
)

// kubectl measures it with a role's cached credentials, and with a token written into
// its kubeconfig.
func (p *programs) kubectl(ctx context.Context, program string, progress io.Writer) (row, error) {
	const what = "kubectl get ns"
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		return row{}, &missingError{what: what, why: "there is no kubectl command"}
	}
	box, env, err := p.openSandbox(ctx, what, program, "sandbox", progress)
	if err != nil {
		return row{}, err
	}
	defer box.stop()
	t := tool{env: env, dir: p.dir}
	file, err := p.twoUsers(ctx, t, kubectl)
	if err != nil {
		return row{}, err
	}
	side := func(user string) func() (time.Duration, error) {
		return p.time(ctx, t.env, kubectl, "--kubeconfig", file, "--context", user, "get", "ns")
	}
	if _, err := side(cachedUser)(); err != nil {
		return row{}, err
	}
	before, err := t.output(ctx, p.ekskey, "cache", "list", "--output", "json")
	if err != nil {
		return row{}, err
	}
	a, b, err := inTurns(kubectlRounds, side(cachedUser), side(bareUser))
	if err != nil {
		return row{}, err
	}
	after, err := t.output(ctx, p.ekskey, "cache", "list", "--output", "json")
	if err != nil {
		return row{}, err
	}
	if !bytes.Equal(before, after) || !bytes.Contains(after, []byte(`"credentials"`)) {
		return row{}, errors.New("kubectl's tokens were not made with cached credentials")
	}
	return row{what: what + " with ekskey's cache : with a bare token", ours: a, theirs: b, target: "<= 1.25"}, nil
}

// The contexts of the kubeconfig, and their users.
const (
	cachedUser = "cached"
	bareUser   = "bare"
)

// twoUsers writes a kubeconfig for both sides. Their users are the same role.
func (p *programs) twoUsers(ctx context.Context, t tool, kubectl string) (string, error) {
	file := filepath.Join(p.dir, "kubeconfig")
	if _, err := t.output(ctx, p.ekskey, "kubeconfig", "update", "--kubeconfig", file, "--name", sandboxCluster,
		"--alias", cachedUser, "--role-arn", sandboxRole); err != nil {
		return "", err
	}
	written, err := t.output(ctx, kubectl, "--kubeconfig", file, "config", "view", "--raw", "--output", "json")
	if err != nil {
		return "", err
	}
	token, err := t.output(ctx, p.ekskey, "token", "--cluster", sandboxCluster, "--role-arn", sandboxRole, "--no-cache", "--output", "token")
	if err != nil {
		return "", err
	}
	text, err := addBareUser(written, strings.TrimSpace(string(token)))
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, text, 0o600)
}

// addBareUser gives a kubeconfig with one context another one, for the same
// cluster and with a token.
func addBareUser(kubeconfig []byte, token string) ([]byte, error) {
	var config map[string]any
	if err := json.Unmarshal(kubeconfig, &config); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	users, _ := config["users"].([]any)
	contexts, _ := config["contexts"].([]any)
	clusters, _ := config["clusters"].([]any)
	if len(users) != 1 || len(contexts) != 1 || len(clusters) != 1 {
		return nil, errors.New("the kubeconfig has not one user, one context and one cluster")
	}
	only, _ := clusters[0].(map[string]any)
	config["users"] = append(users, map[string]any{"name": bareUser, "user": map[string]any{"token": token}})
	config["contexts"] = append(contexts, map[string]any{"name": bareUser, "context": map[string]any{"cluster": only["name"], "user": bareUser}})
	return json.Marshal(config)
}

// tool runs commands whose time is not taken.
type tool struct {
	env []string
	dir string
}

func (t tool) output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the programs built here, kubectl, and the sandbox
	var stderr strings.Builder
	cmd.Env, cmd.Dir, cmd.Stderr = t.env, t.dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w\n%s", filepath.Base(name), args[0], err, stderr.String())
	}
	return out, nil
}
