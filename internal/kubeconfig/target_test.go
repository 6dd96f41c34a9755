package kubeconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/execplugin"
)

func TestTargetOf(t *testing.T) {
	const other = "arn:aws:eks:eu-west-1:444455556666:cluster/demo"
	const uuid = "0a1b2c3d-0000-4000-8000-0123456789ab"
	exec := func(command, words string, env ...EnvVar) *Exec {
		return &Exec{Command: command, Args: strings.Fields(words), Env: env}
	}
	ours := exec("/opt/ekskey", "token --cluster demo --region eu-west-1")
	known := Target{ARN: demoARN, Account: "111122223333", Meaning: execplugin.Meaning{Cluster: "demo", Region: "eu-west-1", Program: "ekskey"}}
	unknown := known
	unknown.ARN, unknown.Account = "", ""
	with := func(t Target, change func(*Target)) *Target {
		change(&t)
		return &t
	}
	tests := []struct {
		name    string
		context Context
		exec    *Exec
		want    *Target // nil: none
	}{
		{"marked", Context{MadeFor: demoARN, Cluster: "c"}, ours, &known},
		{"cluster named by its ARN", Context{Cluster: demoARN}, ours, &known},
		{"both", Context{MadeFor: demoARN, Cluster: demoARN}, ours, &known},
		{"neither", Context{Cluster: "c"}, ours, &unknown},
		{"two that differ in the account", Context{MadeFor: demoARN, Cluster: other}, ours, &unknown},
		{"marked for another cluster", Context{MadeFor: demoARN + "2", Cluster: "c"}, ours, &unknown},
		{"marked for another cluster, and led to this one", Context{MadeFor: demoARN + "2", Cluster: demoARN}, ours, &known},
		{"another region", Context{MadeFor: strings.ReplaceAll(demoARN, "eu-west-1", "eu-west-2")}, ours, &unknown},
		{"no ARN of a cluster", Context{MadeFor: strings.ReplaceAll(demoARN, "cluster/", "nodegroup/"), Cluster: "arn:aws:s3:::demo"}, ours, &unknown},
		{"no account", Context{Cluster: strings.ReplaceAll(demoARN, "111122223333", "")}, ours, &unknown},
		{"no region in the words", Context{Cluster: demoARN}, exec("ekskey", "token -i demo"), &known},
		{"no region at all", Context{Cluster: "c"}, exec("ekskey", "token -i demo"), with(unknown, func(t *Target) { t.Region = "" })},
		{"profile and roles", Context{MadeFor: demoARN}, exec("ekskey", "token --cluster demo --profile p --role-arn a --external-id e --role-arn b"),
			with(known, func(t *Target) {
				t.Profile, t.ProfileFlag, t.Roles = "p", true, []Hop{{ARN: "a", ExternalID: "e"}, {ARN: "b"}}
			})},
		{"aws", Context{Cluster: demoARN}, exec("aws", "--region eu-west-1 eks get-token --cluster-name demo --output json", EnvVar{Name: "AWS_PROFILE", Value: "p"}),
			with(known, func(t *Target) { t.Profile, t.Program, t.AWSOrder = "p", "aws", true })},
		{"aws, profile by flag", Context{Cluster: demoARN}, exec("aws", "--profile p eks get-token --cluster-name demo"),
			with(known, func(t *Target) { t.Profile, t.ProfileFlag, t.Program = "p", true, "aws" })},
		{"our eks get-token", Context{Cluster: demoARN}, exec("ekskey", "eks get-token --cluster-name demo"), with(known, func(t *Target) { t.AWSOrder = true })},
		{"--aws-cli-order", Context{Cluster: demoARN}, exec("ekskey", "token -i demo --aws-cli-order=true"), with(known, func(t *Target) { t.AWSOrder = true })},
		{"--aws-cli-order=false", Context{Cluster: demoARN}, exec("ekskey", "token -i demo --aws-cli-order=false"), &known},
		{"authenticator on Windows", Context{Cluster: demoARN}, exec(`C:\bin\aws-iam-authenticator.EXE`, "token -i demo"), with(known, func(t *Target) { t.Program = "aws-iam-authenticator" })},
		{"local cluster", Context{MadeFor: demoARN, Cluster: demoARN}, exec("ekskey", "token --cluster "+uuid+" --region eu-west-1"), with(known, func(t *Target) { t.Cluster = uuid })},
		{"local cluster, led elsewhere", Context{MadeFor: demoARN, Cluster: "c"}, exec("ekskey", "token --cluster "+uuid+" --region eu-west-1"), with(unknown, func(t *Target) { t.Cluster = uuid })},
		{"under another name, marked", Context{MadeFor: demoARN}, exec("/opt/kk", "token --cluster demo"), &known},
		{"under another name", Context{Cluster: demoARN}, exec("/opt/kk", "token --cluster demo"), nil},
		{"wrapped", Context{Cluster: demoARN}, exec("aws-vault", "exec p -- aws eks get-token --cluster-name demo"), nil},
		{"somebody unknown", Context{Cluster: demoARN}, exec("ekskey", "token -i demo", EnvVar{Name: "AWS_ACCESS_KEY_ID", Value: "x"}), nil},
		{"no plugin", Context{MadeFor: demoARN, Cluster: demoARN}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := targetOf(tt.context, tt.exec)
			if ok != (tt.want != nil) {
				t.Fatalf("known: %v, %+v", ok, got)
			}
			if ok {
				got.ByID = false // of no concern here
				if diff := cmp.Diff(*tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}
