//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/ekskey/ekskey/kubeclient"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// setenv gives this process the AWS settings of an identity.
func (b *box) setenv(t *testing.T, as string) {
	t.Helper()
	for _, kv := range b.env(t, as) {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_") || name == "HOME" || name == "USERPROFILE" {
			t.Setenv(name, value)
		}
	}
}

// TestKubeclientOverExpiries lists, and holds a watch, while the cluster takes
// tokens of a few seconds only: once with a client that knows of it, and once with
// one that learns it by being refused.
func TestKubeclientOverExpiries(t *testing.T) {
	b := own(t, stack.Config{TokenMaxAge: 5 * time.Second, WebhookTTL: -1})
	for _, c := range []struct {
		name, as string
		maxAge   time.Duration
		roles    []string
	}{
		{"renewed ahead", "dev", 5 * time.Second, nil},
		{"renewed on 401", "dev", 0, nil},
		{"renewed on 401, by a role", "admin", 0, []string{"arn:aws:iam::" + seed.Account + ":role/platform"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.setenv(t, c.as)
			client, err := kubeclient.New(t.Context(), kubeclient.Config{
				Cluster: seed.Cluster, Region: seed.Region, RoleARNs: c.roles, TokenMaxAge: c.maxAge,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			conf := client.RESTConfig()
			conf.QPS = -1
			var refused atomic.Int64 // as the caller sees it
			conf.Wrap(func(rt http.RoundTripper) http.RoundTripper {
				return trip(func(r *http.Request) (*http.Response, error) {
					res, err := rt.RoundTrip(r)
					if err == nil && res.StatusCode == http.StatusUnauthorized {
						refused.Add(1)
					}
					return res, err
				})
			})
			pods, err := kubernetes.NewForConfig(conf)
			if err != nil {
				t.Fatal(err)
			}
			shop := pods.CoreV1().ConfigMaps("shop")
			watch, err := shop.Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			tokens, lists := map[string]bool{}, 0
			var mu sync.Mutex
			var wg sync.WaitGroup
			enough := func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(tokens) > 3
			}
			for range 4 {
				wg.Go(func() {
					for deadline := time.Now().Add(2 * time.Minute); !enough() && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
						if _, err := shop.List(t.Context(), metav1.ListOptions{}); err != nil {
							t.Errorf("listing: %v", err)
						}
						tok, err := client.Token(t.Context())
						if err != nil {
							t.Errorf("the token: %v", err)
						}
						mu.Lock()
						tokens[tok.Value()] = true
						lists++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			t.Logf("%d lists with %d tokens", lists, len(tokens))
			if len(tokens) < 4 || refused.Load() != 0 {
				t.Errorf("%d tokens; %d times a 401 reached the caller", len(tokens), refused.Load())
			}
			// The watch of the first token is still there.
			name := "kubeclient-" + strings.ReplaceAll(strings.ReplaceAll(c.name, " ", "-"), ",", "")
			_, err = b.admin.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for event := range watch.ResultChan() {
				if m, ok := event.Object.(*corev1.ConfigMap); ok && m.Name == name {
					return
				}
			}
			t.Error("the watch ended")
		})
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What the sandbox's AWS and its cluster refuse.
func TestKubeclientRefused(t *testing.T) {
	shared.setenv(t, "stranger")
	client, err := kubeclient.New(t.Context(), kubeclient.Config{Cluster: seed.Cluster, Region: seed.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pods, err := kubernetes.NewForConfig(client.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = pods.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{}); err == nil || !strings.Contains(err.Error(), "must be logged in") && !strings.Contains(err.Error(), "nauthorized") {
		t.Errorf("a stranger: %v", err)
	}
	_, err = kubeclient.New(t.Context(), kubeclient.Config{
		Cluster: seed.Cluster, Region: seed.Region, RoleARNs: []string{"arn:aws:iam::" + seed.Account + ":role/platform"},
	})
	var refused *kubeclient.RoleRefusedError
	if !errors.As(err, &refused) {
		t.Errorf("a role that is not for strangers: %v", err)
	}
	_, err = kubeclient.New(t.Context(), kubeclient.Config{Cluster: "nowhere", Region: seed.Region})
	var missing *kubeclient.ClusterNotFoundError
	if !errors.As(err, &missing) {
		t.Errorf("no such cluster: %v", err)
	}
}

// TestKubeclientExamples runs the programs of examples/client in the sandbox.
func TestKubeclientExamples(t *testing.T) {
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs, "./controller", "./count-pods", "./role-chain", "./static-keys")
	build.Dir = filepath.Join(maker.Source, "..", "examples", "client")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shared.setenv(t, "admin")
	client, err := kubeclient.New(t.Context(), kubeclient.Config{Cluster: seed.Cluster, Region: seed.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conf := client.RESTConfig()
	pods, err := shared.admin.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) == 0 {
		t.Fatal(err, len(pods.Items))
	}
	one, admin := pods.Items[0], shared.person(t, "admin")
	env := append(shared.env(t, "admin"), "CLUSTER="+seed.Cluster, "CLUSTER_REGION="+seed.Region)
	count := fmt.Sprintf("There are %d pods in the cluster", len(pods.Items))
	role := "arn:aws:iam::" + seed.Account + ":role/"
	for _, c := range []struct {
		program string
		env     []string
		want    []string
	}{
		{"count-pods", []string{"POD_NAMESPACE=" + one.Namespace, "POD=" + one.Name}, []string{count, "Found pod " + one.Name}},
		{"count-pods", []string{"POD_NAMESPACE=default", "POD=example-xxxxx"}, []string{count, "Pod example-xxxxx in namespace default not found"}},
		{"role-chain", []string{"FIRST_ROLE=" + role + "platform", "SECOND_ROLE=" + role + "team/viewer"}, []string{"kube-system", "shop"}},
		{"static-keys", []string{
			"AWS_ENDPOINT_URL=https://127.0.0.1:1", "KEY_ID=" + admin.AccessKeyID, "SECRET_KEY=" + admin.SecretAccessKey,
			"CLUSTER_ENDPOINT=" + conf.Host, "CLUSTER_CA=" + base64.StdEncoding.EncodeToString(conf.CAData),
		}, []string{"connected to Kubernetes v1."}},
	} {
		has(t, mustRun(t, append(slices.Clone(env), c.env...), filepath.Join(programs, c.program)), c.want...)
	}
	t.Run("controller", func(t *testing.T) { runController(t, filepath.Join(programs, "controller"), env, pods.Items) })
}

// runController runs the controller until it has told of each pod, and ends it.
func runController(t *testing.T, program string, env []string, pods []corev1.Pod) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); len(seen) < len(pods) && lines.Scan(); {
		seen[lines.Text()] = true
	}
	for _, p := range pods {
		if !seen["saw pod "+p.Name+" in namespace "+p.Namespace] {
			t.Errorf("not told of: pod %s in namespace %s", p.Name, p.Namespace)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil || t.Failed() {
		t.Errorf("%v\n%s", err, stderr.Bytes())
	}
}
