package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	cluster = "demo"
)

// world is an AWS with a cluster, whose API server answers as a test wants.
type world struct {
	aws *fakeaws.Server
	k8s *tlstest.Server
	key fakeaws.Key
	env map[string]string

	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []string // URLs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{aws: fakeaws.New(fakeaws.Config{})}
	w.k8s = tlstest.Serve(t, http.HandlerFunc(w.serve))
	server := tlstest.Serve(t, w.aws)
	home := t.TempDir()
	bundle := filepath.Join(home, "aws.pem")
	if err := os.WriteFile(bundle, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = w.aws.AddUser(fakeaws.User{Account: account, Name: "function"}); err != nil {
		t.Fatal(err)
	}
	err = w.aws.AddCluster(fakeaws.Cluster{
		Account: account, Region: region, Name: cluster, Endpoint: "https://" + w.k8s.Address,
		CAData: base64.StdEncoding.EncodeToString(w.k8s.CA),
	})
	if err != nil {
		t.Fatal(err)
	}
	// What the AWS SDK reads from the process's own environment.
	for name, value := range map[string]string{
		"HOME": home, "USERPROFILE": home, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": home + "/config", "AWS_SHARED_CREDENTIALS_FILE": home + "/credentials",
		"AWS_ENDPOINT_URL": "https://" + server.Address, "AWS_CA_BUNDLE": bundle,
		"AWS_ACCESS_KEY_ID": w.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": w.key.SecretAccessKey,
	} {
		t.Setenv(name, value)
	}
	w.env = map[string]string{
		"CLUSTER": cluster, "CLUSTER_REGION": region, "POD": "example-xxxxx", "POD_NAMESPACE": "default",
	}
	return w
}

func (w *world) getenv(name string) string { return w.env[name] }

// is sets what the API server answers to those who show a token.
func (w *world) is(answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// urls gives what was asked for since the last time.
func (w *world) urls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	if _, err := token.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
		fails(rw, http.StatusUnauthorized, "Unauthorized", "Unauthorized", "")
		return
	}
	w.mu.Lock()
	w.asked = append(w.asked, r.URL.RequestURI())
	answer := w.answer
	w.mu.Unlock()
	answer(rw, r)
}

// fails is an API server that says no.
func fails(rw http.ResponseWriter, code int, reason, message, next string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
		"metadata": map[string]string{"continue": next},
	})
}

// page is a page of pods, as metadata.
func page(rw http.ResponseWriter, pods int, next string) {
	rw.Header().Set("Content-Type", "application/json")
	items := make([]string, pods)
	for i := range items {
		items[i] = fmt.Sprintf(`{"metadata":{"name":"pod-%d","namespace":"default"}}`, i)
	}
	_, _ = fmt.Fprintf(rw, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"continue":%q},"items":[%s]}`,
		next, strings.Join(items, ","))
}

func missing(rw http.ResponseWriter) {
	fails(rw, http.StatusNotFound, "NotFound", `pods "example-xxxxx" not found`, "")
}
