//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// TestAWSCommand has the aws command, where there is one, use the sandbox as it
// would use AWS.
func TestAWSCommand(t *testing.T) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	env := shared.env(t, "admin")
	if o := command(t, env, aws, "--version"); o.code != 0 {
		t.Skipf("the aws command does not run: %s", o.stderr)
	}
	has(t, mustRun(t, env, aws, "sts", "get-caller-identity"), "arn:aws:iam::111122223333:user/admin")
	has(t, mustRun(t, env, aws, "eks", "describe-cluster", "--name", seed.Cluster), shared.Record().APIServer, `"ACTIVE"`, `"API_AND_CONFIG_MAP"`)
	has(t, mustRun(t, shared.env(t, "viewer"), aws, "sts", "get-caller-identity"), "assumed-role/viewer/sandbox")

	strict := own(t, stack.Config{Strict: true})
	for _, tc := range []struct {
		name     string
		b        *box
		override bool
		want     int
	}{
		{"with the STS override", shared, true, http.StatusOK},
		{"without it", shared, false, http.StatusOK},
		{"strict, with the STS override", strict, true, http.StatusUnauthorized},
		{"strict, without it", strict, false, http.StatusOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := tc.b.env(t, "admin")
			host := strings.TrimPrefix(tc.b.Record().AWS, "https://")
			if !tc.override {
				env = without(env, "AWS_ENDPOINT_URL_STS")
				host = "sts." + seed.Region + ".amazonaws.com"
			}
			var credential struct{ Status struct{ Token string } }
			out := mustRun(t, env, aws, "eks", "get-token", "--cluster-name", seed.Cluster)
			if err := json.Unmarshal([]byte(out), &credential); err != nil {
				t.Fatal(err)
			}
			tok := credential.Status.Token
			if !tc.override {
				if parsed, err := token.Parse(tok); err != nil || parsed.Host != host {
					t.Fatalf("the token is for %v, %v; want %s", parsed, err, host)
				}
			}
			if code := tc.b.status(t, tok); code != tc.want {
				t.Errorf("the token got %d, want %d", code, tc.want)
			}
			// kubectl, with `aws` as its plugin.
			mustRun(t, env, aws, "eks", "update-kubeconfig", "--name", seed.Cluster, "--alias", "aws")
			o := command(t, env, kubectl, "--context", "aws", "get", "nodes")
			if in := o.code == 0 && strings.Contains(o.stdout, "Ready"); in != (tc.want == http.StatusOK) {
				t.Errorf("kubectl gave %+v", o)
			}
		})
	}
}
