package servercli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWords runs the server by aws-iam-authenticator's command line.
func TestWords(t *testing.T) {
	f := newFixture(t)
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	// Two mappings for one principal, and no clusterID.
	f.write(t, "server.yaml", strings.Replace(strings.Replace(string(text), "clusterID: demo\n", "", 1), "  awsAuthFile: "+f.dir+"/aws-auth.yaml\n", "", 1)+
		"  mapUsers:\n  - {userarn: \"arn:aws:iam::111122223333:user/alice\", username: first, groups: []}\n  - {userarn: \"arn:aws:iam::111122223333:user/alice\", username: last, groups: [b]}\n")
	if _, stderr, code := output(t, "", "serve", "--config", f.config); code == 0 || !strings.Contains(stderr, "clusterID is missing") {
		t.Errorf("serve: %d %s", code, stderr)
	}
	t.Setenv("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "demo")
	f.args = []string{"server", "-c", f.config, "-l", "json", "-v", "1", "--state-dir", filepath.Join(f.dir, "other"), "--backend-mode", "MountedFile", "--feature-gates", "ConfiguredInitDirectories=false",
		"--generate-kubeconfig", filepath.Join(f.dir, "webhook.kubeconfig"), "--port", "0", "--ec2-describeInstances-qps", "15", "--ec2-describeInstances-burst", "5"}
	p := f.start(t)
	if u, ok := p.user(t, f.key); !ok || u.Username != "last" || strings.Join(u.Groups, " ") != "b" {
		t.Errorf("%+v", u)
	}
	if !strings.Contains(p.stderr.String(), `"code":"duplicate"`) {
		t.Error("nothing is said of the duplicate")
	}
	if _, err := os.Stat(filepath.Join(f.dir, "other", "cert.pem")); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"a backend":           {[]string{"server", "-c", f.config, "--backend-mode", "CRD"}, "--backend-mode CRD is not supported", 1},
		"no kubeconfig":       {[]string{"server", "-c", f.config, "--backend-mode", "EKSConfigMap", "--kubeconfig", f.dir + "/none"}, "configuring the client of the Kubernetes API", 1},
		"a gate":              {[]string{"server", "-c", f.config, "--feature-gates", "IAMIdentityMappingCRD=true"}, "IAMIdentityMappingCRD is not supported", 2},
		"a gate that is none": {[]string{"server", "-c", f.config, "--feature-gates", "X=true"}, "X is not known", 2},
		"a flag that is none": {[]string{"server", "--nope"}, "unknown flag", 2},
	} {
		if _, stderr, code := output(t, "", c.args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
	}
	// init without a configuration writes into the working directory.
	dir := t.TempDir()
	cmd := command("init", "-i", "demo", "--hostname", "auth.example")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, file := range []string{"cert.pem", "key.pem", "aws-iam-authenticator.kubeconfig"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}
