//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

const viewer = "arn:aws:iam::" + seed.Account + ":role/team/viewer"

// assumed is how often a role has been assumed in the sandbox.
func (b *box) assumed() int { return b.AWS().Counts()[fakeaws.AssumeRole] }

// kubectl is run again and again, and the role is assumed once.
func TestKubectlAgainIsACacheHit(t *testing.T) {
	b := shared
	env := b.env(t, "admin")
	b.update(t, env, "look", "--role-arn", viewer)
	before := b.assumed()
	for range 5 {
		has(t, mustRun(t, env, kubectl, "--context", "look", "get", "pods", "-n", "shop"), "db-0")
	}
	if n := b.assumed() - before; n != 1 {
		t.Errorf("the role was assumed %d times, want once", n)
	}
	if kinds := cached(t, b, env); len(kinds) != 1 || kinds["credentials"] == "" {
		t.Errorf("the cache holds %v, want credentials", kinds)
	}
	// Without a cache each asks for itself.
	none := append(env, "EKSKEY_CACHE=none")
	for range 2 {
		mustRun(t, none, kubectl, "--context", "look", "get", "pods", "-n", "shop")
	}
	if n := b.assumed() - before; n != 3 {
		t.Errorf("the role was assumed %d times, want twice more", n)
	}
}

// cached is the access key of what is kept, by kind.
func cached(t *testing.T, b *box, env []string) map[string]string {
	t.Helper()
	var rows []struct{ Kind, AccessKeyID string }
	if err := json.Unmarshal([]byte(mustRun(t, env, b.Record().Ekskey, "cache", "list", "--output", "json")), &rows); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, r := range rows {
		kinds[r.Kind] = r.AccessKeyID
	}
	return kinds
}

// The role's session ends, as when somebody revokes it. An exec plugin is given a new
// token of the cached credentials; whoami sees STS refuse them, drops them and gets
// new ones, and then client-go is let in.
func TestC12RefusedCredentialsAreDropped(t *testing.T) {
	b := shared
	env := b.env(t, "admin")
	b.update(t, env, "look", "--role-arn", viewer)
	conf, err := clientcmd.BuildConfigFromFlags("", value(env, "KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		conf.ExecProvider.Env = append(conf.ExecProvider.Env, clientcmdapi.ExecEnvVar{Name: name, Value: value})
	}
	client, err := kubernetes.NewForConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	list := func() error {
		_, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); err != nil {
		t.Fatal(err)
	}
	before := b.assumed()
	if err := b.AWS().ExpireSession(cached(t, b, env)["credentials"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // within one second, the same credentials sign the same token
	// client-go remembers tokens by plugin and its environment.
	conf.ExecProvider.Env = append(conf.ExecProvider.Env, clientcmdapi.ExecEnvVar{Name: "AGAIN", Value: "1"})
	if client, err = kubernetes.NewForConfig(conf); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := list(); !apierrors.IsUnauthorized(err) {
			t.Fatalf("with a token of a session that has ended: %v, want unauthorized", err)
		}
	}
	if n := b.assumed() - before; n != 0 {
		t.Errorf("a 401 had the role assumed %d times", n)
	}
	has(t, mustRun(t, env, b.Record().Ekskey, "whoami", "--role-arn", viewer), "viewer")
	if n := b.assumed() - before; n != 1 {
		t.Errorf("whoami assumed the role %d times, want once", n)
	}
	if err := list(); !apierrors.IsUnauthorized(err) && err != nil {
		t.Fatalf("after whoami: %v", err)
	}
	if err := list(); err != nil { // client-go runs the plugin again after a 401
		t.Fatalf("after whoami, and a 401: %v", err)
	}
}
