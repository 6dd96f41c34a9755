package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// agent is an `ekskey agent` that runs.
type agent struct{ tokenFile string }

// startAgent returns once there is a token in its file.
func (p *phase) startAgent(ctx context.Context) (*agent, error) {
	a := &agent{tokenFile: filepath.Join(p.dir, "agent", "token")}
	return a, p.serve(ctx, a.tokenFile, "agent", "--cluster", cluster, "--token-file", a.tokenFile)
}

// proxy is an `ekskey proxy` that runs.
type proxy struct {
	server     string // its URL
	kubeconfig string // as it writes it
}

// startProxy returns once it has written its kubeconfig.
func (p *phase) startProxy(ctx context.Context) (*proxy, error) {
	file := filepath.Join(p.dir, "proxy", "kubeconfig")
	if err := p.serve(ctx, file, "proxy", "--cluster", cluster, "--port", "0", "--kubeconfig-out", file); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the runner's own directory
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of ekskey proxy: %w", err)
	}
	server, err := field(text, "server")
	return &proxy{server: server, kubeconfig: string(text)}, err
}

// serve starts one of ekskey's commands, to run for the phase, and returns once
// there is this file, whose directory it makes.
func (p *phase) serve(ctx context.Context, file, command string, args ...string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	run, err := start(dir, command, p.env(dir), func(string) {}, p.ekskey, append([]string{command}, args...)...)
	if err != nil {
		return err
	}
	p.stop = append(p.stop, run.stop)
	timeout := time.After(time.Minute)
	for {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-run.ended:
			return fmt.Errorf("ekskey %s ended: %s", command, run.said())
		case <-timeout:
			return errors.New("ekskey " + command + " does not get ready: " + run.said())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
