//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/authorizer"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// authorizerServer is the authorizer with access entries that a test chooses. It
// counts who was asked about.
type authorizerServer struct {
	*httptest.Server
	handler http.Handler

	mu      sync.Mutex
	entries map[string]authorizer.Entry // by canonical ARN
	down    bool
	asked   map[string]int // by username
}

func (a *authorizerServer) Entry(_ context.Context, id identity.Identity) (authorizer.Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return authorizer.Entry{}, fmt.Errorf("not synced")
	}
	if e, ok := a.entries[id.CanonicalARN]; ok {
		return e, nil
	}
	return authorizer.Entry{}, authorizer.ErrNoEntry
}

func (a *authorizerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sar authzv1.SubjectAccessReview
	if err == nil {
		err = json.Unmarshal(body, &sar)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.asked[sar.Spec.User]++
	a.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.handler.ServeHTTP(w, r)
}

func (a *authorizerServer) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *authorizerServer) count(user string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[user]
}

func newAuthorizer(t *testing.T) *authorizerServer {
	t.Helper()
	a := &authorizerServer{entries: map[string]authorizer.Entry{}, asked: map[string]int{}}
	a.handler = authorizer.New(authorizer.Config{Entries: a})
	mux := http.NewServeMux()
	mux.Handle(authorizer.Path, a)
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

// kubeconfig is what kube-apiserver reads.
func (a *authorizerServer) kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authorizer.kubeconfig")
	conf := clientcmdapi.NewConfig()
	conf.Clusters["authorizer"] = &clientcmdapi.Cluster{
		Server:                   a.URL + authorizer.Path,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}),
	}
	conf.AuthInfos["kube-apiserver"] = &clientcmdapi.AuthInfo{}
	conf.Contexts["authorizer"] = &clientcmdapi.Context{Cluster: "authorizer", AuthInfo: "kube-apiserver"}
	conf.CurrentContext = "authorizer"
	if err := clientcmd.WriteToFile(*conf, path); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	memberARN = "arn:aws:iam::" + seed.Account + ":user/stranger"
	podsPath  = "/api/v1/namespaces/shop/pods"
)

