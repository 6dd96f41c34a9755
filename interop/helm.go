package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// helmNamespace is where charts are installed.
const helmNamespace = "interop"

// installHelm compiles Helm from its module.
func installHelm(ctx context.Context, in *installer) (driver, error) {
	path, err := in.goBuild(ctx, "helm", "helm.sh/helm/v4/cmd/helm", "helm")
	chart := filepath.Join(in.source, "helm", "chart")
	return func(ctx context.Context, s *session) (string, error) { return driveHelm(ctx, s, path, chart) }, err
}

// driveHelm installs a ConfigMap and lists it. Then two Helms wait for a pod
// each, one by asking again and again and one by a watch, until the token they
// began with is long gone; only then the pods get ready, which they must see, and
// must then write to the cluster.
func driveHelm(ctx context.Context, s *session, helm, chart string) (string, error) {
	name := s.way
	run := func(args ...string) (string, error) {
		return s.command(ctx, helm, append(args, "--namespace", helmNamespace)...)
	}
	if _, err := run("install", name, chart); err != nil {
		return "", err
	}
	waiters := map[string]string{name + "-poll": "legacy", name + "-watch": "watcher"}
	errs := make(chan error, len(waiters))
	var wg sync.WaitGroup
	began := time.Now()
	for release, how := range waiters {
		wg.Go(func() {
			_, err := run("install", release, chart, "--set", "pod=true", "--wait="+how, "--timeout", "15m")
			if err == nil && time.Since(began) < 2*s.age {
				err = fmt.Errorf("helm did not wait for %s", release)
			}
			errs <- err
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done: // both failed
	case <-ctx.Done():
	case <-time.After(2 * (s.age + kept)):
	}
	for release := range waiters {
		// A Helm that has failed has left no pod: its own error says more.
		if err := s.makeReady(ctx, release); err != nil && len(errs) == 0 {
			return "", err
		}
	}
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		return "", errors.New("helm goes on waiting for pods that are ready")
	}
	for range waiters {
		if err := <-errs; err != nil {
			return "", err
		}
	}
	out, err := run("list", "--filter", "^"+name+"(-poll|-watch)?$", "--short")
	if err != nil {
		return "", err
	}
	if got := len(strings.Fields(out)); got != 1+len(waiters) {
		return "", fmt.Errorf("helm list named %d releases: %q", got, out)
	}
	return fmt.Sprintf("install and list; install --wait by polling and by a watch for %s, no 401", time.Since(began).Round(time.Second)), nil
}

// prepareHelm makes the namespace as kube-controller-manager would leave it.
func (b *box) prepareHelm(ctx context.Context) error {
	if err := b.change(ctx, http.MethodPost, "/api/v1/namespaces", "application/json",
		`{"metadata":{"name":"`+helmNamespace+`"}}`); err != nil {
		return err
	}
	return b.change(ctx, http.MethodPost, "/api/v1/namespaces/"+helmNamespace+"/serviceaccounts", "application/json",
		`{"metadata":{"name":"default"}}`)
}

// makeReady says of a pod what a kubelet would.
func (s *session) makeReady(ctx context.Context, pod string) error {
	return s.change(ctx, http.MethodPatch, "/api/v1/namespaces/"+helmNamespace+"/pods/"+pod+"/status", "application/merge-patch+json",
		`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`)
}
