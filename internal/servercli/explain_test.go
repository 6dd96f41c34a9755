package servercli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// output runs a command of the server.
func output(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCheck(t *testing.T) {
	f := newFixture(t)
	out, _, code := output(t, "", "check", "--config", f.config)
	if code != 0 || out != "no problems\n" {
		t.Errorf("a good configuration: %d %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "state")); err == nil {
		t.Error("check writes state")
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config, auth string
		want         []string
		code         int
	}{
		"all of the configuration": {"  prot: 1\n  port: x\n", "", []string{"error " + f.dir + "/x.yaml:11: unknown key server.prot", "error " + f.dir + "/x.yaml:12: "}, 2},
		"entries of the configuration": {"  mapRoles:\n  - {rolearn: nonsense, username: x}\n  - {rolearn: \"arn:aws:iam::111122223333:role/a\", username: a}\n  - {rolearn: \"arn:aws:iam::111122223333:role/a\", username: b}\n", "",
			[]string{"error " + f.dir + "/x.yaml:12: ", "(bad-arn)", "error " + f.dir + "/x.yaml:14: ", "(duplicate)"}, 2},
		"entries of aws-auth":      {"", "mapRoles: |\n  - rolearn: arn:aws:iam::111122223333:role/a\n    username: a\n    groups: admins\n  - rolearn: arn:aws:sts::111122223333:assumed-role/a/b\n    username: b\n", []string{"error aws-auth mapRoles[0] line 4: ", "(bad-shape)", "error aws-auth mapRoles[1] line 5: ", "(bad-arn)"}, 2},
		"only doubtful":            {"", "mapUsers: |\n  - userarn: arn:aws:iam::111122223333:role/a\n    username: a\n", []string{"warning aws-auth mapUsers[0] line 2: ", "(wrong-section)"}, 0},
		"an aws-auth that is none": {"", "hello\n", []string{"error: "}, 2},
		"access entries":           {"  accessEntries: {file: " + f.dir + "/entries.json}\n", "", []string{"error: " + f.dir + "/entries.json: access entries, document 1: principalId is missing"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			config := f.write(t, "x.yaml", string(text)+c.config)
			f.write(t, "entries.json", `{"accessEntry": {"principalArn": "arn:aws:iam::111122223333:role/a"}}`)
			if c.auth != "" {
				f.write(t, "aws-auth.yaml", c.auth)
			}
			out, stderr, code := output(t, "", "check", "--config", config)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if code != c.code || (code == 0) != (stderr == "") {
				t.Errorf("%d %s", code, stderr)
			}
			out, _, _ = output(t, "", "check", "--config", config, "--output", "json")
			var report struct{ Findings []map[string]string }
			if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Findings) == 0 {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	f := newFixture(t)
	session, _ := f.entries(t, fmt.Sprintf("  accessEntries: {file: %s/entries.json}\n  creator: arn:aws:iam::111122223333:user/carol\n", f.dir))
	f.write(t, "entries.json", entryFile("dev:{{SessionName}}", "AROAEXAMPLEEXAMPLE1AB", "dev-*"))
	f.write(t, "aws-auth.yaml", `mapRoles: |
  - {rolearn: "arn:aws:iam::111122223333:role/dev", username: twin, groups: [masters]}
mapUsers: |
  - {userarn: "arn:aws:iam::111122223333:user/alice", username: alice, groups: [devs]}
`)
	const dev = "arn:aws:iam::111122223333:role/dev"
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{dev, "--session-name", "me", "--principal-id", "AROAEXAMPLEEXAMPLE1AB"}, dev + ": mapped to user dev:me, groups team, ekskey:access-entry, by access-entries arn:aws:iam::111122223333:role/team/dev\n" +
			"  file: not mapped\n  access-entries: mapped to user dev:me, groups team, ekskey:access-entry, by access-entries arn:aws:iam::111122223333:role/team/dev\n" +
			"  aws-auth: mapped to user twin, groups masters, by aws-auth mapRoles[0] line 2\n  creator: not mapped\n", 0},
		{[]string{dev}, dev + ": refused: mapping by access-entries: access-entries arn:aws:iam::111122223333:role/team/dev: ", 0},
		{[]string{"arn:aws:iam::111122223333:user/alice"}, "arn:aws:iam::111122223333:user/alice: mapped to user alice, groups devs, by aws-auth mapUsers[0] line 4\n", 0},
		{[]string{"arn:aws:iam::111122223333:user/carol"}, "arn:aws:iam::111122223333:user/carol: mapped to user kubernetes-admin, groups system:masters, by creator", 0},
		{[]string{"arn:aws:iam::111122223333:user/nobody"}, "arn:aws:iam::111122223333:user/nobody: not mapped\n", 0},
		{[]string{"nobody"}, "", 2}, {nil, "", 2}, {[]string{dev, "--output", "x"}, "", 2}, {[]string{"k8s-aws-v1.x"}, "", 1},
	} {
		out, stderr, code := output(t, "", append([]string{"explain", "--config", f.config}, c.args...)...)
		if code != c.code || !strings.HasPrefix(out, c.want) || c.want == "" && out != "" {
			t.Errorf("%v: %d\n%s%s", c.args, code, out, stderr)
		}
	}
	// A token is verified, and never printed.
	tok := mintToken(t, session)
	out, stderr, code := output(t, tok+"\n", "explain", "--config", f.config, "--output", "json", "-")
	var report struct{ Principal, Decision, Username string }
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Username != "dev:me" || report.Principal != dev || strings.Contains(out+stderr, tok[20:60]) {
		t.Errorf("%d %v %s %s", code, err, out, stderr)
	}
	if err := f.aws.ExpireSession(session.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "state")); err == nil {
		t.Error("explain writes state")
	}
}
