package kubeconfig

import (
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// shownOf is all of a file as a diff would show it.
func shownOf(f *File, commands ...string) string {
	return " " + strings.Join(yamlsplice.Redact(f.doc, f.visible(commands)), "\n ") + "\n"
}

// The lines around a change are other entries', with what is secret in them,
// however it is written. All of each file is looked at, as if it was around.
func TestDiffShowsNoSecret(t *testing.T) {
	user := func(body string) string { return "users:\n- name: u\n  user:\n    " + body + "\n" }
	exec := func(body string) string { return user("exec:\n      command: other\n      " + body) }
	tests := []struct{ name, in string }{
		{"a token", user("token: hunter2")},
		{"a quoted token", user(`token: "hunter2"`)},
		{"words", user("password: a - , hunter2 :x")},
		{"a password of marks and a word", user("password: '- hunter2'")},
		{"a tag", user("token: !!str hunter2")},
		{"a block scalar", user("client-key-data: |\n      hunter2\n      hunter2")},
		{"a folded scalar with a key in it", user("client-key-data: >-\n      token: hunter2\n      - hunter2")},
		{"a scalar of several lines", user("password: a\n      hunter2\n      hunter2")},
		{"a quoted scalar of several lines", user("password: \"a\n      server: hunter2\n      name: hunter2\"")},
		{"flow style", user("{username: a, password: hunter2, token: hunter2}")},
		{"flow style without spaces", `{users: [{"name":"u","user":{"token":"hunter2","password":"hunter2"}}]}`},
		{"JSON", `{"users":[{"user":{"token":"hunter2","exec":{"env":[{"name":"A","value":"hunter2"}]}},"name":"u"}]}`},
		{"a key that is none of kubectl's", user("hunter2: x")},
		{"a key that is a secret, in flow style", user("{hunter2}")},
		{"a token without its key", user("auth-provider: {config: {id-token: hunter2}}")},
		{"a nested key that looks known", user("auth-provider:\n      config:\n        server: hunter2\n        name: hunter2")},
		{"a known key in another place", user("server: hunter2\n    name: hunter2\n    namespace: hunter2")},
		{"a variable", exec("env:\n      - name: PASSWORD\n        value: hunter2")},
		{"a variable, upside down", exec("env: [{value: hunter2, name: PASSWORD}]")},
		{"an argument of an unknown plugin", exec("args: [get-token, --oidc-client-secret=hunter2]")},
		{"an argument of a plugin with a known word too much", "users:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args: [token, --cluster, c, --password, hunter2]\n"},
		{"the command for the MFA device", "users:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args: [token, --cluster, c, --mfa-command, oathtool hunter2]\n"},
		{"the same, joined", "users:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args: [token, --cluster, c, '--mfa-command=oathtool hunter2']\n"},
		{"the same behind an alias", "x: &m --mfa-command\nusers:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args: [token, --cluster, c, *m, oathtool hunter2]\n"},
		{"a comment", "# token: hunter2\nkind: Config # hunter2\n"},
		{"a comment among entries", "users:\n- name: u\n  # user: {token: hunter2}\n  user:\n    #token: hunter2\n    token: x\n"},
		{"a comment behind a flow item", "users: [{name: u}, # hunter2\n  {name: v}]\n"},
		{"a comment in a list of words", "users:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args: # hunter2\n      - token # hunter2\n      - --cluster=c\n"},
		{"an anchor", user("token: &hunter2 x")},
		{"an anchor used as a token", "contexts:\n- name: &t hunter2\n" + user("token: *t")},
		{"a mapping used as one of secrets", "contexts:\n- name: c\n  context: &c {user: hunter2}\n" + user("auth-provider: {config: *c}")},
		{"an alias", "x: &hunter2 y\n" + user("token: *hunter2")},
		{"a merge", "x: &x {token: hunter2}\n" + user("<<: *x")},
		{"an entry that is an alias", "x: &x {name: u, user: {token: hunter2}}\nusers: [*x]\n"},
		{"a list that is an alias", "x: &x [{name: u, user: {token: hunter2}}]\nusers: *x\n"},
		{"an extension", "contexts:\n- name: c\n  context:\n    extensions:\n    - name: hunter2\n      extension: {server: hunter2, name: hunter2}\n"},
		{"preferences", "preferences: {name: hunter2, extensions: [{name: hunter2}]}\n"},
		{"a top-level key", "hunter2: x\ntoken: hunter2\nextensions:\n- name: hunter2\n"},
		{"a proxy's password", "clusters:\n- name: c\n  cluster: {proxy-url: 'http://u:hunter2@proxy'}\n"},
		{"a server's password", "clusters:\n- name: c\n  cluster: {server: 'https://u:hunter2@host'}\n"},
		{"a link", "clusters:\n- name: c\n  cluster: {server: 'https://host/?token=hunter2'}\n"},
		{"a directive and what is behind the end", "%YAML 1.1\n---\nkind: Config\n...\n# hunter2\n"},
		{"an explicit key", "users:\n- ? name\n  : u\n  ? user\n  : ? token\n    : hunter2\n"},
		{"impersonation", user("as: hunter2\n    as-user-extra: {hunter2: [hunter2]}")},
		{"breaks of YAML 1.1", "users:\n- name: u\n  user: {token: 'a\u2028 name: hunter2\u0085 hunter2'}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, tt.in)
			if got := shownOf(f, "/usr/local/bin/ekskey"); strings.Contains(got, "hunter2") {
				t.Errorf("shown:\n%s", got)
			}
		})
	}
}

// What is no secret is shown, or nobody could read a diff.
func TestDiffShowsTheRest(t *testing.T) {
	const in = `apiVersion: v1
clusters:
- cluster: {server: "https://a", proxy-url: 'http://p:1', certificate-authority-data: Q0E=}
  name: a
contexts:
- {context: {cluster: a, user: u, namespace: n}, name: c}
current-context: c
kind: Config
preferences: {}
users:
- name: u
  user:
    exec:
      command: ekskey
      args: [token, --cluster, a, '--mfa-command', secret, --region=r]
      env:
      - name: A
        value: secret
      installHint: |
        two words
        and more
- name: v
  user:
    client-key-data: c2VjcmV0 # secret
    password: secret
    exec: {command: /opt/wrap, args: [token, --cluster, a]}
`
	want := strings.NewReplacer("'--mfa-command', secret, -", "'--mfa-command', REDACTED -", "value: secret", "value: REDACTED",
		"c2VjcmV0 # secret", "REDACTED", "password: secret", "password: REDACTED").Replace(in)
	if got := strings.ReplaceAll(shownOf(mustParse(t, in), "/opt/wrap"), "\n ", "\n")[1:]; got != want {
		t.Errorf("got:\n%s", got)
	}
	unknown := shownOf(mustParse(t, in))
	if !strings.Contains(unknown, "{command: /opt/wrap, args: REDACTED\n") {
		t.Errorf("arguments of a plugin that is not known are shown:\n%s", unknown)
	}
}

// A file steers no terminal: what it holds is shown, and so is its name.
func TestDiffPrints(t *testing.T) {
	got := shownOf(mustParse(t, "kind: Config\r\ncontexts:\r\n- name: \"\u202eevil\u2028x\"\r\n"))
	if want := " kind: Config\n contexts:\n - name: \"?evil\n x\"\n"; got != want {
		t.Errorf("%q", got)
	}
}
