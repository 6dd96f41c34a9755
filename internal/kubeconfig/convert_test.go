package kubeconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/internal/execplugin"
)

const (
	ourPath  = "/usr/local/bin/ekskey"
	testRole = "arn:aws:iam::111122223333:role/admin"
)

func toOursTest() Conversion { return Conversion{Command: ourPath} }
func toAWSTest() Conversion  { return Conversion{Command: ourPath, ToAWS: true} }

// convertText converts all users of a text, and holds that a second time
// changes no byte and that client-go reads the result.
func convertText(t *testing.T, c Conversion, text string) (string, []ConvertedUser) {
	t.Helper()
	f := mustParse(t, text)
	users, err := convertFile(c, f)
	if err != nil {
		t.Fatal(err)
	}
	out := string(f.Bytes())
	again, err := convertFile(c, f)
	if err != nil || string(f.Bytes()) != out {
		t.Fatalf("a second time: %v\n%s", err, f.Bytes())
	}
	for _, u := range again {
		if u.State == Converted {
			t.Fatalf("a second time: %+v", u)
		}
	}
	if _, err := clientcmd.Load([]byte(out)); err != nil {
		t.Fatalf("client-go: %v\n%s", err, out)
	}
	return out, users
}

const convertIn = `# mine
apiVersion: v1
kind: Config
users:
- name: written  # by update-kubeconfig
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1alpha1  # old
      args:
      - --region
      - eu-west-1
      - eks
      - get-token
      - --cluster-name
      - demo
      - --role
      - arn:aws:iam::111122223333:role/admin
      # - --debug
      command: aws
      env:
      # whose
      - name: AWS_PROFILE
        value: 'prod'
      - {name: TEAM, value: red}
- name: other
  user: {token:   abc}   # odd
- user:
    exec:
      command: "/opt/bin/heptio-authenticator-aws"
      apiVersion: "client.authentication.k8s.io/v1beta1"
      interactiveMode: Never
      args: ["token", "-i", "demo", "-e=x", "-r", "arn:aws:iam::111122223333:role/admin", "-s", "me"]
      env: null
  name: old
contexts: []
`

const convertOut = `# mine
apiVersion: v1
kind: Config
users:
- name: written  # by update-kubeconfig
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1  # old
      args:
      - token
      - --cluster
      - demo
      - --region
      - eu-west-1
      - --role-arn
      - arn:aws:iam::111122223333:role/admin
      - --session-name
      - EKSGetTokenAuth
      - --aws-cli-order=true
      - --exec-api-version
      - v1
      # - --debug
      command: /usr/local/bin/ekskey
      env:
      # whose
      - name: AWS_PROFILE
        value: 'prod'
      - {name: TEAM, value: red}
      installHint: "` + installHint + `"
      interactiveMode: IfAvailable
- name: other
  user: {token:   abc}   # odd
- user:
    exec:
      command: "/usr/local/bin/ekskey"
      apiVersion: "client.authentication.k8s.io/v1"
      interactiveMode: Never
      args: [token, --cluster-id, demo, --role-arn, arn:aws:iam::111122223333:role/admin, --external-id, x, --session-name, me, --exec-api-version, v1]
      env: null
      installHint: "` + installHint + `"
  name: old
contexts: []
`

const convertBack = `# mine
apiVersion: v1
kind: Config
users:
- name: written  # by update-kubeconfig
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1  # old
      args:
      - --region
      - eu-west-1
      - eks
      - get-token
      - --cluster-name
      - demo
      - --output
      - json
      - --role-arn
      - arn:aws:iam::111122223333:role/admin
      # - --debug
      command: aws
      env:
      # whose
      - name: AWS_PROFILE
        value: 'prod'
      - {name: TEAM, value: red}
      interactiveMode: IfAvailable
- name: other
  user: {token:   abc}   # odd
- user:
    exec:
      command: "aws-iam-authenticator"
      apiVersion: "client.authentication.k8s.io/v1beta1"
      interactiveMode: Never
      args: [token, --cluster-id, demo, --role, arn:aws:iam::111122223333:role/admin, --external-id, x, --session-name, me]
      env: null
  name: old
contexts: []
`

