//go:build e2e && !windows

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/kubeclient"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// lambdaMemory is what the function may need at the most, in MiB.
const lambdaMemory = 64

const clusterVar, regionVar = "CLUSTER=" + seed.Cluster, "CLUSTER_REGION=" + seed.Region

// TestLambda answers with a cold and a warm function.
func TestLambda(t *testing.T) {
	program := buildLambda(t)
	b := shared
	list, err := b.admin.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods, one := len(list.Items), list.Items[0]
	ca := base64.StdEncoding.EncodeToString(clusterCA(t, b))
	for _, c := range []struct {
		name              string
		env               []string
		described, assume int // calls, for all invocations
	}{
		{"as itself", nil, 1, 0},
		{"as a role", []string{"ROLE_ARN=arn:aws:iam::" + seed.Account + ":role/platform"}, 1, 1},
		{"told where the cluster is", []string{"CLUSTER_ENDPOINT=" + b.Record().APIServer, "CLUSTER_CA=" + ca}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := b.AWS().Counts()
			f := startLambda(t, program, b.env(t, "admin"), append(c.env, clusterVar, regionVar)...)
			first := f.counts(t, pods)
			t.Logf("first answer %.0f ms after the process started", milliseconds(first.at.Sub(f.started)))
			for range 3 {
				asked := time.Now()
				t.Logf("warm: %.1f ms", milliseconds(f.counts(t, pods).at.Sub(asked)))
			}
			t.Logf("VmHWM %.1f MiB", f.peak(t))
			if f.peak(t) > lambdaMemory {
				t.Errorf("VmHWM is %.1f MiB, and may be %d", f.peak(t), lambdaMemory)
			}
			lines := fmt.Sprintf("There are %d pods in the cluster\nPod example-xxxxx in namespace default not found\n", pods)
			// It comes through a pipe, and may be behind the answer.
			waitFor(t, "the whole log", func() bool { return len(f.log.String()) >= 4*len(lines) })
			if got := f.log.String(); got != strings.Repeat(lines, 4) {
				t.Errorf("the log:\n%s", got)
			}
			after := b.AWS().Counts()
			if n := after[fakeaws.DescribeCluster] - before[fakeaws.DescribeCluster]; n != c.described {
				t.Errorf("DescribeCluster was called %d times", n)
			}
			if n := after[fakeaws.AssumeRole] - before[fakeaws.AssumeRole]; n != c.assume {
				t.Errorf("AssumeRole was called %d times", n)
			}
		})
	}
	t.Run("a pod that is there", func(t *testing.T) {
		f := startLambda(t, program, b.env(t, "admin"), clusterVar, "POD="+one.Name, "POD_NAMESPACE="+one.Namespace)
		r := f.invoke(t)
		has(t, r.body, fmt.Sprintf(`{"name":%q,"namespace":%q,"found":true}`, one.Name, one.Namespace))
		f.logs(t, fmt.Sprintf("Pod %s in namespace %s found\n", one.Name, one.Namespace))
	})
	t.Run("wrong settings", func(t *testing.T) {
		f := startLambda(t, program, b.env(t, "admin"), "CLUSTER=", regionVar)
		for range 2 { // and it does not end
			f.fails(t, "Setting", "CLUSTER is empty")
		}
		f = startLambda(t, program, b.env(t, "admin"), "CLUSTER=nowhere", regionVar)
		f.fails(t, "ClusterNotFound", "there is no cluster nowhere in "+seed.Region)
	})
}

