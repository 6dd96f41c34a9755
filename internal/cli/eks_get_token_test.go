package cli

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestAWSOrder(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"in order", "eks get-token --cluster-name c", "eks get-token --cluster-name c"},
		{"before", "--region r --profile=p eks get-token --cluster-name c", "eks get-token --region r --profile=p --cluster-name c"},
		{"between", "eks --region r get-token --cluster-name c", "eks get-token --region r --cluster-name c"},
		{"everywhere", "--region r eks --debug get-token --cluster-name c --output json", "eks get-token --region r --debug --cluster-name c --output json"},
		{"a switch before, which takes no word", "--debug eks get-token", "eks get-token --debug"},
		{"each switch", "--no-verify-ssl --no-paginate --no-cli-pager --cli-auto-prompt --no-cli-auto-prompt --v2-debug eks get-token",
			"eks get-token --no-verify-ssl --no-paginate --no-cli-pager --cli-auto-prompt --no-cli-auto-prompt --v2-debug"},
		{"each word", "--color off --cli-read-timeout 1 --cli-connect-timeout 2 --cli-binary-format base64 --cli-error-format json eks get-token",
			"eks get-token --color off --cli-read-timeout 1 --cli-connect-timeout 2 --cli-binary-format base64 --cli-error-format json"},
		{"a value that is a word of the command", "--profile eks eks get-token", "eks get-token --profile eks"},
		{"another", "--profile get-token eks get-token", "eks get-token --profile get-token"},
		{"a cluster by that name", "eks get-token --cluster-name eks", "eks get-token --cluster-name eks"},
		{"our own global flags", "--no-cache --mfa-code 1 eks get-token --refresh", "eks get-token --no-cache --mfa-code 1 --refresh"},

		{"abbreviated, for all", "--reg r eks get-token", "eks get-token --region r"},
		{"with a value", "eks get-token --cluster-n=c", "eks get-token --cluster-name=c"},
		{"to the role", "eks get-token --role a", "eks get-token --role-arn a"},
		{"first among the global ones", "eks get-token --r r", "eks get-token --region r"},
		{"ambiguous", "eks get-token --cluster c", "eks get-token --cluster c"},
		{"ambiguous globally", "eks get-token --cli- c", "eks get-token --cli- c"},
		{"unknown", "eks get-token --nope eks get-token", "eks get-token --nope eks get-token"},
		{"unknown before", "--nope eks get-token --reg r", "--nope eks get-token --reg r"},
		{"a value that is missing", "eks get-token --region", "eks get-token --region"},

		{"another command", "token --cluster eks --session-name get-token", "token --cluster eks --session-name get-token"},
		{"another with flags before", "--region eks token --cluster get-token --reg r", "--region eks token --cluster get-token --reg r"},
		{"the words in another order", "get-token eks --reg r", "get-token eks --reg r"},
		{"one of them alone", "eks --reg r", "eks --reg r"},
		{"one of them a value", "--profile get-token eks --reg r", "--profile get-token eks --reg r"},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.Fields(tt.line)
			before := slices.Clone(args)
			if got := strings.Join(awsOrder(newRootCommand(testApp()), args), " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !slices.Equal(args, before) {
				t.Errorf("the arguments were changed: %q", args)
			}
		})
	}
}

// No word is lost or made up, and a line without both words of the command stays.
func FuzzAWSOrder(f *testing.F) {
	for _, line := range []string{"", "eks get-token", "--region r eks --debug get-token --cl= --x", "token --cluster eks get-token", "-- eks get-token", "--= eks get-token --"} {
		f.Add(line)
	}
	root := newRootCommand(testApp())
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		got := awsOrder(root, args)
		if len(got) != len(args) {
			t.Errorf("%q became %q", args, got)
		}
		if !(slices.Contains(args, "eks") && slices.Contains(args, "get-token")) && !slices.Equal(got, args) {
			t.Errorf("%q became %q", args, got)
		}
	})
}

func TestEKSGetTokenOptions(t *testing.T) {
	for _, tt := range []struct {
		line string
		want eksGetTokenOptions
	}{
		{"--cluster-name c", eksGetTokenOptions{clusterName: "c"}},
		{"--cluster-id c --debug", eksGetTokenOptions{clusterID: "c", debug: true}},
		{"--cluster-name c --query q --no-sign-request --version", eksGetTokenOptions{clusterName: "c", query: "q", noSignRequest: true, version: true}},
		{"--cluster-name c --no-verify-ssl --color off --cli-read-timeout 0", eksGetTokenOptions{clusterName: "c"}},
	} {
		t.Run(tt.line, func(t *testing.T) {
			var got eksGetTokenOptions
			cmd := newEKSGetTokenCommand(testApp(), func(_ context.Context, o eksGetTokenOptions) error {
				got = o
				return nil
			})
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The AWS CLI's options are no other command's.
func TestAWSOptionsDoNotLeak(t *testing.T) {
	root := newRootCommand(testApp())
	for _, name := range append(append(awsSwitches(), awsWords()...), "debug", "query", "no-sign-request") {
		var walk func(*cobra.Command)
		walk = func(c *cobra.Command) {
			if c.CommandPath() != "ekskey eks get-token" && c.Flag(name) != nil {
				t.Errorf("%s takes --%s", c.CommandPath(), name)
			}
			for _, sub := range c.Commands() {
				walk(sub)
			}
		}
		walk(root)
	}
}