func TestConvertFile(t *testing.T) {
	for _, how := range []string{"", "crlf", "bom", "crlf bom"} {
		in, want, back := disguise(convertIn, how), disguise(convertOut, how), disguise(convertBack, how)
		out, users := convertText(t, toOursTest(), in)
		if d := cmp.Diff(want, out); d != "" {
			t.Fatalf("%s: %s", how, d)
		}
		if d := cmp.Diff([]ConvertedUser{
			{File: "config", Line: 5, Name: "written", From: "aws", To: "ekskey", State: Converted},
			{File: "config", Line: 25, Name: "other", State: LeftAlone, Reason: "it runs no program"},
			{File: "config", Line: 27, Name: "old", From: "heptio-authenticator-aws", To: "ekskey", State: Converted},
		}, users); d != "" {
			t.Errorf("%s: %s", how, d)
		}
		got, _ := convertText(t, toAWSTest(), out)
		if d := cmp.Diff(back, got); d != "" {
			t.Errorf("%s: %s", how, d)
		}
		again, _ := convertText(t, toOursTest(), got)
		if d := cmp.Diff(mustParse(t, out).Users(), mustParse(t, again).Users()); d != "" {
			t.Errorf("%s: there, back and there again: %s", how, d)
		}
	}
}

// execText is a kubeconfig with one user.
func execText(command string, args []string, env ...string) string {
	type variable struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	vars := []variable{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		vars = append(vars, variable{name, value})
	}
	exec := map[string]any{"apiVersion": awsExecAPIVersion, "command": command, "args": append([]string{}, args...), "env": vars}
	text, err := json.Marshal(map[string]any{"users": []any{map[string]any{"name": "u", "user": map[string]any{"exec": exec}}}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// conversionRow is one user. Without want it is left alone, for the reason.
type conversionRow struct {
	line   string // the command and its arguments
	env    string
	want   string
	reason string
}

func runConversions(t *testing.T, c Conversion, rows []conversionRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.line+" "+row.env, func(t *testing.T) {
			words := strings.Split(strings.ReplaceAll(row.line, "ROLE", testRole), " ")
			in := execText(words[0], words[1:], strings.Fields(row.env)...)
			out, users := convertText(t, c, in)
			if row.want == "" {
				if out != in || users[0].State != LeftAlone || !strings.Contains(users[0].Reason, row.reason) || row.reason == "" {
					t.Errorf("%+v\n%s", users[0], out)
				}
				return
			}
			e := mustParse(t, out).Users()[0].Exec
			got := e.Command + " " + strings.Join(e.Args, " ")
			if want := strings.ReplaceAll(row.want, "ROLE", testRole); got != want || users[0].State != Converted {
				t.Errorf("got  %s\nwant %s\n%+v", got, want, users[0])
			}
			was := mustParse(t, in).Users()[0].Exec
			if !slices.Equal(was.Env, e.Env) {
				t.Errorf("env %v", e.Env)
			}
			back := c
			back.ToAWS = !c.ToAWS
			out2, users := convertText(t, back, out)
			e2 := mustParse(t, out2).Users()[0].Exec
			if a, b := meaning(t, was), meaning(t, e2); users[0].State != Converted || a != b {
				t.Errorf("back again it is %v\nof %v\n%+v", b, a, users[0])
			}
		})
	}
}

// meaning is what decides whom a user acts as, by the words of any program.
func meaning(t *testing.T, e *Exec) string {
	t.Helper()
	m, err := execplugin.Read(e.invocation(), ourPath)
	if err != nil {
		t.Fatal(err)
	}
	// How the one program names the cluster, and what it does unasked, is said to
	// another otherwise.
	m.Program, m.ByID, m.AWSOrder, m.CacheAll = "", false, false, false
	for i := range m.Roles {
		if m.Roles[i].SessionName == "ekskey" {
			m.Roles[i].SessionName = ""
		}
	}
	return fmt.Sprint(m)
}

func TestConvertRefusesBadCommand(t *testing.T) {
	for _, command := range []string{"", "ekskey", "bin/ekskey", "/bin/eks\x1bkey"} {
		_, err := PlanConversion(t.Context(), Env{Flag: "nowhere"}, Conversion{Command: command})
		var option *OptionError
		if !errors.As(err, &option) {
			t.Errorf("%q: %v", command, err)
		}
	}
}
