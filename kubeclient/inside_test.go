package kubeclient

import (
	"errors"
	"testing"

	"k8s.io/client-go/rest"
)

// Within a pod, the service account is used where nothing else is named, and only
// there.
func TestInCluster(t *testing.T) {
	w := newWorld(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	var wrong *ConfigError
	if client, err := New(t.Context(), Config{}); client != nil || !errors.As(err, &wrong) || wrong.Field != "service account" {
		t.Errorf("no service account is mounted here: %v", err)
	}
	if client := w.open(w.config()); client.RESTConfig().Host != "https://"+w.k8s.Address {
		t.Errorf("the named cluster is not used, but %s", client.RESTConfig().Host)
	}
	static := w.config()
	static.Endpoint, static.CAData = "https://"+w.k8s.Address, w.k8s.CA
	if client := w.open(static); client.RESTConfig().Host != "https://"+w.k8s.Address {
		t.Errorf("the endpoint is not used, but %s", client.RESTConfig().Host)
	}

	inside := &Client{inside: &rest.Config{Host: "https://127.0.0.1:1", BearerTokenFile: "token"}}
	conf := inside.RESTConfig()
	if conf.Host != "https://127.0.0.1:1" || conf.BearerTokenFile != "token" || conf == inside.inside {
		t.Errorf("%v", conf)
	}
	if _, err := inside.Token(t.Context()); !errors.Is(err, ErrInCluster) {
		t.Errorf("%v", err)
	}
	inside.Close()
}
