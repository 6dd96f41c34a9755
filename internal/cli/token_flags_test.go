package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/awsconf"
)

// tokenLine parses a command line of `ekskey token` and gives what would be run.
func tokenLine(a *app, args []string) (got tokenOptions, err error) {
	cmd := newTokenCommand(a, func(_ context.Context, o tokenOptions) error {
		got = o
		return nil
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	return got, cmd.Execute()
}

func TestTokenOptions(t *testing.T) {
	for _, tt := range []struct {
		line string
		want tokenOptions
	}{
		{"--cluster c", tokenOptions{cluster: "c"}},
		{"-i c", tokenOptions{cluster: "c"}},
		{"--cluster-id c --token-only", tokenOptions{cluster: "c", tokenOnly: true}},
		{"--cluster-name c --exec-api-version v1", tokenOptions{cluster: "c", execAPIVersion: "v1"}},
		// All that aws-iam-authenticator takes.
		{"-i c --cache --token-only -l json -v debug --feature-gates X=true", tokenOptions{cluster: "c", tokenOnly: true}},
		{"--cluster-id=c --cache=false --log-format text --log-verbosity info", tokenOptions{cluster: "c"}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			got, err := tokenLine(testApp(), strings.Fields(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestWhichCluster(t *testing.T) {
	const (
		info      = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"config":{"clusterName":"told"}},"interactive":true}}`
		nameless  = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"config":{}},"interactive":true}}`
		admin     = "arn:aws:iam::111122223333:role/admin"
		dev       = "arn:aws:iam::111122223333:role/dev"
		noCluster = ""
	)
	asDev := []awsconf.Role{{ARN: dev}}
	for _, tt := range []struct {
		name, line string
		env        map[string]string
		cluster    string
		roles      []awsconf.Role
	}{
		{"nothing", "", nil, noCluster, nil},
		{"a flag goes before all", "--cluster c", map[string]string{"KUBERNETES_EXEC_INFO": info, clusterVar: "v"}, "c", nil},
		{"then the client", "", map[string]string{"KUBERNETES_EXEC_INFO": info, clusterVar: "v"}, "told", nil},
		{"then the variable", "", map[string]string{"KUBERNETES_EXEC_INFO": nameless, clusterVar: "v"}, "v", nil},
		{"a client that cannot be understood", "", map[string]string{"KUBERNETES_EXEC_INFO": "[" + info + "]", clusterVar: "v"}, "v", nil},
		{"an empty flag is one", "--cluster=", map[string]string{"KUBERNETES_EXEC_INFO": info, clusterVar: "v"}, noCluster, nil},
		{"so is an empty -i", "--cluster-id=", map[string]string{clusterVar: "v"}, noCluster, nil},
		{"so is an empty --cluster-name", "--cluster-name=", map[string]string{clusterVar: "v"}, noCluster, nil},

		// The role's variable counts only beside aws-iam-authenticator's other words.
		{"our flag", "--cluster c", map[string]string{roleVar: dev}, "c", nil},
		{"its flag", "-i c", map[string]string{roleVar: dev}, "c", asDev},
		{"its variable", "", map[string]string{roleVar: dev, clusterVar: "v"}, "v", asDev},
		{"the client", "", map[string]string{roleVar: dev, "KUBERNETES_EXEC_INFO": info}, "told", nil},
		{"its flag, and a role", "-i c -r " + admin, map[string]string{roleVar: dev}, "c", []awsconf.Role{{ARN: admin}}},
		{"its flag, and an external id", "-i c -e x", map[string]string{roleVar: dev}, "c", []awsconf.Role{{ARN: dev, ExternalID: "x"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testAppWith(tt.env)
			got, err := tokenLine(a, strings.Fields(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if got.cluster != tt.cluster {
				t.Errorf("cluster %q, want %q", got.cluster, tt.cluster)
			}
			roles, err := a.global.roles.chain()
			if d := cmp.Diff(tt.roles, roles); d != "" || err != nil {
				t.Error(d, err)
			}
		})
	}
}

func TestAuthenticatorConfig(t *testing.T) {
	for _, tt := range []struct {
		name, line, file, want string
		fails                  bool
	}{
		{"YAML", "-c FILE", "clusterID: file\nserver:\n  port: 1\n", "file", false},
		{"JSON", "--config FILE", `{"clusterID":"file"}`, "file", false},
		{"in another case", "-c FILE", "CLUSTERID: file\n", "file", false},
		{"the flag goes before", "-c FILE -i flag", "clusterID: file\n", "flag", false},
		{"no cluster", "-c FILE", "server: {}\n", "", false},
		{"empty", "-c FILE", "", "", false},
		{"not YAML", "-c FILE", "{", "", true},
		{"a list", "-c FILE", "- clusterID\n", "", true},
		{"no file", "-c FILE.not", "", "", true},
		// What would change whose token it is.
		{"a role", "-c FILE -i c", "role: arn:aws:iam::111122223333:role/dev\n", "", true},
		{"an external id", "-c FILE", "clusterID: c\nexternalID: x\n", "", true},
		{"a session name", "-c FILE", "sessionname: x\n", "", true},
		{"a forwarded one", "-c FILE", "forwardSessionName: true\n", "", true},
		{"a region", "-c FILE", "region: x\n", "", true},
		{"the bare token", "-c FILE", "tokenOnly: true\n", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var args []string
			for _, word := range strings.Fields(tt.line) {
				args = append(args, strings.Replace(word, "FILE", path, 1))
			}
			got, err := tokenLine(testApp(), args)
			if (err != nil) != tt.fails || err == nil && got.cluster != tt.want {
				t.Errorf("cluster %q, error %v", got.cluster, err)
			}
		})
	}
}

func TestForwardedOrGiven(t *testing.T) {
	for line, fails := range map[string]bool{
		"whoami --role-arn a --forward-session-name":                               false,
		"whoami --role-arn a --session-name s":                                     false,
		"whoami --role-arn a --session-name s --forward-session-name":              true,
		"whoami --role-arn a --role-arn b --session-name s --forward-session-name": true,
		"whoami --session-name s --forward-session-name":                           false, // no role: they say nothing
	} {
		a := testApp()
		parse(t, a, line)
		_, err := a.awsConfig()
		var usage *usageError
		if errors.As(err, &usage) != fails {
			t.Errorf("%s: %v", line, err)
		}
	}
}
