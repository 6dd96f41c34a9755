package stack

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/identity"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func newLayout(t *testing.T) state.Layout {
	t.Helper()
	l := state.Layout{Root: t.TempDir()}
	for _, dir := range []string{"aws", "logs", "server"} {
		if err := os.Mkdir(l.Path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestEmbeddedAWSAnswersUnderEveryName(t *testing.T) {
	l := newLayout(t)
	aws, err := startAWS(l, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer aws.stop()
	bundle, err := os.ReadFile(l.CABundle())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	conn, err := tls.Dial("tcp", aws.address(), &tls.Config{RootCAs: roots, ServerName: "sts.amazonaws.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cert := conn.ConnectionState().PeerCertificates[0]
	for _, e := range identity.STSEndpoints() {
		if err := cert.VerifyHostname(e.Host); err != nil {
			t.Error(err)
		}
	}
	if err := cert.VerifyHostname("eks.us-east-1.amazonaws.com"); err == nil {
		t.Error("the certificate is good for more than STS")
	}
	// An unsigned request is refused, and noted without what it may carry.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := client.Get(aws.url() + "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=secret")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("an unsigned request got %d", resp.StatusCode)
	}
	client.CloseIdleConnections()
	aws.stop()
	log, err := os.ReadFile(l.Log("aws"))
	if err != nil || !strings.Contains(string(log), "status=403") || strings.Contains(string(log), "secret") {
		t.Errorf("the log is %q, %v", log, err)
	}
}

func TestServerConfiguration(t *testing.T) {
	for mode, creator := range map[string]string{"CONFIG_MAP": seed.CreatorARN, "": ""} {
		strict := mode == ""
		l := newLayout(t)
		aws, err := startAWS(l, 0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer aws.stop()
		s := &Stack{cfg: Config{Strict: strict, AuthenticationMode: mode}, dir: &state.Dir{Layout: l}, aws: aws}
		if err := s.configureServer(4711); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.serverConfig())
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			ClusterID string
			Server    struct {
				Address, Creator, Dialect string
				Port                      int
				AccessEntries             struct{ ClusterName, Region string }
				Authorizer                struct{ Kubeconfig string }
				STS                       struct {
					DialAddress string
					ExtraHosts  []struct{ Host, Region string }
				}
			}
		}
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.ClusterID != seed.Cluster || got.Server.Port != 4711 || got.Server.Address != "127.0.0.1" || got.Server.STS.DialAddress != aws.address() || got.Server.Creator != creator ||
			got.Server.Dialect != "eks" || got.Server.AccessEntries.ClusterName != seed.Cluster || got.Server.AccessEntries.Region != seed.Region || got.Server.Authorizer.Kubeconfig != s.authorizerKubeconfig() {
			t.Errorf("got %+v", got)
		}
		if listed := len(got.Server.STS.ExtraHosts) > 0; listed == strict {
			t.Errorf("strict %v: extra hosts %v", strict, got.Server.STS.ExtraHosts)
		}
	}
}

func TestWriteAWSAuth(t *testing.T) {
	for name, data := range map[string]map[string]string{"as seeded": seed.AWSAuth(), "deleted": nil} {
		file := filepath.Join(t.TempDir(), "aws-auth.yaml")
		if err := writeAWSAuth(file, data); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Kind string
			Data map[string]string
		}
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Kind != "ConfigMap" || got.Data["mapUsers"] != data["mapUsers"] || len(got.Data) != len(data) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestMinor(t *testing.T) {
	for release, want := range map[string]string{"v1.36.3": "1.36", "v1.36.3-eks-1": "1.36", "v1": "v1", "": ""} {
		if got := minor(release); got != want {
			t.Errorf("minor(%q) = %q, want %q", release, got, want)
		}
	}
}
