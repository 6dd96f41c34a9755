package environ

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func sample(root string) (state.Record, state.Layout) {
	return state.Record{
		AWS: "https://127.0.0.1:1", Region: "us-east-1", Ekskey: filepath.Join(root, "bin", "ekskey"),
		Identities: []state.Identity{
			{Name: "admin", AccessKeyID: "AKIA1", SecretAccessKey: "se/cret"},
			{Name: "viewer", RoleARN: "arn:aws:iam::111122223333:role/team/viewer", SourceProfile: "admin"},
		},
	}, state.Layout{Root: root}
}

func TestWhoTheToolsAre(t *testing.T) {
	r, l := sample(t.TempDir())
	stray := []string{"PATH=/usr/bin", "AWS_PROFILE=work", "AWS_ACCESS_KEY_ID=AKIAMINE", "AWS_SECRET_ACCESS_KEY=mine",
		"AWS_SESSION_TOKEN=mine", "AWS_ENDPOINT_URL=https://elsewhere", "KUBECONFIG=/home/me/.kube/config", "EDITOR=vi"}
	for _, tc := range []struct {
		as      string
		want    []string
		wantNot []string
	}{
		{"admin", []string{"AWS_ACCESS_KEY_ID=AKIA1", "AWS_SECRET_ACCESS_KEY=se/cret", "EDITOR=vi"}, []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"}},
		{"viewer", []string{"AWS_PROFILE=viewer", "EDITOR=vi"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}},
	} {
		t.Run(tc.as, func(t *testing.T) {
			e, err := Of(r, l, tc.as)
			if err != nil {
				t.Fatal(err)
			}
			got := e.Apply(stray)
			for _, kv := range append(tc.want, "KUBECONFIG="+l.Kubeconfig(), "AWS_ENDPOINT_URL_STS=https://127.0.0.1:1", "AWS_CA_BUNDLE="+l.CABundle()) {
				if !slices.Contains(got, kv) {
					t.Errorf("no %s in it", strings.SplitN(kv, "=", 2)[0])
				}
			}
			seen := map[string]bool{}
			for _, kv := range got {
				name, value, _ := strings.Cut(kv, "=")
				if seen[name] || slices.Contains(tc.wantNot, name) {
					t.Errorf("%s is in it once too often", name)
				}
				seen[name] = true
				if name == "PATH" && !strings.HasPrefix(value, e.Bin) {
					t.Errorf("PATH is %s", value)
				}
			}
		})
	}
	var unknown *UnknownIdentityError
	if _, err := Of(r, l, "root"); !errors.As(err, &unknown) || !strings.Contains(unknown.Hint(), "admin, viewer") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestScriptsCannotBeBrokenOutOf(t *testing.T) {
	evil := `a'b"c$(touch x)` + "`touch y`" + ` \' \ ; end`
	e := Environment{Set: []Var{{"EVIL", evil}}, Unset: []string{"GONE"}, Bin: "/b in"}
	for _, tc := range []struct{ shell, print string }{
		{"bash", `printf '%s|%s|%s' "$EVIL" "${GONE-unset}" "${PATH%%:*}"`},
		{"zsh", `printf '%s|%s|%s' "$EVIL" "${GONE-unset}" "${PATH%%:*}"`},
		{"sh", `printf '%s|%s|%s' "$EVIL" "${GONE-unset}" "${PATH%%:*}"`},
		{"fish", `set -q GONE; and set -l g set; or set -l g unset; printf '%s|%s|%s' "$EVIL" $g $PATH[1]`},
	} {
		t.Run(tc.shell, func(t *testing.T) {
			path, err := exec.LookPath(tc.shell)
			if err != nil {
				t.Skip(err)
			}
			script, err := e.Script(tc.shell)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, "-c", script+tc.print)
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"GONE=still here", "PATH=/usr/bin:/bin"}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != evil+"|unset|/b in" {
				t.Errorf("%v, got %q", err, out)
			}
			if left, _ := filepath.Glob(filepath.Join(cmd.Dir, "*")); len(left) > 0 {
				t.Errorf("it ran a command: %v", left)
			}
		})
	}
	script, err := e.Script("powershell")
	if want := `$env:EVIL = 'a''b"c$(touch x)` + "`touch y`" + ` \'' \ ; end'`; err != nil || !strings.Contains(script, want+"\n") {
		t.Errorf("powershell: %v, %s", err, script)
	}
	if _, err := e.Script("cmd"); err == nil {
		t.Error("an unknown shell: want an error")
	}
}

func TestJSON(t *testing.T) {
	r, l := sample(t.TempDir())
	e, err := Of(r, l, "viewer")
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Set   map[string]string
		Unset []string
		Path  string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Set["AWS_PROFILE"] != "viewer" || !slices.Contains(got.Unset, "AWS_ACCESS_KEY_ID") || got.Path != e.Bin {
		t.Errorf("got %s", b)
	}
}
