package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

func testApp() *app { return testAppWith(nil) }

func testAppWith(env map[string]string) *app {
	return newApp(Env{
		Program: "ekskey", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		Getenv: func(name string) string { return env[name] }, Now: time.Now,
	})
}

// parse reads a command line up to the point where the command would run.
func parse(t *testing.T, a *app, line string) {
	t.Helper()
	root := newRootCommand(a)
	cmd, rest, err := root.Find(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
}

func TestRoleChain(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []awsconf.Role
		fails      bool
	}{
		{"none", "token --external-id x --session-name s --mfa-serial m", nil, false},
		{"one, flags before", "token --external-id x --session-name s --mfa-serial m --role-arn a",
			[]awsconf.Role{{ARN: "a", ExternalID: "x", SessionName: "s", MFASerial: "m"}}, false},
		{"one, flags behind", "token --role-arn a --external-id x --session-name s",
			[]awsconf.Role{{ARN: "a", ExternalID: "x", SessionName: "s"}}, false},
		{"one, the last flag wins", "token --external-id x --role-arn a --external-id y",
			[]awsconf.Role{{ARN: "a", ExternalID: "y"}}, false},
		{"one, in other tools' letters", "token -e x -r a -s s",
			[]awsconf.Role{{ARN: "a", ExternalID: "x", SessionName: "s"}}, false},
		{"one, by another name", "token --role a",
			[]awsconf.Role{{ARN: "a"}}, false},
		{"two, each its own", "token --role-arn a --external-id x --role-arn b --session-name s",
			[]awsconf.Role{{ARN: "a", ExternalID: "x"}, {ARN: "b", SessionName: "s"}}, false},
		{"two, names mixed", "token -r a -e x --role-arn b -e y",
			[]awsconf.Role{{ARN: "a", ExternalID: "x"}, {ARN: "b", ExternalID: "y"}}, false},
		{"three", "whoami --role-arn a --role-arn b --mfa-serial m --role-arn c",
			[]awsconf.Role{{ARN: "a"}, {ARN: "b", MFASerial: "m"}, {ARN: "c"}}, false},
		{"a duration", "token --role-arn a --duration 90m", []awsconf.Role{{ARN: "a", Duration: 90 * time.Minute}}, false},
		{"a duration in seconds, before", "token --duration 900 --role-arn a", []awsconf.Role{{ARN: "a", Duration: 15 * time.Minute}}, false},
		{"two durations", "token --role-arn a --duration 12h --role-arn b --duration 3600",
			[]awsconf.Role{{ARN: "a", Duration: 12 * time.Hour}, {ARN: "b", Duration: time.Hour}}, false},
		{"two, a duration for one", "token --role-arn a --role-arn b --duration 1h",
			[]awsconf.Role{{ARN: "a"}, {ARN: "b", Duration: time.Hour}}, false},
		{"two, a duration before both", "token --duration 1h --role-arn a --role-arn b", nil, true},
		{"two, a flag before both", "token --external-id x --role-arn a --role-arn b", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testApp()
			parse(t, a, tt.line)
			got, err := a.global.roles.chain()
			var usage *usageError
			if errors.As(err, &usage) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAWSConfig(t *testing.T) {
	a := testApp()
	parse(t, a, "whoami --profile p --region r --endpoint-url https://e --ca-bundle c --role-arn a --forward-session-name --no-cache --cache-all")
	got, err := a.awsConfig()
	if err != nil {
		t.Fatal(err)
	}
	want := awsconf.Config{Profile: "p", Region: "r", EndpointURL: "https://e", CABundle: "c", Roles: []awsconf.Role{{ARN: "a"}}, ForwardSessionName: true, CacheOpaque: true}
	if got.MFACode != nil {
		t.Error("it would ask where there is no terminal")
	}
	got.Getenv, got.Log = nil, nil
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(awsconf.Config{})); d != "" {
		t.Error(d)
	}
}

func TestUpdateOptions(t *testing.T) {
	cluster := &types.Cluster{
		Name: aws.String("demo"), Arn: aws.String("arn:aws:eks:eu-central-1:111122223333:cluster/demo"),
		Endpoint: aws.String("https://x"), CertificateAuthority: &types.Certificate{Data: aws.String("Y2E=")},
	}
	base := kubeconfig.Options{
		ClusterARN: *cluster.Arn, ClusterName: "demo", Region: "eu-central-1", Endpoint: "https://x",
		CAData: []byte("Y2E="), Command: "/bin/ekskey", SetCurrent: true,
	}
	for _, tt := range []struct {
		line   string
		roles  []awsconf.Role
		change func(*kubeconfig.Options)
	}{
		{"--name demo", nil, func(*kubeconfig.Options) {}},
		{"--name demo --alias a --user-alias u --namespace n", nil, func(o *kubeconfig.Options) { o.Alias, o.UserAlias, o.Namespace = "a", "u", "n" }},
		{"--name demo --no-set-context --dry-run --kubeconfig f --describe-role-arn r", nil, func(o *kubeconfig.Options) { o.SetCurrent = false }},
		{"--name demo --cluster-alias c --server https://s --tls-server-name t --proxy-url http://p --exec-command x --exec-api-version v1beta1", nil, func(o *kubeconfig.Options) {
			o.ClusterAlias, o.Server, o.TLSServerName, o.ProxyURL, o.Command, o.ExecVersion = "c", "https://s", "t", "http://p", "x", "v1beta1"
		}},
		{"--name demo", []awsconf.Role{{ARN: "r", ExternalID: "x", SessionName: "s", MFASerial: "m"}}, func(o *kubeconfig.Options) {
			o.RoleChain = []kubeconfig.Hop{{ARN: "r", ExternalID: "x", SessionName: "s", MFASerial: "m"}}
		}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			var options updateOptions
			cmd := newKubeconfigUpdateCommand(testApp(), func(_ context.Context, o updateOptions) error {
				options = o
				return nil
			})
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			if options.command == "" {
				options.command = base.Command
			}
			want := base
			tt.change(&want)
			if d := cmp.Diff(want, entries(testApp().wanted(options, tt.roles), cluster, "eu-central-1")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestConvertOptions(t *testing.T) {
	for line, want := range map[string]convertOptions{
		"":         {to: "ekskey"},
		"--to aws": {to: "aws"},
		"--context a,b --context c --kubeconfig f --dry-run": {to: "ekskey", contexts: []string{"a,b", "c"}, files: kubeconfigFlags{file: "f"}, dryRun: true},
	} {
		var got convertOptions
		cmd := newKubeconfigConvertCommand(testApp(), func(_ context.Context, o convertOptions) error {
			got = o
			return nil
		})
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(convertOptions{}, kubeconfigFlags{})); d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
}

func TestListRemovePruneOptions(t *testing.T) {
	var list listContextsOptions
	var remove removeOptions
	var prune pruneOptions
	for _, run := range []struct {
		line string
		cmd  *cobra.Command
	}{
		{"--offline --kubeconfig f", newKubeconfigListCommand(testApp(), func(_ context.Context, o listContextsOptions) error { list = o; return nil })},
		{"a b --dry-run --kubeconfig f", newKubeconfigRemoveCommand(testApp(), func(_ context.Context, o removeOptions) error { remove = o; return nil })},
		{"--all --dry-run --kubeconfig f", newKubeconfigPruneCommand(testApp(), func(_ context.Context, o pruneOptions) error { prune = o; return nil })},
	} {
		run.cmd.SetArgs(strings.Fields(run.line))
		if err := run.cmd.Execute(); err != nil {
			t.Fatal(err)
		}
	}
	if want := (listContextsOptions{files: kubeconfigFlags{file: "f"}, offline: true}); list != want {
		t.Errorf("list: %+v", list)
	}
	if d := cmp.Diff(removeOptions{contexts: []string{"a", "b"}, files: kubeconfigFlags{file: "f"}, dryRun: true}, remove, cmp.AllowUnexported(removeOptions{}, kubeconfigFlags{})); d != "" {
		t.Errorf("remove: %s", d)
	}
	if want := (pruneOptions{files: kubeconfigFlags{file: "f"}, all: true, dryRun: true}); prune != want {
		t.Errorf("prune: %+v", prune)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	a := testApp()
	for _, path := range CommandPaths() {
		cmd, _, err := newRootCommand(a).Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no help or no example", path)
		}
	}
}
