package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"

	"golang.org/x/oauth2"
	"k8s.io/client-go/kubernetes"

	"github.com/ekskey/ekskey/kubeclient"
	"github.com/ekskey/ekskey/token"
)

// What docs/client-go.md shows and no program does.

func open(ctx context.Context) (*kubernetes.Clientset, func(), error) {
	client, err := kubeclient.New(ctx, kubeclient.Config{Cluster: "demo", Region: "eu-central-1"})
	if err != nil {
		return nil, nil, err
	}
	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
	return clientset, client.Close, err
}

func tokens(ctx context.Context, base *http.Transport) (*http.Client, *http.Client, error) {
	source, err := token.New(token.Config{
		Cluster:     "demo",
		Region:      "eu-central-1",
		Credentials: token.StaticKeys(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
	if err != nil {
		return nil, nil, err
	}
	plain := &http.Client{Transport: source.RoundTripper(base)}
	byOAuth2 := &http.Client{Transport: &oauth2.Transport{Source: source.OAuth2(ctx), Base: base}}
	return plain, byOAuth2, nil
}

func why(err error) string {
	var (
		refused     *kubeclient.RoleRefusedError
		gone        *kubeclient.ClusterNotFoundError
		unreachable *kubeclient.UnreachableError
	)
	switch {
	case errors.As(err, &refused):
		return "AWS does not let us assume the role: " + refused.Code
	case errors.As(err, &gone):
		return "the cluster has been deleted"
	case errors.As(err, &unreachable) && unreachable.Cause == kubeclient.CauseDNS:
		return "look at the network: " + unreachable.Host + " has no address"
	}
	return err.Error()
}

func TestWhatTheDocumentShows(t *testing.T) {
	w := newWorld(t)
	for _, kv := range w.env {
		for i := range kv {
			if kv[i] == '=' {
				t.Setenv(kv[:i], kv[i+1:])
				break
			}
		}
	}
	clientset, closeAll, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if version, err := clientset.Discovery().ServerVersion(); err != nil || version.GitVersion != "v1.36.3" {
		t.Error(version, err)
	}
	closeAll()
	if _, err := clientset.Discovery().ServerVersion(); !errors.Is(err, kubeclient.ErrClosed) {
		t.Error(err)
	}
	base := w.k8s.HTTP.Client().Transport.(*http.Transport)
	base.TLSClientConfig.RootCAs = w.k8s.Pool
	plain, byOAuth2, err := tokens(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*http.Client{plain, byOAuth2} {
		res, err := c.Get("https://" + w.k8s.Address + "/version")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%d", res.StatusCode)
		}
	}
	_, err = kubeclient.New(t.Context(), kubeclient.Config{Cluster: "nowhere", Region: region})
	if got := why(fmt.Errorf("opening: %w", err)); got != "the cluster has been deleted" {
		t.Error(got)
	}
}
