//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

const platform = "arn:aws:iam::" + seed.Account + ":role/platform"

func load(t *testing.T, file string) *clientcmdapi.Config {
	t.Helper()
	c, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// actAs holds who each context acts as, as Kubernetes has it, against a table.
func actAs(t *testing.T, when string, env []string, want map[string]string) {
	t.Helper()
	for context, username := range want {
		if got := kubeUser(t, env, context).Username; got != username {
			t.Errorf("%s: context %s acts as %s, want %s", when, context, got, username)
		}
	}
}

// Whatever is done to the file next, by whom ever, each alias acts as itself.
func TestKubeconfigAliasesStayTheirUsers(t *testing.T) {
	env := shared.env(t, "admin")
	file := value(env, "KUBECONFIG")
	want := map[string]string{"ops": "platform:ekskey", "look": "viewer:ekskey"}
	shared.update(t, env, "ops", "--role-arn", platform)
	shared.update(t, env, "look", "--role-arn", viewer)
	actAs(t, "two aliases", env, want)

	shared.update(t, env, "demo", "--no-set-context")
	want["demo"] = "admin"
	actAs(t, "a third", env, want)
	shared.update(t, env, "again", "--role-arn", platform, "--session-name", "again")
	want["again"] = "platform:again"
	actAs(t, "a fourth, with the second's role", env, want)

	before := load(t, file)
	mustRun(t, env, kubectl, "config", "set-context", "--current", "--namespace", "shop")
	actAs(t, "rewritten by kubectl", env, want)
	if c := load(t, file); c.CurrentContext != "again" || c.Contexts["again"].Namespace != "shop" || !reflect.DeepEqual(c.AuthInfos["look"], before.AuthInfos["look"]) {
		t.Errorf("after kubectl: %+v", c)
	}
	// An update of what kubectl wrote keeps its namespace.
	shared.update(t, env, "again", "--role-arn", platform, "--session-name", "again")
	if c := load(t, file); c.Contexts["again"].Namespace != "shop" {
		t.Errorf("the namespace is %q", c.Contexts["again"].Namespace)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	has(t, mustRun(t, env, shared.Record().Ekskey, "kubeconfig", "update", "--name", seed.Cluster, "--alias", "again", "--role-arn", platform, "--session-name", "again"), "context again: unchanged")
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(text, now) {
		t.Errorf("a second update changed the file: %v", err)
	}
	actAs(t, "updated again", env, want)
}

// `aws eks update-kubeconfig` and ekskey take turns on one file.
func TestKubeconfigWithTheAWSCommand(t *testing.T) {
	env := shared.env(t, "admin")
	aws := awsCommand(t, env)
	if aws == "" {
		t.Skip("there is no aws command")
	}
	file := value(env, "KUBECONFIG")
	awsUpdate := func(args ...string) {
		t.Helper()
		mustRun(t, env, aws, append([]string{"eks", "update-kubeconfig", "--name", seed.Cluster}, args...)...)
	}
	// aws first. Its entry is a role's, under the name that ekskey would take for
	// the caller's own.
	awsUpdate("--alias", "aws-look", "--role-arn", viewer)
	want := map[string]string{"aws-look": "viewer:EKSGetTokenAuth"}
	actAs(t, "aws alone", env, want)
	shared.update(t, env, "demo")
	shared.update(t, env, "ops", "--role-arn", platform)
	want["demo"], want["ops"] = "admin", "platform:ekskey"
	actAs(t, "ekskey after aws", env, want)

	// aws again, and once more with an entry of its own.
	ours := load(t, file)
	awsUpdate("--alias", "aws-look", "--role-arn", viewer)
	awsUpdate("--alias", "aws", "--user-alias", "aws")
	want["aws"] = "admin"
	now := load(t, file)
	for _, name := range []string{"demo", "ops"} {
		context := ours.Contexts[name]
		if !reflect.DeepEqual(context, now.Contexts[name]) || !reflect.DeepEqual(ours.AuthInfos[context.AuthInfo], now.AuthInfos[context.AuthInfo]) {
			t.Errorf("aws changed what ekskey had written for %s: %+v", name, now.AuthInfos[context.AuthInfo])
		}
	}
	actAs(t, "aws after ekskey", env, want)
	shared.update(t, env, "look", "--role-arn", viewer)
	want["look"] = "viewer:ekskey"
	actAs(t, "ekskey at last", env, want)
}

// The AWS CLI writes one user a cluster, over what is there: an alias of ekskey's
// must not become whoever `aws eks update-kubeconfig` was run for later.
func TestKubeconfigAliasIsNotStolenByTheAWSCommand(t *testing.T) {
	env := shared.env(t, "admin")
	aws := awsCommand(t, env)
	if aws == "" {
		t.Skip("there is no aws command")
	}
	shared.update(t, env, "mine")
	mustRun(t, env, aws, "eks", "update-kubeconfig", "--name", seed.Cluster, "--alias", "aws-look", "--role-arn", viewer)
	actAs(t, "aws with a role after ekskey without", env, map[string]string{"mine": "admin", "aws-look": "viewer:EKSGetTokenAuth"})
}

// What aws wrote is converted and put back, and acts as the same user each time.
func TestKubeconfigConvertKeepsTheUser(t *testing.T) {
	env := shared.env(t, "admin")
	aws := awsCommand(t, env)
	if aws == "" {
		t.Skip("there is no aws command")
	}
	file := value(env, "KUBECONFIG")
	mustRun(t, env, aws, "eks", "update-kubeconfig", "--name", seed.Cluster, "--alias", "own")
	mustRun(t, env, aws, "eks", "update-kubeconfig", "--name", seed.Cluster, "--alias", "look", "--user-alias", "look", "--role-arn", viewer)
	want := map[string]string{"own": "admin", "look": "viewer:EKSGetTokenAuth"}
	check := func(when, command string) {
		t.Helper()
		actAs(t, when, env, want)
		for name, user := range load(t, file).AuthInfos {
			if got := strings.TrimSuffix(filepath.Base(user.Exec.Command), ".exe"); got != command {
				t.Errorf("%s: %s runs %s, want %s", when, name, got, command)
			}
		}
	}
	check("as aws wrote it", "aws")
	mustRun(t, env, shared.Record().Ekskey, "kubeconfig", "convert")
	check("converted", "ekskey")
	mustRun(t, env, shared.Record().Ekskey, "kubeconfig", "convert", "--to", "aws")
	check("put back", "aws")
}