// TestAccessPolicies has a real kube-apiserver ask the authorizer, by the very
// AuthorizationConfiguration that is generated. A user whom aws-auth gives no more
// than a name stands for one whom an access entry maps.
func TestAccessPolicies(t *testing.T) {
	a := newAuthorizer(t)
	b := own(t, stack.Config{WebhookTTL: -1, AuthorizerKubeconfig: a.kubeconfig(t)})
	memberID := ""
	// aws-auth gives these groups; the entry does too, where a test says so.
	mapped := func(username string, groups ...string) {
		t.Helper()
		maps := b.admin.CoreV1().ConfigMaps("kube-system")
		cm, err := maps.Get(t.Context(), "aws-auth", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		cm.Data["mapUsers"] = seed.AWSAuth()["mapUsers"] + "- userarn: " + memberARN + "\n  username: " + username +
			"\n  groups: [" + strings.Join(groups, ", ") + "]\n"
		if _, err := maps.Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "aws-auth to be followed", func() bool {
			self, err := b.as(t, "stranger").AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				return false
			}
			user := self.Status.UserInfo
			memberID = user.Extra["principalId"][0]
			return user.Username == username && slices.Equal(user.Groups, append(groups, "system:authenticated"))
		})
	}
	entry := func(change func(*authorizer.Entry), associations ...accesspolicy.Association) {
		t.Helper()
		set, errs := accesspolicy.NewSet("aws", associations)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		e := authorizer.Entry{PrincipalARN: memberARN, PrincipalID: memberID, Username: "member", Policies: set}
		if change != nil {
			change(&e)
		}
		a.set(func() { a.entries[memberARN] = e })
	}
	view := accesspolicy.Association{
		PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		Scope:     accesspolicy.Scope{Type: accesspolicy.ScopeNamespace, Namespaces: []string{"sh*"}},
	}
	admin := accesspolicy.Association{
		PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", Scope: accesspolicy.Scope{Type: accesspolicy.ScopeCluster},
	}
	member := func(method, path string, header ...string) int {
		return b.request(t, "stranger", method, path, header...)
	}
	// Each answer that is not yes is cached for ten seconds, by the user's name,
	// groups, extras and question.
	eventually := func(what string, want int, try func() int) {
		t.Helper()
		waitFor(t, what, func() bool { return try() == want })
	}

	mapped("member")
	if code := member("GET", podsPath); code != http.StatusForbidden {
		t.Fatalf("without an entry: %d", code)
	}
	if a.count("member") == 0 {
		t.Fatal("kube-apiserver does not ask the authorizer")
	}

	t.Run("a policy with a scope", func(t *testing.T) {
		entry(nil, view)
		eventually("the policy", http.StatusOK, func() int { return member("GET", podsPath) })
		for path, want := range map[string]int{
			"/api/v1/namespaces/shop":                         http.StatusOK, // RBAC's Role lets one see its own namespace too
			"/apis/apps/v1/namespaces/shop/deployments":       http.StatusOK,
			"/api/v1/namespaces/default/pods":                 http.StatusForbidden,
			"/api/v1/pods":                                    http.StatusForbidden,
			"/api/v1/namespaces":                              http.StatusForbidden,
			"/api/v1/nodes":                                   http.StatusForbidden,
			"/api/v1/namespaces/shop/secrets":                 http.StatusForbidden,
			"/metrics":                                        http.StatusForbidden,
			"/apis/rbac.authorization.k8s.io/v1/clusterroles": http.StatusForbidden,
		} {
			if code := member("GET", path); code != want {
				t.Errorf("GET %s: %d, want %d", path, code, want)
			}
		}
		if code := member("DELETE", podsPath+"/none"); code != http.StatusForbidden {
			t.Errorf("DELETE: %d", code)
		}
	})

	t.Run("can-i knows it, and its list does not", func(t *testing.T) {
		client := b.as(t, "stranger")
		self, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authzv1.SelfSubjectAccessReview{
			Spec: authzv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authzv1.ResourceAttributes{Namespace: "shop", Verb: "list", Resource: "pods"}},
		}, metav1.CreateOptions{})
		if err != nil || !self.Status.Allowed || self.Status.Denied ||
			self.Status.Reason != "EKS Access Policy: allowed by AmazonEKSViewPolicy, scope namespace sh*, rule 8, of access entry "+memberARN {
			t.Errorf("%v %+v", err, self.Status)
		}
		rules, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authzv1.SelfSubjectRulesReview{
			Spec: authzv1.SelfSubjectRulesReviewSpec{Namespace: "shop"},
		}, metav1.CreateOptions{})
		if err != nil || !rules.Status.Incomplete || strings.Contains(fmt.Sprint(rules.Status.ResourceRules), "pods") {
			t.Errorf("%v %+v", err, rules.Status)
		}
	})

	t.Run("impersonation drops it", func(t *testing.T) {
		entry(nil, admin)
		eventually("the policy", http.StatusOK, func() int { return member("GET", "/api/v1/nodes") })
		extras := func(arn, id string) []string {
			return []string{
				"Impersonate-User", "member", "Impersonate-Uid", "aws-iam-authenticator:" + seed.Account + ":" + memberID,
				"Impersonate-Extra-" + arn, memberARN, "Impersonate-Extra-" + id, memberID,
			}
		}
		b.mayImpersonate(t, "dev", "users", "uids", "userextras/canonicalarn", "userextras/principalid")
		for name, header := range map[string][]string{
			"the name alone": {"Impersonate-User", "member"},
			"name and uid":   extras("canonicalArn", "principalId")[:4],
			"and extras":     extras("canonicalArn", "principalId"),
			"and capitals, escaped, which is another permission": extras("canonical%41rn", "principal%49d"),
		} {
			if code := b.request(t, "dev", "GET", "/api/v1/nodes", header...); code != http.StatusForbidden {
				t.Errorf("dev with %s: %d", name, code)
			}
		}
		// Who may do all, of the entry itself: not as somebody else.
		if code := member("GET", "/api/v1/nodes", "Impersonate-User", "nobody"); code != http.StatusForbidden {
			t.Errorf("member as nobody: %d", code)
		}

		// Every extra may be impersonated, but no group. Escaped capitals get through
		// kube-apiserver, and a group of the entry stops them.
		b.mayImpersonate(t, "dev", "users", "uids", "userextras/canonicalArn", "userextras/principalId")
		forged := extras("canonical%41rn", "principal%49d")
		eventually("the new role", http.StatusOK, func() int { return b.request(t, "dev", "GET", "/api/v1/nodes", forged...) })
		mapped("member", "access-entries")
		entry(func(e *authorizer.Entry) { e.Groups = []string{"access-entries"} }, admin)
		eventually("the entry's group", http.StatusForbidden, func() int { return b.request(t, "dev", "GET", "/api/v1/nodes", forged...) })
		eventually("the member's group", http.StatusOK, func() int { return member("GET", "/api/v1/nodes") })
		mapped("member")
	})

	t.Run("a certificate of that name", func(t *testing.T) {
		entry(nil, admin)
		eventually("the policy", http.StatusOK, func() int { return member("GET", "/api/v1/persistentvolumes") })
		before := a.count("member")
		cert, err := b.Certificate("member", "access-entries")
		if err != nil {
			t.Fatal(err)
		}
		client, err := b.Client()
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = append(client.Transport.(*http.Transport).TLSClientConfig.Certificates, cert)
		resp, err := client.Get(b.Record().APIServer + "/api/v1/persistentvolumes")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%d", resp.StatusCode)
		}
		if got := a.count("member"); got != before {
			t.Errorf("the authorizer was asked about a certificate: %d, then %d", before, got)
		}
	})

	t.Run("an aws-auth twin, and another unique id", func(t *testing.T) {
		entry(func(e *authorizer.Entry) { e.Username = "member-by-entry" }, admin)
		eventually("the entry's name", http.StatusForbidden, func() int { return member("GET", "/api/v1/nodes") })
		entry(func(e *authorizer.Entry) { e.PrincipalID = "AIDAEXAMPLEEXAMPLE9ZZ" }, admin)
		if code := member("GET", "/apis/storage.k8s.io/v1/storageclasses"); code != http.StatusForbidden {
			t.Errorf("another unique id: %d", code)
		}
	})

	// kube-apiserver answers 500 where an authorizer failed and no other allows it.
	t.Run("an outage costs nobody else anything", func(t *testing.T) {
		entry(nil, admin)
		eventually("the policy", http.StatusOK, func() int { return member("GET", "/api/v1/nodes") })
		a.set(func() { a.down = true })
		begin := time.Now()
		if code := member("GET", "/api/v1/namespaces/shop/serviceaccounts"); code != http.StatusInternalServerError {
			t.Errorf("member: %d", code)
		}
		t.Logf("a request during an outage took %s", time.Since(begin).Round(time.Millisecond))
		if code := b.request(t, "admin", "GET", podsPath); code != http.StatusOK {
			t.Errorf("admin, by RBAC: %d", code)
		}
		a.set(func() { a.down = false })
		// An outage is not cached.
		if code := member("GET", "/api/v1/namespaces/shop/serviceaccounts"); code != http.StatusOK {
			t.Errorf("member, right after: %d", code)
		}
		a.Close()
		if code := member("GET", "/api/v1/namespaces/shop/endpoints"); code != http.StatusInternalServerError {
			t.Errorf("member, with nobody there: %d", code)
		}
		if code := b.request(t, "admin", "GET", podsPath); code != http.StatusOK {
			t.Errorf("admin, with nobody there: %d", code)
		}
	})
}

