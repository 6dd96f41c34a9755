package fakeaws_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// TestAWSCommand lets AWS's own command judge.
func TestAWSCommand(t *testing.T) {
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed: ", err)
	}
	c := newCloud(t, fakeaws.Config{})
	role := c.role(t, fakeaws.Role{Name: "ops", TrustPolicy: trust(userAlice, `"StringEquals":{"sts:ExternalId":"word"}`)})
	if err := c.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "demo", Endpoint: "https://127.0.0.1:6443", CAData: "bm8gUEVN"}); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	run := func(k fakeaws.Key, args ...string) ([]byte, string, error) {
		command := exec.CommandContext(t.Context(), path, append(args, "--endpoint-url", c.url, "--output", "json")...)
		command.Env = []string{
			"HOME=" + home, "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
			"AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-1", "AWS_PAGER=", "AWS_ENDPOINT_URL_STS=" + c.url,
			"AWS_ACCESS_KEY_ID=" + k.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + k.SecretAccessKey,
		}
		if k.SessionToken != "" {
			command.Env = append(command.Env, "AWS_SESSION_TOKEN="+k.SessionToken)
		}
		for _, name := range []string{"PYENV_ROOT", "SYSTEMROOT"} { // what an installed Python may need to start
			if value, ok := os.LookupEnv(name); ok {
				command.Env = append(command.Env, name+"="+value)
			}
		}
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		err := command.Run()
		return stdout.Bytes(), stderr.String(), err
	}
	ask := func(k fakeaws.Key, into any, args ...string) {
		t.Helper()
		out, stderr, err := run(k, args...)
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	refused := func(k fakeaws.Key, want string, args ...string) {
		t.Helper()
		_, stderr, err := run(k, args...)
		if err == nil || !strings.Contains(stderr, want) {
			t.Errorf("aws %s: %v, %s, want %q", strings.Join(args, " "), err, stderr, want)
		}
	}

	var identity struct{ Arn, Account, UserId string }
	ask(c.alice, &identity, "sts", "get-caller-identity")
	if identity.Arn != "arn:aws:iam::111122223333:user/ops/alice" || identity.Account != account {
		t.Errorf("alice is %+v", identity)
	}
	var assumed struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	}
	ask(c.alice, &assumed, "sts", "assume-role", "--role-arn", role, "--role-session-name", "cli", "--external-id", "word")
	session := fakeaws.Key{AccessKeyID: assumed.Credentials.AccessKeyId, SecretAccessKey: assumed.Credentials.SecretAccessKey, SessionToken: assumed.Credentials.SessionToken}
	ask(session, &identity, "sts", "get-caller-identity")
	if identity.Arn != "arn:aws:sts::111122223333:assumed-role/ops/cli" {
		t.Errorf("the session is %+v", identity)
	}
	var list struct{ Clusters []string }
	ask(session, &list, "eks", "list-clusters")
	if len(list.Clusters) != 1 || list.Clusters[0] != "demo" {
		t.Errorf("clusters %v", list.Clusters)
	}
	var described struct {
		Cluster struct {
			Arn, Endpoint, Status string
			CertificateAuthority  struct{ Data string }
		}
	}
	ask(session, &described, "eks", "describe-cluster", "--name", "demo")
	if k := described.Cluster; k.Arn != "arn:aws:eks:eu-west-1:111122223333:cluster/demo" || k.Endpoint != "https://127.0.0.1:6443" || k.CertificateAuthority.Data != "bm8gUEVN" {
		t.Errorf("demo is %+v", k)
	}
	var got struct {
		Role struct {
			Arn                      string
			AssumeRolePolicyDocument map[string]any
		}
	}
	ask(session, &got, "iam", "get-role", "--role-name", "ops")
	if got.Role.Arn != role || got.Role.AssumeRolePolicyDocument["Version"] != "2012-10-17" {
		t.Errorf("the role is %+v", got.Role)
	}

	refused(session, "(ResourceNotFoundException) when calling the DescribeCluster operation: No cluster found for name: gone.", "eks", "describe-cluster", "--name", "gone")
	refused(c.alice, "(AccessDenied) when calling the AssumeRole operation: User: arn:aws:iam::111122223333:user/ops/alice is not authorized to perform: sts:AssumeRole on resource: "+role,
		"sts", "assume-role", "--role-arn", role, "--role-session-name", "cli")
	// Its token, taken apart as a cluster would.
	var token struct{ Status struct{ Token string } }
	ask(session, &token, "eks", "get-token", "--cluster-name", "demo")
	presigned, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token.Status.Token, "k8s-aws-v1."))
	if err != nil {
		t.Fatal(err)
	}
	for cluster, status := range map[string]int{"demo": http.StatusOK, "prod": http.StatusForbidden} {
		r, err := http.NewRequest(http.MethodGet, string(presigned), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-K8s-Aws-Id", cluster)
		if response := get(t, r); response.StatusCode != status {
			t.Errorf("the command's token for demo got %d from cluster %s, want %d", response.StatusCode, cluster, status)
		}
	}

	if err := c.ExpireSession(session.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	refused(session, "(ExpiredToken) when calling the GetCallerIdentity operation: The security token included in the request is expired", "sts", "get-caller-identity")
}
