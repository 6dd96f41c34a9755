package cli

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// Every status that EKS knows: two have an endpoint that answers. A cluster that
// is only registered has none, whatever its status.
func TestNeedEndpoint(t *testing.T) {
	statuses := types.ClusterStatus("").Values()
	if len(statuses) < 6 {
		t.Fatalf("only %v", statuses)
	}
	for _, status := range append(statuses, "", "NEW") {
		c := &types.Cluster{Name: aws.String("demo"), Status: status, Endpoint: aws.String("https://x")}
		good := status == types.ClusterStatusActive || status == types.ClusterStatusUpdating
		err := needEndpoint(c)
		var coded *codeError
		if good != (err == nil) || err != nil && (!errors.As(err, &coded) || coded.code != exitFailed || !strings.Contains(coded.reason, string(status)) || coded.hint == "") {
			t.Errorf("%q: %v", status, err)
		}
		c.Endpoint = nil
		if needEndpoint(c) == nil {
			t.Errorf("%q: without an endpoint", status)
		}
		c.Endpoint, c.ConnectorConfig = aws.String("https://x"), &types.ConnectorConfigResponse{Provider: aws.String("GKE")}
		if err := needEndpoint(c); err == nil || !strings.Contains(err.Error(), "only registered with EKS") {
			t.Errorf("%q: registered: %v", status, err)
		}
	}
}

// What EKS says of a cluster, one thing a row, and what is written of it.
func TestEntries(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	encode := func(s string) *types.Certificate {
		return &types.Certificate{Data: aws.String(base64.StdEncoding.EncodeToString([]byte(s)))}
	}
	const id = "0a1b2c3d-0000-4000-8000-000000000000"
	for _, tt := range []struct {
		name    string
		change  func(*types.Cluster)
		token   string // what tokens are made for
		warning string
		fails   string
	}{
		{"a cluster", func(*types.Cluster) {}, "demo", "", ""},
		{"two certificates", func(c *types.Cluster) { c.CertificateAuthority = encode(cert + cert) }, "demo", "", ""},
		{"no PEM", func(c *types.Cluster) { c.CertificateAuthority = encode("no PEM") }, "demo", "the certificate authority is not a PEM certificate", ""},
		{"half a PEM", func(c *types.Cluster) { c.CertificateAuthority = encode(cert[:len(cert)-30]) }, "demo", "the certificate authority is not a PEM certificate", ""},
		{"no certificate", func(c *types.Cluster) { c.CertificateAuthority = nil }, "demo", "the cluster has no certificate authority", ""},
		{"no base64", func(c *types.Cluster) { c.CertificateAuthority = &types.Certificate{Data: &cert} }, "", "", "certificate authority is not base64"},
		{"a local cluster", func(c *types.Cluster) { c.OutpostConfig, c.Id = &types.OutpostConfigResponse{}, aws.String(id) }, id, "", ""},
		{"a local cluster without an id", func(c *types.Cluster) { c.OutpostConfig = &types.OutpostConfigResponse{} }, "demo", "", ""},
		{"an id alone", func(c *types.Cluster) { c.Id = aws.String(id) }, "demo", "", ""},
		{"an endpoint in the clear", func(c *types.Cluster) { c.Endpoint = aws.String("http://x") }, "", "", `server "http://x" is not an https URL`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &types.Cluster{
				Name: aws.String("demo"), Arn: aws.String("arn:aws:eks:eu-central-1:111122223333:cluster/demo"),
				Endpoint: aws.String("https://x"), CertificateAuthority: encode(cert),
			}
			tt.change(c)
			change, err := kubeconfig.ForEKS(entries(kubeconfig.Options{Command: "/bin/ekskey"}, c, "eu-central-1"))
			if tt.fails != "" {
				if err == nil || err.Error() != tt.fails {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := change.User.Exec.Args[2]; got != tt.token {
				t.Errorf("tokens are made for %q", got)
			}
			if got := strings.Join(change.Warnings, "; "); !strings.HasPrefix(got, tt.warning) || tt.warning == "" && got != "" {
				t.Errorf("warned of %q", got)
			}
			if given, _, _ := caOf(c); change.Cluster.CAData != given {
				t.Error("the certificate authority is not as EKS gave it")
			}
		})
	}
}

// What is mistyped is told before AWS is asked: here there is no AWS to ask.
func TestUpdateRefusesEarly(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"--server http://x", `--server "http://x" is not an https URL`},
		{"--server https://u:secret@x", "--server has a user or a password in it"},
		{"--tls-server-name https://x", `--tls-server-name "https://x" is not the name of a host`},
		{"--proxy-url ftp://u:secret@x", "--proxy-url is not an http, https or socks5 URL"},
		{"--exec-command ./ekskey", `--exec-command "./ekskey" is neither an absolute path nor a name without a path`},
		{"--exec-api-version v1alpha1", `--exec-api-version "v1alpha1" is neither v1 nor v1beta1`},
		{"--namespace A_B", `--namespace "A_B" is not up to 63 of a-z, 0-9 and -, with - neither first nor last`},
		{"--describe-role-arn foo", `--describe-role-arn "foo" is not the ARN of a role`},
		{"--print --dry-run", "--print and --dry-run exclude each other"},
		{"--print --kubeconfig f", "--print writes no file, so --kubeconfig cannot name one"},
	} {
		a := testApp()
		cmd := newKubeconfigUpdateCommand(a, func(_ context.Context, o updateOptions) error {
			return a.runKubeconfigUpdate(t.Context(), o)
		})
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append([]string{"--name", "demo"}, strings.Fields(tt.line)...))
		var usage *usageError
		if err := cmd.Execute(); !errors.As(err, &usage) || usage.reason != tt.want {
			t.Errorf("%s: %v", tt.line, err)
		}
	}
}

