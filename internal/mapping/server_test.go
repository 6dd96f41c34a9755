package mapping

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const goodServer = `port: 21362
MapRoles:
- RoleARN: arn:aws:iam::111122223333:role/dev
  Username: dev:{{SessionName}}
  GROUPS: [system:masters]
- sso:
    permissionSetName: Admin
    accountID: 011122223333
  username: sso
  groups: null
mapusers:
- userARN: arn:aws:iam::111122223333:user/alice
  username: 12345
  groups: []
  userid: AIDAEXAMPLEEXAMPLE123
mapAccounts:
- 011122223333
- "444455556666"
`

func TestParseServer(t *testing.T) {
	s := mustServer(t, goodServer, Options{Ties: TieIsError})
	if p := s.Problems(); len(p) != 0 || s.Len() != 5 {
		t.Errorf("%d entries, problems %v", s.Len(), p)
	}
	alice := caller(t, userARN)
	alice.PrincipalID = "AIDAEXAMPLEEXAMPLE123"
	if got := outcome(s, alice); got != "12345 []" {
		t.Errorf("alice: %q", got)
	}
	for arn, want := range map[string]string{
		"arn:aws:sts::111122223333:assumed-role/dev/s":                                   "dev:s [system:masters]",
		"arn:aws:sts::011122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/s": "sso []",
		"arn:aws:iam::011122223333:user/x":                                               "arn:aws:iam::011122223333:user/x []",
	} {
		if got := outcome(s, caller(t, arn)); got != want {
			t.Errorf("%s: got %q, want %q", arn, got, want)
		}
	}
	for _, empty := range []string{"", "null", "{}", "port: 1", "mapRoles:", "mapRoles: []\nmapUsers: ~"} {
		if s := mustServer(t, empty, Options{Ties: TieIsError}); s.Len() != 0 || len(s.Problems()) != 0 {
			t.Errorf("%q: %d entries, problems %v", empty, s.Len(), s.Problems())
		}
	}
	if s, err := ParseServer(nil, Options{Ties: TieIsError}); err != nil || s.Len() != 0 {
		t.Errorf("nil: %v", err)
	}
	if s, err := ParseServer(&yaml.Node{}, Options{Ties: TieIsError}); err != nil || s.Len() != 0 {
		t.Errorf("zero node: %v", err)
	}
}

