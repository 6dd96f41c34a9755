//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/internal/rbac"
	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// kube is a client of the sandbox's API server as one of its identities.
func (b *box) kube(t *testing.T, name string) *kubeapi.Client {
	t.Helper()
	id := b.person(t, name)
	source, err := token.New(token.Config{Cluster: seed.Cluster, Region: seed.Region, Credentials: token.StaticKeys(id.AccessKeyID, id.SecretAccessKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := base64.StdEncoding.DecodeString(mustRun(t, b.env(t, name), kubectl, "--kubeconfig", b.Layout().AdminKubeconfig(), "config", "view", "--raw", "--output", "jsonpath={.clusters[0].cluster.certificate-authority-data}"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubeapi.New(kubeapi.Config{Server: b.Record().APIServer, CA: ca, Token: tok, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const roles = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: who-wide}
rules:
- {verbs: [get, list], apiGroups: ["", apps], resources: [pods, pods/log, deployments]}
- {verbs: ["*"], apiGroups: [batch], resources: ["*"]}
- {verbs: [get], apiGroups: [""], resources: [secrets], resourceNames: [one, two]}
- {verbs: [update, patch], apiGroups: ["*"], resources: ["*/status", "*/scale"]}
- {verbs: [get], nonResourceURLs: [/metrics, "/logs/*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: who-all}
rules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"]}, {verbs: ["*"], nonResourceURLs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: who-narrow, namespace: shop}
rules: [{verbs: [create, delete], apiGroups: [""], resources: [pods, pods/exec, configmaps]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: who-wide}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: wide}, {kind: User, apiGroup: rbac.authorization.k8s.io, name: walt}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: who-wide}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: who-all}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: root-like}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: who-all}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: who-narrow, namespace: shop}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: narrow}, {kind: ServiceAccount, name: bot, namespace: shop}, {kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts:shop"}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: who-narrow}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: who-wide-here, namespace: shop}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: narrow}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: who-wide}
`

// TestWhoCanAgreesWithTheAPIServer holds 2,000 random questions against
// SubjectAccessReviews.
func TestWhoCanAgreesWithTheAPIServer(t *testing.T) {
	b := own(t, stack.Config{})
	admin := append(b.env(t, "admin"), "KUBECONFIG="+b.Layout().AdminKubeconfig())
	apply(t, admin, roles)
	kube := b.kube(t, "admin")
	policy, err := kube.RBAC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const seedOf = 14
	dice := rand.New(rand.NewPCG(seedOf, 2000)) // #nosec G404 -- a test's dice
	pick := func(words ...string) string { return words[dice.IntN(len(words))] }
	question := func() (kubeapi.Subject, rbac.Request) {
		s := kubeapi.Subject{User: pick("walt", "dev", "admin", "nobody", "root-like", "system:serviceaccount:shop:bot", "system:serviceaccount:shop:other", "system:kube-controller-manager")}
		for range dice.IntN(3) {
			s.Groups = append(s.Groups, pick("wide", "narrow", "developers", "viewers", "platform-admins", "system:masters", "system:serviceaccounts:shop", "x"))
		}
		s.Groups = append(s.Groups, rbac.Authenticated)
		q := rbac.Request{Verb: pick("get", "list", "watch", "create", "update", "patch", "delete", "impersonate", "escalate", "*")}
		if dice.IntN(6) == 0 {
			q.Path = pick("/metrics", "/logs/a", "/logs/", "/logs", "/healthz", "/version", "/api", "/nope", "/openapi/v2")
			return s, q
		}
		q.Group, q.Resource = pick("", "", "", "apps", "batch", "rbac.authorization.k8s.io", "*", "metrics.k8s.io"), pick("pods", "secrets", "deployments", "configmaps", "nodes", "jobs", "roles", "*", "selfsubjectreviews")
		if dice.IntN(3) == 0 {
			q.Subresource = pick("log", "status", "scale", "exec", "nope", "*")
		}
		if dice.IntN(2) == 0 {
			q.Name = pick("one", "two", "three")
		}
		q.Namespace = pick("", "shop", "shop", "kube-system", "nope")
		return s, q
	}
	type row struct {
		s kubeapi.Subject
		q rbac.Request
	}
	var rows []row
	for range 2000 {
		s, q := question()
		rows = append(rows, row{s, q})
	}
	var wrong, allowed int
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan row)
	for range 8 {
		work.Go(func() {
			for r := range next {
				want, err := kube.Can(context.Background(), r.s, r.q)
				why, got := policy.Allows(r.s.User, r.s.Groups, r.q)
				mu.Lock()
				if want.Allowed {
					allowed++
				}
				if err != nil || got != want.Allowed {
					if wrong++; wrong < 20 {
						t.Errorf("%+v %s: %v (%s), the API server says %v (%s), %v", r.s, r.q, got, why, want.Allowed, want.Reason, err)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, r := range rows {
		next <- r
	}
	close(next)
	work.Wait()
	t.Logf("%d questions, %d allowed, %d answers differ", len(rows), allowed, wrong)
	if allowed < len(rows)/10 || allowed > len(rows)*9/10 {
		t.Errorf("the questions are not varied: %d of %d are allowed", allowed, len(rows))
	}
}

// TestManyGrantsOnOneAWSAuth grants to 20 roles at once, beside another program that writes
// by compare-and-swap.
func TestManyGrantsOnOneAWSAuth(t *testing.T) {
	const grants = 20
	b := own(t, stack.Config{})
	for i := range grants {
		if _, err := b.AWS().AddRole(fakeaws.Role{Account: seed.Account, Name: fmt.Sprint("many-", i)}); err != nil {
			t.Fatal(err)
		}
	}
	admin := append(b.env(t, "admin"), "KUBECONFIG="+b.Layout().AdminKubeconfig())
	read := func() map[string]string {
		var m struct{ Data map[string]string }
		if err := json.Unmarshal([]byte(mustRun(t, admin, kubectl, "get", "configmap", "--namespace", "kube-system", "aws-auth", "--output", "json")), &m); err != nil {
			t.Fatal(err)
		}
		return m.Data
	}
	before := read()
	var work sync.WaitGroup
	for i := range grants {
		work.Go(func() {
			env := b.env(t, "admin")
			o := command(t, env, client(t), "access", "grant", "--cluster", seed.Cluster, "--region", seed.Region, "--principal", fmt.Sprintf("arn:aws:iam::%s:role/many-%d", seed.Account, i),
				"--groups", "viewers", "--to", "aws-auth", "--yes")
			if o.code != 0 {
				t.Errorf("%d: %d %s", i, o.code, o.stderr)
			}
		})
	}
	const others = 30
	work.Go(func() {
		for i := range others {
			mustRun(t, admin, kubectl, "annotate", "--overwrite", "configmap", "--namespace", "kube-system", "aws-auth", fmt.Sprint("e2e/note=", i))
		}
	})
	work.Wait()
	after := read()
	for i := range grants {
		if n := strings.Count(after["mapRoles"], fmt.Sprintf("role/many-%d\n", i)); n != 1 {
			t.Errorf("role %d is there %d times", i, n)
		}
	}
	if !strings.HasPrefix(after["mapRoles"], before["mapRoles"]) || after["mapUsers"] != before["mapUsers"] || len(after) != len(before) {
		t.Errorf("something else changed:\n%v\n%v", before, after)
	}
	// One of them gets in, and out again.
	if o := command(t, b.env(t, "admin"), client(t), "access", "list", "--cluster", seed.Cluster, "--principal", "many-7"); o.code != 0 || !strings.Contains(o.stdout, "role/many-7") {
		t.Errorf("%d %s %s", o.code, o.stdout, o.stderr)
	}
}

// apply gives manifests to the API server.
func apply(t *testing.T, env []string, manifests string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifests.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, env, kubectl, "apply", "--filename", file)
}

// TestAccessEntriesLetIn has ekskey-server follow the access entries of the embedded EKS, and
// kube-apiserver ask it about access policies: nobody here has an RBAC binding.
func TestAccessEntriesLetIn(t *testing.T) {
	b := own(t, stack.Config{WebhookTTL: -1})
	creator, stranger := b.env(t, "creator"), b.env(t, "stranger")
	b.update(t, creator, "demo")
	b.update(t, stranger, "demo")
	// The creator's access entry is there, and takes RBAC's place.
	waitFor(t, "the creator's access entry", func() bool { return command(t, creator, kubectl, "get", "nodes").code == 0 })
	const arn = "arn:aws:iam::" + seed.Account + ":user/stranger"
	if o := command(t, stranger, kubectl, "get", "pods", "--namespace", "shop"); o.code == 0 || !strings.Contains(o.stderr, "logged in") {
		t.Errorf("before: %d %s", o.code, o.stderr)
	}
	mustRun(t, creator, client(t), "access", "grant", "--cluster", seed.Cluster, "--principal", arn, "--policy", "AmazonEKSViewPolicy", "--namespace", "sh*", "--yes")
	waitFor(t, "the grant", func() bool { return command(t, stranger, kubectl, "get", "pods", "--namespace", "shop").code == 0 })
	has(t, mustRun(t, stranger, kubectl, "auth", "whoami"), arn, "ekskey:access-entry")
	for _, args := range [][]string{
		{"get", "pods", "--namespace", "kube-system"}, {"get", "pods", "--all-namespaces"}, {"get", "nodes"}, {"get", "--raw", "/metrics"},
		{"delete", "pods", "--all", "--namespace", "shop"}, {"get", "secrets", "--namespace", "shop"},
	} {
		if o := command(t, stranger, kubectl, args...); o.code == 0 || !strings.Contains(o.stderr, "forbidden") {
			t.Errorf("%v: %d %s", args, o.code, o.stderr)
		}
	}
	// can-i asks about one thing and knows; the list has RBAC's rules alone.
	has(t, mustRun(t, stranger, kubectl, "auth", "can-i", "get", "pods", "--namespace", "shop"), "yes")
	if out := mustRun(t, stranger, kubectl, "auth", "can-i", "--list", "--namespace", "shop"); strings.Contains(out, "pods") {
		t.Errorf("the list shows what a policy gives:\n%s", out)
	}
	// Who impersonates the user, and all its groups, does not get its policies.
	for _, args := range [][]string{{"--as", arn}, {"--as", arn, "--as-group", "ekskey:access-entry"}, {"--as", arn, "--as-group", "ekskey:access-entry", "--as-uid", "aws-iam-authenticator:" + seed.Account + ":AIDA"}} {
		if o := command(t, append(creator, "KUBECONFIG="+b.Layout().AdminKubeconfig()), kubectl, append(args, "get", "pods", "--namespace", "shop")...); o.code == 0 || !strings.Contains(o.stderr, "forbidden") {
			t.Errorf("%v: %d %s", args, o.code, o.stderr)
		}
	}
	// A policy whose rules are not published gives nothing here.
	mustRun(t, creator, client(t), "access", "grant", "--cluster", seed.Cluster, "--principal", arn, "--policy", "AmazonEKSArgoCDPolicy", "--yes")
	if o := command(t, stranger, kubectl, "get", "applications.argoproj.io"); o.code == 0 {
		t.Error(o.stdout)
	}
	// aws-auth counts for others.
	b.update(t, b.env(t, "dev"), "demo")
	mustRun(t, creator, client(t), "access", "revoke", "--cluster", seed.Cluster, "--principal", arn, "--yes")
	waitFor(t, "the revocation", func() bool {
		return strings.Contains(command(t, stranger, kubectl, "get", "pods", "--namespace", "shop").stderr, "logged in")
	})
	// Nobody revokes what they came by.
	if o := command(t, creator, client(t), "access", "revoke", "--cluster", seed.Cluster, "--principal", seed.CreatorARN, "--yes"); o.code != 4 {
		t.Errorf("the creator revokes its own access: %d %s", o.code, o.stderr)
	}
}

// TestAggregatedRoles has the controller make a ClusterRole part of view, and take it out.
func TestAggregatedRoles(t *testing.T) {
	env := append(shared.env(t, "admin"), "KUBECONFIG="+shared.Layout().AdminKubeconfig())
	const manifest = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: e2e-widgets-view
  labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}
rules: [{verbs: [get, list], apiGroups: [e2e.example], resources: [widgets]}]
`
	may := func() bool {
		t.Helper()
		sar, err := shared.admin.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
			User: "somebody", Groups: []string{"viewers"},
			ResourceAttributes: &authzv1.ResourceAttributes{Verb: "list", Group: "e2e.example", Resource: "widgets"},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return sar.Status.Allowed
	}
	if may() {
		t.Fatal("viewers may list widgets already")
	}
	apply(t, env, manifest)
	waitFor(t, "the role to become part of view", may)
	// view is part of edit, and that of admin.
	for _, role := range []string{"view", "edit", "admin"} {
		waitFor(t, role, func() bool {
			return strings.Contains(mustRun(t, env, kubectl, "get", "clusterrole", role, "--output", "json"), "e2e.example")
		})
	}
	mustRun(t, env, kubectl, "delete", "clusterrole", "e2e-widgets-view")
	waitFor(t, "the role to leave view", func() bool { return !may() })
}

// TestAWSCommandMakesAnAccessEntry is in force within the poll interval and the ten seconds
// that kube-apiserver keeps an answer, with RBAC by a group and with a policy; and so is its end.
func TestAWSCommandMakesAnAccessEntry(t *testing.T) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	b := own(t, stack.Config{WebhookTTL: -1})
	creator, stranger := b.env(t, "creator"), b.env(t, "stranger")
	if o := command(t, creator, aws, "--version"); o.code != 0 {
		t.Skipf("the aws command does not run: %s", o.stderr)
	}
	b.update(t, stranger, "demo")
	const arn = "arn:aws:iam::" + seed.Account + ":user/stranger"
	of := []string{"--cluster-name", seed.Cluster, "--principal-arn", arn}
	pods := func(namespace string) outcome {
		return command(t, stranger, kubectl, "get", "pods", "--namespace", namespace)
	}
	begin := time.Now()
	mustRun(t, creator, aws, append([]string{"eks", "create-access-entry", "--kubernetes-groups", "developers"}, of...)...)
	waitFor(t, "the entry", func() bool { return pods("shop").code == 0 })
	t.Logf("the entry was in force after %s", time.Since(begin).Round(100*time.Millisecond))
	if o := pods("kube-system"); o.code == 0 || !strings.Contains(o.stderr, "forbidden") {
		t.Errorf("beyond the group: %+v", o)
	}
	mustRun(t, creator, aws, append([]string{"eks", "associate-access-policy", "--policy-arn", "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		"--access-scope", "type=namespace,namespaces=kube-system"}, of...)...)
	waitFor(t, "the policy", func() bool { return pods("kube-system").code == 0 })
	mustRun(t, creator, aws, append([]string{"eks", "delete-access-entry"}, of...)...)
	waitFor(t, "the entry's end", func() bool { return strings.Contains(pods("shop").stderr, "logged in") })
}
