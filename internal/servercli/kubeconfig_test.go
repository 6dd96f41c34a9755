package servercli

import (
	"net"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/internal/webhook"
)

// A hostname that looks like YAML stays a hostname: it cannot add a user or another server.
func TestHostnameInKubeconfig(t *testing.T) {
	for _, hostname := range []string{
		"api.internal", `x"}`, "x\nusers: []", "x: y", "- x", "#x", "{{x}}", `x\`, "é", "x\u2028y", "*x", "!!binary x",
	} {
		c := &config{server: serverConfig{address: "0.0.0.0", hostname: hostname}}
		file, err := clientcmd.Load(webhookKubeconfig(c, 21362, []byte("CA"), webhook.Path))
		if err != nil {
			t.Errorf("%q: %v", hostname, err)
			continue
		}
		want := "https://" + net.JoinHostPort(hostname, "21362") + "/authenticate"
		if cluster := file.Clusters["ekskey-server"]; len(file.Clusters) != 1 || len(file.AuthInfos) != 1 || cluster == nil || cluster.Server != want || string(cluster.CertificateAuthorityData) != "CA" {
			t.Errorf("%q: %+v", hostname, cluster)
		}
	}
}