// TestParseServerRefuses replaces one thing a row in goodServer.
func TestParseServerRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "GROUPS:", "group:", "mapRoles[0] line 5 unknown-key"},
		{"look-alike key", "GROUPS:", "group\u017F:", "mapRoles[0] line 5 unknown-key"},
		{"unknown key in sso", "permissionSetName", "permissionSet", "mapRoles[1] line 7 unknown-key"},
		{"rolearn in mapUsers", "userARN", "rolearn", "mapUsers[0] line 12 unknown-key"},
		{"key twice", "GROUPS:", "groups: []\n  GROUPS:", "mapRoles[0] line 6 bad-shape"},
		{"section twice", "mapusers:", "mapusers: []\nmapUsers:", "line 12 bad-shape"},
		{"section of another shape", "MapRoles:\n", "MapRoles: {}\nx:\n", "mapRoles line 2 bad-shape"},
		{"entry of another shape", "mapusers:\n", "mapusers:\n- x\n", "mapUsers[0] line 12 bad-shape"},
		{"entry null", "mapusers:\n", "mapusers:\n-\n", "mapUsers[0] line 12 bad-shape"},
		{"groups as text", "[system:masters]", "system:masters", "mapRoles[0] line 5 bad-shape"},
		{"groups within groups", "[system:masters]", "[[a]]", "mapRoles[0] line 5 bad-shape"},
		{"group null", "[system:masters]", "[null]", "mapRoles[0] line 5 bad-shape"},
		{"group empty", "[system:masters]", "['']", "mapRoles[0] line 5 bad-template"},
		{"username unquoted template", "dev:{{SessionName}}", "{{SessionName}}", "mapRoles[0] line 4 bad-shape"},
		{"username of unknown template", "{{SessionName}}", "{{Session}}", "mapRoles[0] line 4 bad-template"},
		{"username tagged", "dev:{{SessionName}}", "!!binary eA==", "mapRoles[0] line 4 bad-shape"},
		{"no arn", "RoleARN: arn:aws:iam::111122223333:role/dev\n  ", "", "mapRoles[0] line 3 bad-arn"},
		{"arn null", "arn:aws:iam::111122223333:role/dev", "null", "mapRoles[0] line 3 bad-arn"},
		{"arn wildcard", "role/dev", "role/*", "mapRoles[0] line 3 bad-arn"},
		{"arn of another service", ":iam::111122223333:role", ":s3::111122223333:role", "mapRoles[0] line 3 bad-arn"},
		{"arn account placeholder", "arn:aws:iam::111122223333:role", "arn:aws:iam::XXXXXXXXXXXX:role", "mapRoles[0] line 3 bad-arn"},
		{"arn partition", "arn:aws:iam::111122223333:role", "arn:awz:iam::111122223333:role", "mapRoles[0] line 3 bad-arn"},
		{"arn with a Kelvin sign", "role/dev", "role/\u212Adev", "mapRoles[0] line 3 bad-arn"},
		{"arn of a session", "arn:aws:iam::111122223333:role/dev", "arn:aws:sts::111122223333:assumed-role/dev/alice", "mapRoles[0] line 3 bad-arn"},
		{"both arn and sso", "- sso:", "- rolearn: " + roleARN + "\n  sso:", "mapRoles[1] line 8 bad-sso"},
		{"sso of another shape", "sso:\n    permissionSetName: Admin\n    accountID: 011122223333\n", "sso: Admin\n", "mapRoles[1] line 6 bad-shape"},
		{"sso set with a wildcard", "Admin", "'*'", "mapRoles[1] line 7 bad-sso"},
		{"sso set with a path", "Admin", "a/b", "mapRoles[1] line 7 bad-sso"},
		{"sso set empty", "Admin", "''", "mapRoles[1] line 7 bad-sso"},
		{"sso set too long", "Admin", strings.Repeat("a", 33), "mapRoles[1] line 7 bad-sso"},
		{"sso set missing", "permissionSetName: Admin\n    ", "", "mapRoles[1] line 7 bad-sso"},
		{"sso account", "accountID: 011122223333", "accountID: '*'", "mapRoles[1] line 7 bad-sso"},
		{"sso account injects", "accountID: 011122223333", "accountID: '011122223333:role/x'", "mapRoles[1] line 7 bad-sso"},
		{"sso partition injects", "accountID: 011122223333", "accountID: 011122223333\n    partition: 'aws:iam::011122223333:role/x'", "mapRoles[1] line 7 bad-sso"},
		{"sso partition", "accountID: 011122223333", "accountID: 011122223333\n    partition: x", "mapRoles[1] line 7 bad-sso"},
		{"account short", "- 011122223333", "- 11122223333", "mapAccounts[0] line 17 bad-account"},
		{"account as float", "- 011122223333", "- 1.1122223333e+10", "mapAccounts[0] line 17 bad-account"},
		{"account in hexadecimal", "- 011122223333", "- 0x2971A5C0A5", "mapAccounts[0] line 17 bad-account"},
		{"account wildcard", "- 011122223333", "- '*'", "mapAccounts[0] line 17 bad-account"},
		{"account of other digits", "- 011122223333", "- \"\u0661\u0661\u0661\u0661\u0661\u0661\"", "mapAccounts[0] line 17 bad-account"},
		{"account as mapping", "- 011122223333", "- {a: b}", "mapAccounts[0] line 17 bad-shape"},
		{"userid empty", "AIDAEXAMPLEEXAMPLE123", "''", "mapUsers[0] line 15 bad-shape"},
		{"userid null", "AIDAEXAMPLEEXAMPLE123", "null", "mapUsers[0] line 15 bad-shape"},
		{"userid of nothing", "AIDAEXAMPLEEXAMPLE123", "", "mapUsers[0] line 15 bad-shape"},
		{"alias", "GROUPS: [system:masters]", "GROUPS: &g [system:masters]\n  userid: *g", "mapRoles[0] line 6 yaml-alias"},
		{"alias in groups", "[system:masters]", "[&g x, *g]", "mapRoles[0] line 5 yaml-alias"},
		{"merge key", "userid: AIDAEXAMPLEEXAMPLE123", "<<: {userid: x}", "mapUsers[0] line 15 yaml-alias"},
		{"tie", "mapusers:", "- rolearn: " + roleARN + "\n  username: x\nmapusers:", "mapRoles[2] line 11 duplicate"},
		{"tie but for case", "mapusers:", "- rolearn: arn:aws:iam::111122223333:role/DEV\n  username: x\nmapusers:", "mapRoles[2] line 11 duplicate"},
		{"tie but for the path", "mapusers:", "- rolearn: arn:aws:iam::111122223333:role/a/dev\n  username: x\nmapusers:", "mapRoles[2] line 11 duplicate"},
		{"tie across sections", "userARN: " + userARN, "userARN: " + roleARN, "mapRoles[0] line 3 duplicate"},
		{"tie of sets", "mapusers:", "- sso: {permissionSetName: ADMIN, accountID: 011122223333}\n  username: x\nmapusers:", "mapRoles[2] line 11 duplicate"},
		{"tie of role and set", "mapusers:", "- rolearn: arn:aws:iam::011122223333:role/AWSReservedSSO_Admin_0123456789abcdef\n  username: x\nmapusers:", "mapRoles[2] line 11 duplicate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(goodServer, tt.old) {
				t.Fatalf("row changes nothing: %q", tt.old)
			}
			set, err := ParseServer(serverNode(t, strings.Replace(goodServer, tt.old, tt.new, 1)), Options{Ties: TieIsError})
			var load *LoadError
			if !errors.As(err, &load) || set != nil {
				t.Fatalf("got %v, want *LoadError", err)
			}
			got := strings.TrimSuffix(codes(load.Problems[:1]), "!")
			if got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestTieNamesBothLines(t *testing.T) {
	_, err := ParseServer(serverNode(t, `
mapRoles:
- {rolearn: "arn:aws:iam::111122223333:role/dev", username: a}
mapUsers:
- {userarn: "arn:aws:iam::111122223333:role/x/dev", username: b}`), Options{Ties: TieIsError})
	if err == nil || !strings.Contains(err.Error(), "mapRoles[0] line 3: is for the same principal as mapUsers[0] line 5") {
		t.Errorf("got %v", err)
	}
}

