//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
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

// C01: kubectl with a role, against an API server that always answers 401. The role is
// assumed once, and the code asked for once.
func TestC01KubectlAlwaysRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	b := shared
	env := b.env(t, "admin")
	var requests atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`)
	}))
	t.Cleanup(server.Close)
	const serial = "arn:aws:iam::" + seed.Account + ":mfa/refused"
	keys, err := b.AWS().AddUser(fakeaws.User{Account: seed.Account, Name: "refused", MFASerial: serial, MFACode: "123456"})
	if err != nil {
		t.Fatal(err)
	}
	role, err := b.AWS().AddRole(fakeaws.Role{Account: seed.Account, Name: "refused"})
	if err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(t.TempDir(), "asked")
	b.update(t, env, "refused", "--role-arn", role)
	env = append(without(without(env, "AWS_PROFILE"), "AWS_SESSION_TOKEN"), "AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
	conf, err := clientcmd.LoadFromFile(value(env, "KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conf.Clusters {
		c.Server, c.CertificateAuthorityData = server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	}
	for _, u := range conf.AuthInfos {
		u.Exec.Args = append(u.Exec.Args, "--mfa-command", "echo x >>"+asked+"; echo 123456", "--mfa-serial", serial)
	}
	if err := clientcmd.WriteToFile(*conf, value(env, "KUBECONFIG")); err != nil {
		t.Fatal(err)
	}
	before := b.assumed()
	if o := command(t, env, kubectl, "--context", "refused", "get", "ns"); o.code == 0 || requests.Load() < 2 {
		t.Fatalf("exit code %d after %d requests\n%s%s", o.code, requests.Load(), o.stdout, o.stderr)
	}
	codes, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.assumed() - before; n != 1 || string(codes) != "x\n" {
		t.Errorf("the role was assumed %d times, and the code asked for %d times; want 1 and 1", n, strings.Count(string(codes), "x"))
	}
}
