//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// TestServerFollowsTheConfigMap runs ekskey-server, by aws-iam-authenticator's command line,
// with the aws-auth of a real API server that is edited, deleted and made again.
func TestServerFollowsTheConfigMap(t *testing.T) {
	b := own(t, stack.Config{})
	admin := append(b.env(t, "admin"), "KUBECONFIG="+b.Layout().AdminKubeconfig())
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("clusterID: %s\nserver: {healthAddress: none, sts: {dialAddress: %q, caFile: %s}}\n",
		seed.Cluster, strings.TrimPrefix(b.Record().AWS, "https://"), b.Layout().CABundle())), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(filepath.Dir(b.Record().Ekskey), "ekskey-server"), "server", "-c", config, "--state-dir", filepath.Join(dir, "state"), "--port", fmt.Sprint(port),
		"--backend-mode", "EKSConfigMap", "--kubeconfig", b.Layout().AdminKubeconfig(), "--generate-kubeconfig", filepath.Join(dir, "webhook.kubeconfig"))
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	var client *http.Client
	waitFor(t, "the server's certificate", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "state", "cert.pem"))
		pool := x509.NewCertPool()
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
		return err == nil && pool.AppendCertsFromPEM(text)
	})
	// user is whom the server takes a person for, or the status.
	user := func(name string) string {
		body, _ := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]string{"token": b.mint(t, name, nil)}})
		resp, err := client.Post(fmt.Sprintf("https://127.0.0.1:%d/authenticate", port), "application/json", bytes.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		var review struct {
			Status struct{ User struct{ Username string } }
		}
		if resp.StatusCode != http.StatusOK || json.Unmarshal(text, &review) != nil {
			return fmt.Sprint(resp.StatusCode)
		}
		return review.Status.User.Username
	}
	waitFor(t, "the ConfigMap", func() bool { return user("dev") == "dev" })
	if got := user("stranger"); got != "" {
		t.Errorf("a stranger is %s", got)
	}
	const stranger = `{"data":{"mapUsers":"- userarn: arn:aws:iam::111122223333:user/stranger\n  username: friend\n"}}`
	mustRun(t, admin, kubectl, "patch", "configmap", "--namespace", "kube-system", "aws-auth", "--type", "merge", "--patch", stranger)
	waitFor(t, "the edit", func() bool { return user("stranger") == "friend" && user("dev") == "" })
	mustRun(t, admin, kubectl, "delete", "configmap", "--namespace", "kube-system", "aws-auth")
	waitFor(t, "the deletion", func() bool { return user("stranger") == "" && user("admin") == "" })
	mustRun(t, admin, kubectl, "create", "configmap", "--namespace", "kube-system", "aws-auth", "--from-literal", "mapUsers=- {userarn: \"arn:aws:iam::111122223333:user/dev\", username: again}")
	waitFor(t, "the new ConfigMap", func() bool { return user("dev") == "again" })
	// A section that cannot be read locks nobody out who was in.
	mustRun(t, admin, kubectl, "patch", "configmap", "--namespace", "kube-system", "aws-auth", "--type", "merge", "--patch", `{"data":{"mapUsers":"- userarn: [\n"}}`)
	if got := user("dev"); got != "again" {
		t.Errorf("a broken section: dev is %s\n%s", got, log.String())
	}
}
