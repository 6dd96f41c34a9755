//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// A sync writes a context that works, a second one nothing, and a prune takes
// away what ekskey made for a cluster that is gone, and only that.
func TestKubeconfigSync(t *testing.T) {
	const (
		passing = "passing"
		demo    = seed.Account + "-" + seed.Region + "-" + seed.Cluster
		gone    = seed.Account + "-" + seed.Region + "-" + passing
	)
	b := shared
	if err := b.AWS().AddCluster(fakeaws.Cluster{Account: seed.Account, Region: seed.Region, Name: passing, Endpoint: endpoint(passing)}); err != nil {
		t.Fatal(err)
	}
	removed := false
	remove := func() {
		if err := b.AWS().RemoveCluster(seed.Account, seed.Region, passing); err != nil {
			t.Error(err)
		}
		removed = true
	}
	t.Cleanup(func() {
		if !removed {
			remove()
		}
	})
	env := b.env(t, "admin")
	file := value(env, "KUBECONFIG")
	bytesOf := func() []byte {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	sync := func(more ...string) {
		t.Helper()
		mustRun(t, env, b.Record().Ekskey, append([]string{"kubeconfig", "sync", "--alias", "{account}-{region}-{name}"}, more...)...)
	}
	b.update(t, env, "ops", "--role-arn", platform)
	sync()
	want := map[string]string{demo: "admin", "ops": "platform:ekskey"}
	actAs(t, "after a sync", env, want)
	has(t, mustRun(t, env, kubectl, "--context", demo, "get", "nodes"), "Ready")
	c := load(t, file)
	if c.CurrentContext != "ops" || c.Contexts[gone] == nil {
		t.Errorf("after a sync: current context %q, contexts %v", c.CurrentContext, c.Contexts)
	}
	first := bytesOf()
	sync()
	if !bytes.Equal(first, bytesOf()) {
		t.Error("a second sync changed the file")
	}
	// Somebody has a context of their own for the same cluster.
	mustRun(t, env, kubectl, "config", "set-context", "handmade", "--cluster", c.Contexts[gone].Cluster, "--user", c.Contexts[gone].AuthInfo)
	remove()
	sync()
	if load(t, file).Contexts[gone] == nil {
		t.Error("a sync without --prune removed a context")
	}
	sync("--prune")
	c = load(t, file)
	if c.Contexts[gone] != nil {
		t.Error("a sync with --prune left the context of a cluster that is gone")
	}
	mine := c.Contexts["handmade"]
	if mine == nil || c.Clusters[mine.Cluster] == nil || c.AuthInfos[mine.AuthInfo] == nil {
		t.Errorf("a sync with --prune took from a context that ekskey did not make: %+v", mine)
	}
	if len(c.Contexts) != 3 || c.CurrentContext != "ops" {
		t.Errorf("after a prune: current context %q, contexts %v", c.CurrentContext, c.Contexts)
	}
	actAs(t, "after a prune", env, want)
}