// clusterCA is the cluster's CA as EKS gives it.
func clusterCA(t *testing.T, b *box) []byte {
	t.Helper()
	b.setenv(t, "admin")
	client, err := kubeclient.New(t.Context(), kubeclient.Config{Cluster: seed.Cluster, Region: seed.Region})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.RESTConfig().CAData
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// TestLambdaRefused has one function refused by AWS, by the cluster, and by RBAC,
// one after the other. What is put right counts from the next invocation on.
func TestLambdaRefused(t *testing.T) {
	program := buildLambda(t)
	b := own(t, stack.Config{WebhookTTL: -1, TokenMaxAge: 5 * time.Second})
	const role = "arn:aws:iam::" + seed.Account + ":role/pod-counter"
	f := startLambda(t, program, b.env(t, "admin"), clusterVar, regionVar, "ROLE_ARN="+role)
	for range 3 {
		f.fails(t, "RoleRefused", "assuming role "+role+": AccessDenied: ")
	}
	f.logs(t, "Not ready yet: opening the cluster: assuming role "+role)

	again := func(text string) func() bool {
		return func() bool {
			time.Sleep(time.Second) // each attempt is a line in the log
			return strings.Contains(f.invoke(t).body, text)
		}
	}
	add := func() {
		if _, err := b.AWS().AddRole(fakeaws.Role{Account: seed.Account, Name: "pod-counter"}); err != nil {
			t.Fatal(err)
		}
	}
	add()
	f.fails(t, "Unauthorized", "no access entry")

	maps := b.admin.CoreV1().ConfigMaps("kube-system")
	auth, err := maps.Get(t.Context(), "aws-auth", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auth.Data["mapRoles"] += "- rolearn: " + role + "\n  username: pod-counter\n  groups: [pod-counters]\n"
	if _, err = maps.Update(t.Context(), auth, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the role to be known", again("Forbidden"))
	f.fails(t, "Forbidden", `User "pod-counter" cannot list resource "pods"`, "needs a ClusterRole")

	// The manifest that belongs to the template is enough.
	mustRun(t, b.env(t, "admin"), kubectl, "--kubeconfig", b.Layout().AdminKubeconfig(), "apply",
		"-f", filepath.Join(maker.Source, "..", "examples", "lambda", "rbac.yaml"))
	waitFor(t, "the group to be allowed", again(`{"pods":`))
	f.counts(t, seed.Pods)

	// The role is taken away from a function that runs, and given back.
	if err := b.AWS().RemovePrincipal(role); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the last token's end", again("RoleRefused"))
	for range 3 {
		f.fails(t, "RoleRefused", "assuming role "+role)
	}
	add()
	f.counts(t, seed.Pods)
}

// sessions is a container's credentials endpoint, with sessions that end soon.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
type sessions struct {
	t    *testing.T
	b    *box
	life time.Duration
	mu   sync.Mutex
	ends map[string]time.Time // by key
}

func (s *sessions) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	end := time.Now().Add(s.life).Truncate(time.Second)
	key, err := s.b.AWS().AddSession(fakeaws.Session{
		RoleARN: "arn:aws:iam::" + seed.Account + ":role/platform", Name: "pod-counter", Expires: end,
	})
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[key.AccessKeyID] = end
	_ = json.NewEncoder(w).Encode(map[string]string{
		"AccessKeyId": key.AccessKeyID, "SecretAccessKey": key.SecretAccessKey, "Token": key.SessionToken,
		// The SDK calls these credentials ended when they have five minutes left.
		"Expiration": end.Add(5 * time.Minute).UTC().Format(time.RFC3339),
	})
}

// TestLambdaOverExpiries lets tokens and credentials end, while the function runs
// and while it is frozen.
func TestLambdaOverExpiries(t *testing.T) {
	const maxAge = 6 * time.Second
	program := buildLambda(t)
	b := own(t, stack.Config{TokenMaxAge: maxAge, WebhookTTL: -1})
	const role = "ROLE_ARN=arn:aws:iam::" + seed.Account + ":role/platform"
	knows := "TOKEN_MAX_AGE=" + maxAge.String()
	short := &sessions{t: t, b: b, life: 10 * time.Second, ends: map[string]time.Time{}}
	endpoint := httptest.NewServer(short)
	t.Cleanup(endpoint.Close)
	admin := b.env(t, "admin")
	container := append(without(without(admin, "AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY"), "AWS_CONTAINER_CREDENTIALS_FULL_URI="+endpoint.URL)

	for _, c := range []struct {
		name   string
		env    []string
		more   []string
		frozen bool
		// Whether a token may be refused, which no caller ever sees.
		refused bool
		change  func(t *testing.T, last sight) // before the second invocation
	}{
		{"the token", admin, []string{knows, role}, false, false, nil},
		{"the token, frozen", admin, []string{knows, role}, true, false, nil},
		{"a token that the cluster takes for less long than it says", admin, []string{role}, false, true, nil},
		{"the same, frozen", admin, []string{role}, true, true, nil},
		{"the credentials", container, []string{knows}, false, false, nil},
		{"the credentials, frozen", container, []string{knows}, true, false, nil},
		{"the role's session, ended by AWS", admin, []string{knows, role}, true, true, func(t *testing.T, last sight) {
			if err := b.AWS().ExpireSession(last.token.AccessKeyID); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			w := newWitness(t, b)
			f := startLambda(t, program, c.env, append(c.more, clusterVar, regionVar,
				"CLUSTER_ENDPOINT=https://"+w.Address, "CLUSTER_CA="+base64.StdEncoding.EncodeToString(w.CA))...)
			f.counts(t, seed.Pods)
			first := w.take()
			if c.change != nil {
				c.change(t, first[len(first)-1])
			}
			wait := short.life + time.Second
			thawed := time.Now()
			if c.frozen {
				thawed = f.freeze(t, wait)
			} else {
				time.Sleep(wait)
			}
			f.counts(t, seed.Pods)
			then := w.take()
			if len(first) == 0 || len(then) == 0 {
				t.Fatalf("%d and %d requests", len(first), len(then))
			}
			keys := map[string]bool{}
			for i, s := range append(first, then...) {
				// Two seconds more, for the way of a token that was good when it was taken.
				if age := s.at.Sub(s.token.SignedAt); age > maxAge+2*time.Second && !c.refused {
					t.Errorf("request %d was sent with a token %v old", i, age)
				}
				keys[s.token.AccessKeyID] = true
				short.mu.Lock()
				if end, ok := short.ends[s.token.AccessKeyID]; ok && s.at.After(end) {
					t.Errorf("request %d was signed by credentials that ended %v before", i, s.at.Sub(end))
				}
				short.mu.Unlock()
			}
			if c.frozen && !c.refused && then[0].token.SignedAt.Before(thawed.Truncate(time.Second)) {
				t.Errorf("the first token after the thaw was signed %v before it", thawed.Sub(then[0].token.SignedAt))
			}
			last := then[len(then)-1]
			if last.status == http.StatusUnauthorized || last.token.SignedAt.Equal(first[0].token.SignedAt) {
				t.Errorf("the last request: %d, signed at %v", last.status, last.token.SignedAt)
			}
			t.Logf("%d requests with tokens of %d keys", len(first)+len(then), len(keys))
			if strings.HasPrefix(c.name, "the credentials") && len(keys) < 2 {
				t.Errorf("all tokens are of one session")
			}
		})
	}
}
