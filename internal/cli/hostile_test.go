package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// TestHostileCluster: an endpoint that is not AWS's answers about what it was
// not asked.
func TestHostileCluster(t *testing.T) {
	const arn, uuid = "arn:aws:eks:eu-central-1:111122223333:cluster/demo", "0a1b2c3d-0000-4000-8000-000000000000"
	for _, tt := range []struct {
		name, cluster, arn, id string
		ok                     bool
	}{
		{"honest", "demo", arn, "", true},
		{"honest, local", "demo", arn, uuid, true},
		{"another cluster", "prod", strings.Replace(arn, "demo", "prod", 1), "", false},
		{"another name", "prod", arn, "", false},
		{"another letter case", "Demo", arn, "", false},
		{"no name", "", arn, "", false},
		{"another entry of the kubeconfig", "demo", "minikube", "", false},
		{"no ARN", "demo", "", "", false},
		{"another cluster's ARN", "demo", strings.Replace(arn, "demo", "prod", 1), "", false},
		{"another region", "demo", strings.Replace(arn, "eu-central-1", "us-east-1", 1), "", false},
		{"another partition", "demo", strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1), "", false},
		{"a short account", "demo", strings.Replace(arn, "111122223333", "1111", 1), "", false},
		{"an account of letters", "demo", strings.Replace(arn, "111122223333", "1111222233ab", 1), "", false},
		{"a line more", "demo", arn + `\n`, "", false},
		{"an id that is a name", "demo", arn, "prod", false},
		{"an id with more", "demo", arn, uuid + "/x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCanary(t)
			outpost := ""
			if tt.id != "" {
				outpost = fmt.Sprintf(`,"id":%q,"outpostConfig":{"outpostArns":["arn:aws:outposts:eu-central-1:111122223333:outpost/op-1"]}`, tt.id)
			}
			c.world.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Raw: &fakeaws.RawAnswer{
				Status: http.StatusOK,
				Body:   fmt.Appendf(nil, `{"cluster":{"name":"%s","arn":"%s","status":"ACTIVE","endpoint":"https://127.0.0.1:1"%s}}`, tt.cluster, tt.arn, outpost),
			}})
			stderr, code := c.exec(t, "kubeconfig", "update", "--name", "demo", "--kubeconfig", "kc")
			_, err := os.Stat(filepath.Join(c.dir, "kc"))
			if tt.ok {
				if code != 0 || err != nil {
					t.Errorf("exit code %d, %v: %s", code, err, stderr)
				}
				return
			}
			if code != 1 || !strings.Contains(stderr, "error: calling EKS DescribeCluster: the response") || err == nil {
				t.Errorf("exit code %d, %v: %s", code, err, stderr)
			}
			if stderr, code = c.exec(t, "whoami", "--cluster", "demo"); code != 1 || !strings.Contains(stderr, "DescribeCluster: the response") {
				t.Errorf("whoami: exit code %d: %s", code, stderr)
			}
		})
	}
}

// TestEndlessList: an endpoint has always one page more.
func TestEndlessList(t *testing.T) {
	c := newCanary(t)
	var pages atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"clusters":[],"nextToken":"t%d"}`, pages.Add(1))
	}))
	defer srv.Close()
	c.env = append(c.env, "AWS_ENDPOINT_URL_EKS="+srv.URL)
	if stderr, code := c.exec(t, "clusters", "list"); code != 1 || !strings.Contains(stderr, "the list does not end") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// exec runs a command and gives its standard error and exit code.
func (c *canary) exec(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ekskey", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stderr.String(), cmd.ProcessState.ExitCode()
}
