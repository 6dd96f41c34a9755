package kubeconfig

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

func TestTargetOf(t *testing.T) {
	const other = "arn:aws:eks:eu-west-1:444455556666:cluster/demo"
	const uuid = "0a1b2c3d-0000-4000-8000-0123456789ab"
	exec := func(command, words string, env ...EnvVar) *Exec {
		return &Exec{Command: command, Args: strings.Fields(words), Env: env}
	}
	ours := exec("/opt/ekskey", "token --cluster demo --region eu-west-1")
	known := Target{ARN: demoARN, Name: "demo", Region: "eu-west-1", Account: "111122223333", Program: "ekskey"}
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
			with(known, func(t *Target) { t.Profile, t.Roles = "p", []Hop{{ARN: "a", ExternalID: "e"}, {ARN: "b"}} })},
		{"aws", Context{Cluster: demoARN}, exec("aws", "--region eu-west-1 eks get-token --cluster-name demo --output json", EnvVar{"AWS_PROFILE", "p"}),
			with(known, func(t *Target) { t.Profile, t.Program = "p", "aws" })},
		{"authenticator on Windows", Context{Cluster: demoARN}, exec(`C:\bin\aws-iam-authenticator.EXE`, "token -i demo"), with(known, func(t *Target) { t.Program = "aws-iam-authenticator" })},
		{"local cluster", Context{MadeFor: demoARN, Cluster: demoARN}, exec("ekskey", "token --cluster "+uuid+" --region eu-west-1"), with(known, func(t *Target) { t.Name = uuid })},
		{"local cluster, led elsewhere", Context{MadeFor: demoARN, Cluster: "c"}, exec("ekskey", "token --cluster "+uuid+" --region eu-west-1"), with(unknown, func(t *Target) { t.Name = uuid })},
		{"under another name, marked", Context{MadeFor: demoARN}, exec("/opt/kk", "token --cluster demo"), with(known, func(t *Target) { t.Program = "kk" })},
		{"under another name", Context{Cluster: demoARN}, exec("/opt/kk", "token --cluster demo"), nil},
		{"wrapped", Context{Cluster: demoARN}, exec("aws-vault", "exec p -- aws eks get-token --cluster-name demo"), nil},
		{"somebody unknown", Context{Cluster: demoARN}, exec("ekskey", "token -i demo", EnvVar{"AWS_ACCESS_KEY_ID", "x"}), nil},
		{"no plugin", Context{MadeFor: demoARN, Cluster: demoARN}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := targetOf(tt.context, tt.exec)
			if ok != (tt.want != nil) {
				t.Fatalf("known: %v, %+v", ok, got)
			}
			if ok {
				if diff := cmp.Diff(*tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// Only a context that is new in all files is marked, and only our mark is read.
func TestMark(t *testing.T) {
	wrap := func(extensions string) string {
		return "contexts:\n- name: demo\n  context: {namespace: ns, extensions: " + extensions + "}\n"
	}
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"new", []string{""}, demoARN},
		{"new, with others", []string{"contexts:\n- name: x\n", "contexts:\n- name: y\n"}, demoARN},
		{"there", []string{"contexts:\n- name: demo\n"}, ""},
		{"there, in another file", []string{clusterHere, "contexts:\n- name: demo\n"}, ""},
		{"marked", []string{wrap("[{name: ekskey, extension: {cluster: x}}]")}, "x"},
		{"marked in another file", []string{clusterHere, wrap("[{name: ekskey, extension: {cluster: x}}]")}, "x"},
		{"an extension of another", []string{wrap("[{name: minikube.sigs.k8s.io, extension: {cluster: x}}]")}, ""},
		{"among others", []string{wrap("[{name: a, extension: 1}, {extension: {cluster: x, more: [1]}, name: ekskey}]")}, "x"},
		{"another shape", []string{wrap("[{name: ekskey, extension: {cluster: [x]}}]")}, ""},
		{"a string", []string{wrap("[{name: ekskey, extension: x}]")}, ""},
		{"nothing", []string{wrap("[{name: ekskey}]")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			paths := list(t, tt.files...)
			for range 2 {
				if _, err := Update(t.Context(), listEnv(paths), batch(mustChange(t, demo()))); err != nil {
					t.Fatal(err)
				}
				m, err := ReadMerged(listEnv(paths))
				if err != nil {
					t.Fatal(err)
				}
				all := m.Contexts()
				i := slices.IndexFunc(all, func(c MergedContext) bool { return c.Name == "demo" })
				if got := all[i].MadeFor; got != tt.want {
					t.Errorf("made for %q, want %q", got, tt.want)
				}
			}
		})
	}
	for _, extensions := range []string{"x", "{a: b}", "[x]", "[{name: [x]}]"} {
		if _, err := Parse("config", []byte(wrap(extensions))); err == nil {
			t.Errorf("%s is accepted", extensions)
		}
	}
}

// kubectl keeps the mark when it writes the file.
func TestMarkSurvivesClientGo(t *testing.T) {
	f := mustParse(t, "")
	if _, err := f.Apply(mustChange(t, demo())); err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.Load(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	c.Contexts["other"] = api.NewContext()
	text, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	g := mustParse(t, string(text))
	if i, _ := g.find(contextList, "demo"); g.contexts[i].MadeFor != demoARN {
		t.Errorf("got %+v\n%s", g.contexts, text)
	}
}