// as is a client with a token of this identity.
func (b *box) as(t *testing.T, identity string) *kubernetes.Clientset {
	t.Helper()
	conf, err := clientcmd.BuildConfigFromFlags("", b.Layout().AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	conf = rest.AnonymousClientConfig(conf)
	conf.BearerToken, conf.QPS = b.mint(t, identity, nil), -1
	client, err := kubernetes.NewForConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// request sends a request with a token of this identity and these headers, and
// gives the status.
func (b *box) request(t *testing.T, as, method, path string, header ...string) int {
	t.Helper()
	client, err := b.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, b.Record().APIServer+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.mint(t, as, nil))
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = []string{header[i+1]}
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// mayImpersonate makes the one ClusterRole, bound to a user, that lets it
// impersonate these.
func (b *box) mayImpersonate(t *testing.T, user string, resources ...string) {
	t.Helper()
	const name = "e2e-impersonator"
	roles, bindings := b.admin.RbacV1().ClusterRoles(), b.admin.RbacV1().ClusterRoleBindings()
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"", "authentication.k8s.io"}, Resources: resources, Verbs: []string{"impersonate"}}}
	if role, err := roles.Get(t.Context(), name, metav1.GetOptions{}); err == nil {
		role.Rules = rules
		if _, err := roles.Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	meta := metav1.ObjectMeta{Name: name}
	if _, err := roles.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := bindings.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