func TestParseServerTellsAllAtOnce(t *testing.T) {
	_, err := ParseServer(serverNode(t, `
mapRoles: [{}, {rolearn: x}]
mapUsers: x
mapAccounts: [1]`), Options{Ties: TieIsError})
	var load *LoadError
	if !errors.As(err, &load) || len(load.Problems) != 4 {
		t.Fatalf("got %v", err)
	}
}

func TestRemarks(t *testing.T) {
	s := mustServer(t, `
mapRoles:
- {rolearn: "arn:aws:iam::111122223333:user/a", username: a}
- {rolearn: "arn:aws:iam::111122223333:role/b", username: "{{SessionName}}"}
- {rolearn: "arn:aws:iam::111122223333:role/c", username: "c-{{SessionNameRaw}}"}
- {rolearn: "arn:aws:iam::111122223333:role/d", username: "{{SessionName}}:d"}
- {rolearn: "arn:aws:iam::111122223333:role/e", username: "e:{{SessionName}}"}
- {rolearn: "arn:aws:iam::111122223333:role/f", username: f, groups: ["{{SessionName}}"]}
- {rolearn: "arn:aws:iam::111122223333:role/g", username: "g:{{EC2PrivateDNSName}}"}
- {rolearn: "arn:aws-cn:iam::111122223333:role/h", username: h}
mapUsers:
- {userarn: "arn:aws:iam::111122223333:role/i", username: i}
- {userarn: "arn:aws:iam::111122223333:user/j", username: "j:{{SessionName}}"}`, Options{Ties: TieIsError})
	want := "mapRoles[0] line 3 wrong-section, mapRoles[1] line 4 session-prefix, mapRoles[2] line 5 session-prefix, mapRoles[3] line 6 session-prefix, " +
		"mapRoles[5] line 8 session-prefix, mapRoles[6] line 9 no-ec2, mapRoles[7] line 10 other-partition, mapUsers[0] line 12 wrong-section, mapUsers[1] line 13 never-renders"
	if got := codes(s.Problems()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := outcome(s, caller(t, "arn:aws:iam::111122223333:user/a")); got != "a []" {
		t.Errorf("user in mapRoles: %q", got)
	}
	if got := outcome(s, session(t, "i", "s")); got != "i []" {
		t.Errorf("role in mapUsers: %q", got)
	}
	if got := outcome(s, caller(t, "arn:aws:iam::111122223333:user/j")); got != "render error" {
		t.Errorf("user with a session template: %q", got)
	}
}

// TestMessagesCannotForgeLogLines puts a newline into everything that a message
// cites.
func TestMessagesCannotForgeLogLines(t *testing.T) {
	for _, text := range []string{
		`mapRoles: [{"a\nb": x}]`,
		`mapRoles: [{rolearn: "a\nb"}]`,
		`mapRoles: ["a\nb"]`,
		`mapRoles: [{rolearn: "` + roleARN + `", username: "a\nb"}]`,
		`mapRoles: [{rolearn: "` + roleARN + `", username: "{{a\nb}}"}]`,
		`mapAccounts: ["a\nb"]`,
	} {
		_, err := ParseServer(serverNode(t, text), Options{Ties: TieIsError})
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
