//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// TestAgentOverAnExpiry has kubectl read a token file for longer than the sandbox
// takes a token.
func TestAgentOverAnExpiry(t *testing.T) {
	b := withShortTokens(t)
	env := b.env(t, "admin")
	home := value(env, "HOME")
	file, ready := filepath.Join(home, "tokens", "demo"), filepath.Join(home, "tokens", "ready")
	start(t, env, false, "agent", "--cluster", seed.Cluster, "--token-file", file, "--ready-file", ready, "--make-directory", "--max-token-age", maxAge.String())
	waitFor(t, "the ready file", func() bool { _, err := os.Stat(ready); return err == nil })
	if o := command(t, env, client(t), "agent", "--check", "--ready-file", ready); o.code != 0 {
		t.Errorf("--check: %d %s", o.code, o.stderr)
	}
	kubeconfig := filepath.Join(home, "file.kubeconfig")
	ca := mustRun(t, env, kubectl, "--kubeconfig", b.Layout().AdminKubeconfig(), "config", "view", "--raw", "--output", "jsonpath={.clusters[0].cluster.certificate-authority-data}")
	text := `apiVersion: v1
kind: Config
current-context: demo
clusters: [{name: demo, cluster: {server: "` + b.Record().APIServer + `", certificate-authority-data: "` + ca + `"}}]
users: [{name: demo, user: {tokenFile: "` + file + `"}}]
contexts: [{name: demo, context: {cluster: demo, user: demo}}]
`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env = append(env, "KUBECONFIG="+kubeconfig)
	tokens := map[string]bool{}
	for began := time.Now(); time.Since(began) < 3*maxAge; time.Sleep(time.Second) {
		has(t, mustRun(t, env, kubectl, "auth", "whoami"), "platform-admins")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tokens[string(text)] = true
	}
	if len(tokens) < 3 || len(tokens) > 7 {
		t.Errorf("%d tokens in %v", len(tokens), 3*maxAge)
	}
}

// TestDeployManifests gives each manifest in deploy/ to the API server, which is to
// say what it thinks of it, and not to keep it.
func TestDeployManifests(t *testing.T) {
	env := shared.env(t, "admin")
	env = append(env, "KUBECONFIG="+shared.Layout().AdminKubeconfig())
	manifests, err := filepath.Glob(filepath.Join(maker.Source, "..", "deploy", "kubernetes", "*.yaml"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, path := range manifests {
		out := mustRun(t, env, kubectl, "apply", "--server-side", "--dry-run=server", "--validate=strict", "--namespace", "shop", "--filename", path)
		if !strings.Contains(out, "serverside-applied (server dry run)") {
			t.Errorf("%s: %s", path, out)
		}
	}
}
