//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// TestTokenReview has kube-apiserver ask the webhook in both versions. The
// second sandbox is strict too: it takes no token for the embedded AWS's own
// address.
func TestTokenReview(t *testing.T) {
	t.Run("v1", func(t *testing.T) { review(t, shared, true) })
	t.Run("v1beta1", func(t *testing.T) {
		review(t, own(t, stack.Config{WebhookVersion: "v1beta1", Strict: true}), false)
	})
}

func review(t *testing.T, b *box, overrideAccepted bool) {
	ask := func(tok string) authenticationv1.TokenReviewStatus {
		t.Helper()
		r, err := b.admin.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: tok},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	if got := ask(b.mint(t, "admin", nil)); !got.Authenticated || got.User.Username != "admin" {
		t.Errorf("a good token: %+v", got)
	}
	for name, tok := range map[string]string{
		"expired":  b.mint(t, "admin", at(-16*time.Minute)),
		"foreign":  b.mint(t, "admin", func(c *token.Config) { c.Cluster = "staging" }),
		"tampered": tamper(t, b.mint(t, "admin", nil)),
		"unmapped": b.mint(t, "stranger", nil),
	} {
		if got := ask(tok); got.Authenticated || got.User.Username != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	override := b.mint(t, "admin", func(c *token.Config) {
		c.Endpoint.Host, c.Endpoint.Region = b.Record().AWS[len("https://"):], b.Record().Region
	})
	if got := ask(override); got.Authenticated != overrideAccepted {
		t.Errorf("a token for the embedded AWS's own address: %+v, want accepted %v", got, overrideAccepted)
	}
}

// TestWebhookEchoesTheVersion asks the webhook itself, as kube-apiserver does.
func TestWebhookEchoesTheVersion(t *testing.T) {
	conf, err := clientcmd.LoadFromFile(shared.Layout().Path("server", "webhook.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	cluster := conf.Clusters[conf.Contexts[conf.CurrentContext].Cluster]
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cluster.CertificateAuthorityData) {
		t.Fatal("the webhook's kubeconfig has no certificate authority")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	for _, version := range []string{"v1", "v1beta1"} {
		t.Run(version, func(t *testing.T) {
			type review struct {
				metav1.TypeMeta `json:",inline"`
				Spec            authenticationv1.TokenReviewSpec   `json:"spec"`
				Status          authenticationv1.TokenReviewStatus `json:"status"`
			}
			body, err := json.Marshal(review{
				TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/" + version, Kind: "TokenReview"},
				Spec:     authenticationv1.TokenReviewSpec{Token: shared.mint(t, "admin", nil)},
			})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Post(cluster.Server, "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var got review
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			if got.APIVersion != "authentication.k8s.io/"+version || got.Kind != "TokenReview" {
				t.Errorf("asked in %s, answered as %s %s", version, got.APIVersion, got.Kind)
			}
			if !got.Status.Authenticated || got.Status.User.Username != "admin" {
				t.Errorf("status %+v", got.Status)
			}
		})
	}
}

// TestAWSAuthIsFollowed edits the ConfigMap, as an administrator would.
func TestAWSAuthIsFollowed(t *testing.T) {
	maps := shared.admin.CoreV1().ConfigMaps("kube-system")
	before, err := maps.Get(t.Context(), "aws-auth", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(change func(*corev1.ConfigMap)) {
		t.Helper()
		now, err := maps.Get(t.Context(), "aws-auth", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(now)
		if _, err := maps.Update(t.Context(), now, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	restore := func() { set(func(cm *corev1.ConfigMap) { cm.Data = before.Data }) }
	stranger := func() int { return shared.status(t, shared.mint(t, "stranger", nil)) }

	if code := stranger(); code != http.StatusUnauthorized {
		t.Fatalf("the stranger got %d before", code)
	}
	set(func(cm *corev1.ConfigMap) {
		cm.Data["mapUsers"] += "- userarn: arn:aws:iam::111122223333:user/stranger\n  username: known-now\n  groups: [viewers]\n"
	})
	waitFor(t, "the stranger to be known", func() bool { return stranger() == http.StatusOK })
	restore()
	// kube-apiserver remembers a token that was good for two minutes: each try
	// has one of its own.
	age := time.Duration(0)
	waitFor(t, "the stranger to be unknown again", func() bool {
		age += time.Second
		return shared.status(t, shared.mint(t, "stranger", at(-age-time.Minute))) == http.StatusUnauthorized
	})
	if code := shared.status(t, shared.mint(t, "admin", at(-30*time.Second))); code != http.StatusOK {
		t.Errorf("after all that, admin got %d", code)
	}
}
