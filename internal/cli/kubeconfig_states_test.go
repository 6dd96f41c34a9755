package cli

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// What is called alive leads to the cluster and trusts the cluster's authority.
func TestJudgeEntry(t *testing.T) {
	const endpoint = "https://ABC.gr7.eu-central-1.eks.amazonaws.com"
	const ca = "Y2E=" // "ca"
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": "ca\n", "other.pem": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := kubeconfig.Cluster{Server: endpoint, CAData: ca}
	for _, tt := range []struct {
		name   string
		mutate func(*kubeconfig.Cluster)
		want   liveness
		reason string
	}{
		{"as EKS gave it", func(*kubeconfig.Cluster) {}, stateAlive, ""},
		{"a slash, capitals and the port", func(c *kubeconfig.Cluster) { c.Server = "HTTPS://abc.GR7.eu-central-1.eks.amazonaws.com:443/" }, stateAlive, ""},
		{"another endpoint", func(c *kubeconfig.Cluster) { c.Server = strings.Replace(endpoint, "ABC", "DEF", 1) }, stateStale, "endpoint"},
		{"an endpoint of another region", func(c *kubeconfig.Cluster) { c.Server = strings.Replace(endpoint, "central", "west", 1) }, stateUnknown, "leads to"},
		{"an address of one's own choice", func(c *kubeconfig.Cluster) { c.Server = "https://10.0.0.5" }, stateUnknown, "leads to"},
		{"another port", func(c *kubeconfig.Cluster) { c.Server += ":8443" }, stateUnknown, "leads to"},
		{"another path", func(c *kubeconfig.Cluster) { c.Server += "/x" }, stateUnknown, "leads to"},
		{"no TLS", func(c *kubeconfig.Cluster) { c.Server = strings.Replace(endpoint, "https", "http", 1) }, stateUnknown, "leads to"},
		{"a tunnel", func(c *kubeconfig.Cluster) {
			c.Server, c.TLSServerName = "https://localhost:8443", "ABC.gr7.eu-central-1.eks.amazonaws.com"
		}, stateAlive, "through"},
		{"a tunnel to somebody else", func(c *kubeconfig.Cluster) { c.Server, c.TLSServerName = "https://evil.example", "evil.example" }, stateUnknown, "need not be the cluster"},
		{"the endpoint under another name", func(c *kubeconfig.Cluster) { c.TLSServerName = "evil.example" }, stateUnknown, "to prove"},
		{"line breaks in the authority", func(c *kubeconfig.Cluster) { c.CAData = "Y2\nE=" }, stateAlive, ""},
		{"another authority", func(c *kubeconfig.Cluster) { c.CAData = base64.StdEncoding.EncodeToString([]byte("other")) }, stateStale, "another one now"},
		{"an authority that is not base64", func(c *kubeconfig.Cluster) { c.CAData = "?" }, stateStale, "another one now"},
		{"none", func(c *kubeconfig.Cluster) { c.CAData = "" }, stateUnknown, "no certificate authority"},
		{"unchecked", func(c *kubeconfig.Cluster) { c.CAData, c.Insecure = "", true }, stateAlive, "not checked"},
		{"unchecked, and an authority", func(c *kubeconfig.Cluster) { c.Insecure = true }, stateStale, "kubectl refuses"},
		{"in a file", func(c *kubeconfig.Cluster) { c.CAData, c.CAFile = "", "ca.pem" }, stateAlive, ""},
		{"in a file, by its whole path", func(c *kubeconfig.Cluster) { c.CAData, c.CAFile = "", filepath.Join(dir, "ca.pem") }, stateAlive, ""},
		{"in a file that is gone", func(c *kubeconfig.Cluster) { c.CAData, c.CAFile = "", "gone.pem" }, stateStale, "does not exist"},
		{"another in a file", func(c *kubeconfig.Cluster) { c.CAData, c.CAFile = "", "other.pem" }, stateUnknown, "not the cluster's"},
		{"in a folder", func(c *kubeconfig.Cluster) { c.CAData, c.CAFile = "", "." }, stateUnknown, "not a regular file"},
		{"data goes before a file", func(c *kubeconfig.Cluster) { c.CAFile = "gone.pem" }, stateAlive, ""},
	} {
		entry := good
		tt.mutate(&entry)
		state, reason := judgeServer(entry, endpoint)
		if state == stateAlive {
			if s, why := judgeCA(entry, ca, dir); s != stateAlive || why != "" {
				state, reason = s, why
			}
		}
		if state != tt.want || !strings.Contains(reason, tt.reason) || tt.reason == "" && reason != "" {
			t.Errorf("%s: %s, %q", tt.name, state, reason)
		}
	}
}
