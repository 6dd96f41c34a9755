//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// manyClusters is an EKS of a test's own, so that the tests of the sandbox's
// cluster see no others. Nothing runs behind its endpoints.
type manyClusters struct {
	env   []string // of programs that ask it
	names []string
}

func newManyClusters(t *testing.T, n int) *manyClusters {
	t.Helper()
	aws := fakeaws.New(fakeaws.Config{})
	key, err := aws.AddUser(fakeaws.User{Account: seed.Account, Name: "soak"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(aws)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &manyClusters{}
	for i := range n {
		name := fmt.Sprintf("soak-%02d", i)
		if err := aws.AddCluster(fakeaws.Cluster{Account: seed.Account, Region: seed.Region, Name: name, Endpoint: endpoint(name), CAData: base64.StdEncoding.EncodeToString(ca)}); err != nil {
			t.Fatal(err)
		}
		m.names = append(m.names, name)
	}
	m.env = shared.env(t, "admin")
	m.env = append(m.env, "AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey,
		"AWS_CA_BUNDLE="+bundle, "AWS_ENDPOINT_URL_EKS="+server.URL, "AWS_ENDPOINT_URL_STS="+server.URL)
	return m
}

// endpoint is an address at which nobody answers, at once: there are builds of
// kubectl that ask a cluster for its version before anything else.
func endpoint(cluster string) string { return "https://127.0.0.1:9/" + cluster }

func arnOf(cluster string) string {
	return "arn:aws:eks:" + seed.Region + ":" + seed.Account + ":cluster/" + cluster
}

// entry is one context that an update is to write.
type entry struct{ alias, cluster, role, namespace string }

func (e entry) args(file string) []string {
	args := []string{"kubeconfig", "update", "--kubeconfig", file, "--name", e.cluster, "--alias", e.alias, "--namespace", e.namespace}
	if e.role != "" {
		args = append(args, "--role-arn", e.role)
	}
	return args
}

// wrong says what of the entry is not in a kubeconfig as it should be.
func (e entry) wrong(c *clientcmdapi.Config) string {
	context := c.Contexts[e.alias]
	if context == nil {
		return "the context is missing"
	}
	cluster, user := c.Clusters[context.Cluster], c.AuthInfos[context.AuthInfo]
	switch {
	case context.Namespace != e.namespace:
		return fmt.Sprintf("the namespace is %q", context.Namespace)
	case cluster == nil || context.Cluster != arnOf(e.cluster) || cluster.Server != endpoint(e.cluster):
		return fmt.Sprintf("cluster %q is %+v", context.Cluster, cluster)
	case user == nil || user.Exec == nil:
		return fmt.Sprintf("user %q is missing", context.AuthInfo)
	case filepath.Base(user.Exec.Command) != filepath.Base(shared.Record().Ekskey) || valueOf(user.Exec.Args, "--cluster") != e.cluster || valueOf(user.Exec.Args, "--role-arn") != e.role:
		return fmt.Sprintf("user %q runs %s %v", context.AuthInfo, user.Exec.Command, user.Exec.Args)
	}
	return ""
}

func valueOf(args []string, flag string) string {
	i := slices.Index(args, flag)
	if i < 0 || i+1 == len(args) {
		return ""
	}
	return args[i+1]
}

// left lists what is in a directory.
func left(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// awsCommand is the aws command, or empty where there is none, which the log then
// says.
func awsCommand(t *testing.T, env []string) string {
	t.Helper()
	aws, err := exec.LookPath("aws")
	if err == nil {
		cmd := exec.CommandContext(t.Context(), aws, "--version")
		cmd.Env = env
		_, err = cmd.Output()
	}
	if err != nil {
		t.Logf("NOT TESTED with the aws command, which is not installed: %v", err)
		return ""
	}
	return aws
}

// tail is the end of what a program said.
func tail(b *bytes.Buffer) string {
	s := strings.TrimSpace(b.String())
	return s[max(0, len(s)-500):]
}

func onUnix(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("processes are killed and files replaced as Unix does it")
	}
}
