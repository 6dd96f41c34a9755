//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// update writes a context through ekskey, and fails the test if it cannot.
func (b *box) update(t *testing.T, env []string, alias string, more ...string) {
	t.Helper()
	mustRun(t, env, b.Record().Ekskey, append([]string{"kubeconfig", "update", "--name", seed.Cluster, "--alias", alias}, more...)...)
}

// kubeUser asks, through kubectl and the exec plugin, who one is.
func kubeUser(t *testing.T, env []string, context string) authenticationv1.UserInfo {
	t.Helper()
	var review authenticationv1.SelfSubjectReview
	out := mustRun(t, env, kubectl, "--context", context, "auth", "whoami", "-o", "json")
	if err := json.Unmarshal([]byte(out), &review); err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo
}

func TestKubectlKnowsEachIdentity(t *testing.T) {
	for _, tc := range []struct{ as, username, group, arn string }{
		{"admin", "admin", "platform-admins", "arn:aws:iam::111122223333:user/admin"},
		{"dev", "dev", "developers", "arn:aws:iam::111122223333:user/dev"},
		{"creator", "arn:aws:iam::111122223333:user/creator", "ekskey:access-entry", "arn:aws:iam::111122223333:user/creator"},
		{"platform", "platform:sandbox", "platform-admins", "arn:aws:sts::111122223333:assumed-role/platform/sandbox"},
		{"viewer", "viewer:sandbox", "viewers", "arn:aws:sts::111122223333:assumed-role/viewer/sandbox"},
	} {
		t.Run(tc.as, func(t *testing.T) {
			env := shared.env(t, tc.as)
			shared.update(t, env, "demo")
			user := kubeUser(t, env, "demo")
			if user.Username != tc.username || !slices.Contains(user.Groups, tc.group) {
				t.Errorf("got %s in %v, want %s in %s", user.Username, user.Groups, tc.username, tc.group)
			}
			if got := user.Extra["arn"]; len(got) != 1 || got[0] != tc.arn {
				t.Errorf("extra arn is %v, want %s", got, tc.arn)
			}
			if !strings.HasPrefix(user.UID, "aws-iam-authenticator:111122223333:A") {
				t.Errorf("uid is %q", user.UID)
			}
		})
	}
}

func TestKubectlWorks(t *testing.T) {
	env := shared.env(t, "admin")
	shared.update(t, env, "demo")
	has(t, mustRun(t, env, kubectl, "get", "svc"), "kubernetes", "10.100.0.1")
	has(t, mustRun(t, env, kubectl, "get", "nodes"), "ip-10-0-1-11.ec2.internal", "Ready")
	if pods := strings.Fields(mustRun(t, env, kubectl, "get", "pods", "-A", "-o", "name")); len(pods) != seed.Pods {
		t.Errorf("%d pods, want %d", len(pods), seed.Pods)
	}
	if o := command(t, shared.env(t, "stranger"), kubectl, "--kubeconfig", value(env, "KUBECONFIG"), "get", "pods"); o.code == 0 || !strings.Contains(o.stderr, "You must be logged in to the server") {
		t.Errorf("the stranger got %+v, want a 401", o)
	}
}

func TestTwoAliasesAreTwoUsers(t *testing.T) {
	env := shared.env(t, "admin")
	shared.update(t, env, "demo")
	shared.update(t, env, "ops", "--role-arn", "arn:aws:iam::111122223333:role/platform")
	shared.update(t, env, "look", "--role-arn", "arn:aws:iam::111122223333:role/team/viewer")
	for _, round := range []string{"first", "again"} {
		for context, username := range map[string]string{"demo": "admin", "ops": "platform:ekskey", "look": "viewer:ekskey"} {
			if got := kubeUser(t, env, context).Username; got != username {
				t.Errorf("%s: context %s is %s, want %s", round, context, got, username)
			}
		}
	}
	o := command(t, env, kubectl, "--context", "look", "delete", "pod", "-n", "shop", "db-0")
	if o.code != 1 || !strings.Contains(o.stderr, "Forbidden") {
		t.Errorf("the viewer's delete gave %+v, want Forbidden", o)
	}
}

// goClient is client-go with the exec plugin of the kubeconfig that ekskey
// writes.
func goClient(t *testing.T, as string) *kubernetes.Clientset {
	t.Helper()
	env := shared.env(t, as)
	shared.update(t, env, "demo")
	conf, err := clientcmd.BuildConfigFromFlags("", value(env, "KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	if conf.ExecProvider == nil {
		t.Fatal("the kubeconfig names no exec plugin")
	}
	// The plugin inherits this process's environment, which is nobody's.
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		conf.ExecProvider.Env = append(conf.ExecProvider.Env, clientcmdapi.ExecEnvVar{Name: name, Value: value})
	}
	client, err := kubernetes.NewForConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClientGo(t *testing.T) {
	ctx := t.Context()
	pods, err := goClient(t, "admin").CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != seed.Pods {
		t.Errorf("%d pods, want %d", len(pods.Items), seed.Pods)
	}
	dev := goClient(t, "dev")
	if _, err := dev.CoreV1().Pods("shop").Get(ctx, "db-0", metav1.GetOptions{}); err != nil {
		t.Errorf("dev in shop: %v", err)
	}
	if _, err := dev.CoreV1().Pods("monitoring").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("dev in monitoring: %v, want forbidden", err)
	}
	if _, err := goClient(t, "stranger").CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("the stranger: %v, want unauthorized", err)
	}
}
