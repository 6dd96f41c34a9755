package execplugin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	whole := Meaning{Program: Ekskey, Cluster: "c", Region: "r", Profile: "p", ProfileFlag: true, Roles: []Hop{{ARN: "a", ExternalID: "e", SessionName: "s"}}}
	tests := []struct {
		name string
		exec Invocation
		want *Meaning // nil: unknown
	}{
		{"ours", Invocation{Command: "/opt/ekskey", Args: strings.Fields("token --cluster c --region r --profile p --role-arn a --external-id e --session-name s")}, &whole},
		{"ours on Windows", Invocation{Command: `C:\bin\EKSKEY.EXE`, Args: strings.Fields("token -i c --region=r --profile=p -r a -e e -s s --output json")}, &whole},
		{"one role, flags first", Invocation{Command: "ekskey", Args: strings.Fields("token -e e -s s -r a --cluster c --region r --profile p")}, &whole},
		{"swapped in for aws", Invocation{Command: "ekskey", Args: strings.Fields("--region r eks get-token --cluster-name c")}, &Meaning{Cluster: "c", Region: "r", AWSOrder: true}},
		{"by its given command", Invocation{Command: "/bin/given", Args: strings.Fields("token --cluster c")}, &Meaning{Cluster: "c"}},
		{"aws", Invocation{Command: "aws", Args: strings.Fields("--region r eks get-token --cluster-name c --output json --role-arn a"), Env: []Var{{"AWS_PROFILE", "p"}}},
			&Meaning{Cluster: "c", Region: "r", Profile: "p", Roles: []Hop{{ARN: "a", SessionName: "EKSGetTokenAuth"}}, AWSOrder: true}},
		{"aws, profile over variable", Invocation{Command: "aws", Args: strings.Fields("eks get-token --cluster-name c --profile p"), Env: []Var{{"AWS_PROFILE", "q"}}}, &Meaning{Cluster: "c", Profile: "p", ProfileFlag: true}},
		{"aws, both variables", Invocation{Command: "aws", Args: strings.Fields("eks get-token --cluster-name c"), Env: []Var{{"AWS_DEFAULT_PROFILE", "q"}, {"AWS_PROFILE", "p"}}}, &Meaning{Cluster: "c", Profile: "q", AWSOrder: true, BeyondEnv: "its variable AWS_DEFAULT_PROFILE may decide whom it acts as"}},
		{"ours in the order of aws", Invocation{Command: "ekskey", Args: strings.Fields("token -i c --aws-cli-order=true")}, &Meaning{Cluster: "c", AWSOrder: true}},
		{"ours in its own order", Invocation{Command: "ekskey", Args: strings.Fields("token -i c --aws-cli-order=false")}, &Meaning{Cluster: "c"}},
		{"ours in the order of aws, which a profile has none of", Invocation{Command: "ekskey", Args: strings.Fields("token -i c --profile p --aws-cli-order=true")}, &Meaning{Cluster: "c", Profile: "p", ProfileFlag: true}},
		{"local cluster", Invocation{Command: "aws", Args: strings.Fields("eks get-token --cluster-id c")}, &Meaning{Cluster: "c", AWSOrder: true}},
		{"authenticator", Invocation{Command: "aws-iam-authenticator", Args: strings.Fields("token -i c -r a")}, &Meaning{Cluster: "c", Roles: []Hop{{ARN: "a"}}}},
		{"harmless variables", Invocation{Command: "ekskey", Args: strings.Fields("token -i c"), Env: []Var{{"AWS_STS_REGIONAL_ENDPOINTS", "regional"}, {"HTTPS_PROXY", "x"}, {"AWS_ENDPOINT_URL_STS", "x"}}}, &Meaning{Cluster: "c", BeyondEnv: "its variable AWS_ENDPOINT_URL_STS may decide whom it acts as"}},
		{"keys in a variable", Invocation{Command: "ekskey", Args: strings.Fields("token -i c"), Env: []Var{{"AWS_ACCESS_KEY_ID", "x"}}}, nil},
		{"keys in a variable, Windows", Invocation{Command: "ekskey", Args: strings.Fields("token -i c"), Env: []Var{{"aws_access_key_id", "x"}}}, nil},
		{"another home", Invocation{Command: "ekskey", Args: strings.Fields("token -i c"), Env: []Var{{"HOME", "x"}}}, nil},
		{"unknown flag", Invocation{Command: "ekskey", Args: strings.Fields("token -i c --credentials x")}, nil},
		{"flag without value", Invocation{Command: "ekskey", Args: strings.Fields("token -i c --region")}, nil},
		{"wrapped", Invocation{Command: "aws-vault", Args: strings.Fields("exec p -- aws eks get-token --cluster-name c")}, nil},
		{"another command", Invocation{Command: "/bin/other", Args: strings.Fields("token --cluster c")}, nil},
		{"another subcommand", Invocation{Command: "ekskey", Args: strings.Fields("whoami --cluster c")}, nil},
		{"no cluster", Invocation{Command: "ekskey", Args: strings.Fields("token")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(tt.exec, "/bin/given")
			if (err == nil) != (tt.want != nil) {
				t.Fatalf("%v: %+v", err, got)
			}
			if err != nil {
				return
			}
			if tt.want.Program == "" {
				got.Program = "" // of no concern here
			}
			got.ByID = tt.want.ByID
			if diff := cmp.Diff(*tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// K05: what convert reads, list, sync and prune read as well, however it is written.
func TestK05OneGrammar(t *testing.T) {
	role := []Hop{{ARN: "a", SessionName: AWSSession}}
	run := func(command, words string, env ...Var) Invocation {
		return Invocation{Command: command, Args: strings.Fields(words), Env: env}
	}
	for _, tt := range []struct {
		in   Invocation
		want Meaning
	}{
		{run("aws", "eks get-token --cluster-name c --no-cli-pager"), Meaning{Cluster: "c", AWSOrder: true}},
		{run("aws", "--no-cli-pager --no-paginate --color=off eks --region=r get-token --cluster-name=c --output=json"), Meaning{Cluster: "c", Region: "r", AWSOrder: true}},
		{run("aws", "eks get-token --cluster-name c --no-cli-auto-prompt --cli-read-timeout 5 --cli-connect-timeout=5 --role a"), Meaning{Cluster: "c", Roles: role, AWSOrder: true}},
		{run("aws", "eks get-token --cluster-name c --debug"), Meaning{Cluster: "c", AWSOrder: true, Beyond: "--debug cannot be carried over"}},
		{run("aws", "eks get-token --cluster-name c --query status.token"), Meaning{Cluster: "c", AWSOrder: true, Beyond: "--query cannot be carried over"}},
		{run("aws", "--endpoint-url https://x eks get-token --cluster-name c"), Meaning{Cluster: "c", AWSOrder: true, Beyond: "--endpoint-url cannot be carried over"}},
		{run("aws.cmd", "eks get-token --cluster-name c"), Meaning{Cluster: "c", AWSOrder: true}},
		{run("aws", "eks get-token --cluster-name c", Var{"AWS_DEFAULT_REGION", "r"}), Meaning{Cluster: "c", Region: "r", AWSOrder: true}},
		{run("aws", "eks get-token --cluster-name c", Var{"AWS_DEFAULT_REGION", "r"}, Var{"AWS_REGION", "s"}),
			Meaning{Cluster: "c", AWSOrder: true, BeyondEnv: "its two variables for the region differ"}},
		{run("env", "AWS_PROFILE=p aws eks get-token --cluster-name c"), Meaning{Cluster: "c", Profile: "p", AWSOrder: true}},
		{run("/usr/bin/env", "-u HTTPS_PROXY -- X=y AWS_PROFILE=p /opt/aws --region r eks get-token --cluster-name c", Var{"AWS_PROFILE", "q"}),
			Meaning{Cluster: "c", Region: "r", Profile: "p", AWSOrder: true}},
		{run("aws-iam-authenticator", "token -i=c -r a --log-format json -v 4 --cache"), Meaning{Cluster: "c", Roles: []Hop{{ARN: "a"}}}},
		{run("heptio-authenticator-aws", "token -i c -s me -e x -r a"), Meaning{Cluster: "c", Roles: []Hop{{ARN: "a", SessionName: "me", ExternalID: "x"}}}},
		{run("aws-iam-authenticator", "token", Var{"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "c"}, Var{"DEFAULT_ROLE", "a"}), Meaning{Cluster: "c", Roles: []Hop{{ARN: "a"}}}},
		{run("aws-iam-authenticator", "token -i c --forward-session-name"), Meaning{Cluster: "c", ForwardSessionName: true}},
		{run("ekskey", "token --cluster c --no-cache --refresh --log-level debug"), Meaning{Cluster: "c"}},
		{run("ekskey", "token --cluster c --cache-all --mfa-command x --forward-session-name=false"), Meaning{Cluster: "c", CacheAll: true, MFACommand: "x"}},
		{run("ekskey", "--log-level=info token --cluster-name=c -o json"), Meaning{Cluster: "c"}},
		{run("ekskey", "eks get-token --cluster-name c --no-cli-pager --color off"), Meaning{Cluster: "c", AWSOrder: true}},
		{run("ekskey", "token --cluster c --role-arn a --external-id x --role-arn b --session-name s"), Meaning{Cluster: "c", Roles: []Hop{{ARN: "a", ExternalID: "x"}, {ARN: "b", SessionName: "s"}}}},
	} {
		got, err := Read(tt.in, "")
		got.Program, got.ByID = "", false
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%v: %v\n%s", tt.in, err, diff)
		}
	}
	for _, in := range []Invocation{
		run("env", "-u AWS_PROFILE aws eks get-token --cluster-name c"), run("env", "--unset=HOME aws eks get-token --cluster-name c"),
		run("env", "-i aws eks get-token --cluster-name c"), run("env", "X=y"), run("env", ""), run("env", "-u"),
		run("env", "AWS_ACCESS_KEY_ID=x aws eks get-token --cluster-name c"),
		run("aws", "eks get-token --cluster-name c --no-sign-request"), run("aws", "eks get-token --cluster-name c --version"),
		run("aws", "eks get-token --cluster-name file://x"), run("aws-iam-authenticator", "token -i c --config f"),
		run("ekskey", "token --cluster c --token-only"), run("ekskey", "token --cluster c --cluster d"),
	} {
		if got, err := Read(in, ""); err == nil {
			t.Errorf("%v is read as %+v", in, got)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, row := range []struct {
		command string
		windows bool
		want    string
	}{
		{"aws", false, "aws"}, {"/opt/x/aws", false, "aws"}, {"aws.exe", false, ""}, {`C:\aws.exe`, false, ""}, {"", false, ""},
		{"AWS.exe", true, "aws"}, {`C:\Program Files\aws.cmd`, true, "aws"}, {`.\aws.exe`, true, ""}, {`C:aws.exe`, true, ""},
		{`\\host\share\EKSKEY.EXE`, true, "ekskey"}, {"aws.bat", true, ""},
	} {
		got, reason := Known(Invocation{Command: row.command}, row.windows)
		if got != row.want || (got == "") != (reason != "") {
			t.Errorf("%q, windows %v: %q, %q", row.command, row.windows, got, reason)
		}
	}
}

// FuzzRead holds that a translation is for the same principal and cluster, there and
// back, and that no word is repeated in a reason.
func FuzzRead(f *testing.F) {
	for _, words := range []string{
		"aws eks get-token --cluster-name c --region r --role arn:aws:iam::111122223333:role/a", "aws --profile p eks get-token --cluster-id=c --no-cli-pager",
		"aws-iam-authenticator token -i c -r arn:aws:iam::111122223333:role/a -s s -e x", "heptio-authenticator-aws token -i=c --forward-session-name",
		"ekskey token --cluster c --role-arn a --role-arn b", "env AWS_PROFILE=p X=y aws eks get-token --cluster-name c", "env -u X -- ekskey eks get-token --cluster-name c",
	} {
		f.Add(words, "AWS_PROFILE=p AWS_DEFAULT_REGION=r DEFAULT_ROLE=arn:aws:iam::111122223333:role/b")
	}
	f.Fuzz(func(t *testing.T, words, variables string) {
		fields := strings.Split(words, " ")
		in := Invocation{Command: fields[0], Args: fields[1:]}
		for _, v := range strings.Fields(variables) {
			name, value, _ := strings.Cut(v, "=")
			in.Env = append(in.Env, Var{name, value})
		}
		m, err := Read(in, "")
		if err != nil {
			return
		}
		if m.Cluster == "" {
			t.Fatalf("%q: no cluster: %+v", words, m)
		}
		to, err := ToEkskey(in, "/bin/ekskey", "v1")
		if err != nil || m.Program == Ekskey {
			return
		}
		now, err := Read(to, "")
		if err != nil || now.Cluster != m.Cluster || !now.SamePrincipal(m) {
			t.Fatalf("%v became %v\n%+v\n%+v\n%v", in, to, m, now, err)
		}
		if back, err := FromEkskey(to, ""); err == nil {
			again, err := Read(back, "")
			if again.Program == Authenticator {
				for i := range again.Roles {
					if again.Roles[i].SessionName == ourSession && m.Roles[i].SessionName == "" {
						again.Roles[i].SessionName = ""
					}
				}
			}
			if err != nil || again.Cluster != m.Cluster || !again.SamePrincipal(m) {
				t.Fatalf("%v became %v and %v\n%+v\n%+v\n%v", in, to, back, m, again, err)
			}
		}
	})
}