func TestHintOnCluster(t *testing.T) {
	for kind, flag := range map[string]string{"cluster": "--cluster-alias", "user": "--user-alias"} {
		err := hintOnCluster(&kubeconfig.ConflictError{Kind: kind, Name: "x"})
		if hint := hintFor(err); !strings.Contains(hint, flag) || exitCode(err) != exitFailed {
			t.Errorf("%s: %q", kind, hint)
		}
	}
}

func TestWantColour(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		system   string
		env      map[string]string
		want     bool
	}{
		{"a terminal", true, "linux", nil, true},
		{"a pipe", false, "linux", map[string]string{"TERM": "xterm"}, false},
		{"NO_COLOR", true, "linux", map[string]string{"NO_COLOR": "1"}, false},
		{"NO_COLOR of any value", true, "darwin", map[string]string{"NO_COLOR": "false"}, false},
		{"an empty NO_COLOR", true, "linux", map[string]string{"NO_COLOR": ""}, true},
		{"a dumb terminal", true, "linux", map[string]string{"TERM": "dumb"}, false},
		{"an old console of Windows", true, "windows", nil, false},
		{"Windows Terminal", true, "windows", map[string]string{"WT_SESSION": "x"}, true},
		{"Windows Terminal with NO_COLOR", true, "windows", map[string]string{"WT_SESSION": "x", "NO_COLOR": "1"}, false},
		{"a Unix shell on Windows", true, "windows", map[string]string{"TERM": "xterm"}, true},
	} {
		if got := wantColour(tt.terminal, tt.system, func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestPaint(t *testing.T) {
	const diff = "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n--- b\n+++ c\n d\n\\ No newline at end of file\n"
	const want = "\x1b[1m--- f\x1b[m\n\x1b[1m+++ f\x1b[m\n\x1b[36m@@ -1,3 +1,3 @@\x1b[m\n a\n" +
		"\x1b[31m--- b\x1b[m\n\x1b[32m+++ c\x1b[m\n d\n\\ No newline at end of file\n"
	if got := paint(diff); got != want {
		t.Errorf("got %q", got)
	}
}
