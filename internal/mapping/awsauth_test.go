package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/ekskey/ekskey/identity"
)

// realAWSAuth has what aws-auths in the wild have.
const realAWSAuth = `apiVersion: v1
kind: ConfigMap
metadata:
  name: aws-auth
  namespace: kube-system
  annotations:
    who: terraform
data:
  mapRoles: |
    - groups:
      - system:bootstrappers
      - system:nodes
      rolearn: arn:aws:iam::111122223333:role/eksctl-demo-NodeInstanceRole-ABC
      username: system:node:{{EC2PrivateDNSName}}
    # a role with its path, as pasted from the console
    - rolearn: arn:aws:iam::111122223333:role/ci/runner
      username: ci:{{SessionName}}
      groups:
    - roleARN: arn:aws:iam::111122223333:role/noname
      groups: [viewers]
    - rolearn: arn:aws:iam::111122223333:user/in-roles
      username: in-roles
  mapUsers: |
    - uSeRaRn: arn:aws:iam::111122223333:user/div/alice
      UsErNaMe: alice
      gRoUpS:
        - system:masters
  mapAccounts: |
    - 012345678901
    - "444455556666"
`

func TestParseAWSAuth(t *testing.T) {
	s, err := ParseAWSAuth([]byte(realAWSAuth), Options{EC2PrivateDNSName: func(context.Context, string, identity.Identity) (string, error) {
		return "ip-10-0-0-1.ec2.internal", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id   identity.Identity
		want string
	}{
		{session(t, "eksctl-demo-NodeInstanceRole-ABC", instance), "system:node:ip-10-0-0-1.ec2.internal [system:bootstrappers system:nodes]"},
		{session(t, "runner", "gh@actions"), "ci:gh-actions []"},
		{session(t, "noname", "s"), "arn:aws:sts::111122223333:assumed-role/noname/s [viewers]"},
		{caller(t, "arn:aws:iam::111122223333:user/in-roles"), "in-roles []"},
		{caller(t, "arn:aws:iam::111122223333:user/div/alice"), "alice [system:masters]"},
		{caller(t, "arn:aws:iam::012345678901:user/x"), "arn:aws:iam::012345678901:user/x []"},
		{caller(t, "arn:aws:sts::444455556666:assumed-role/x/s"), "arn:aws:iam::444455556666:role/x []"},
		{caller(t, "arn:aws:iam::111122223333:user/bob"), "not mapped"},
	} {
		if got := outcome(s, tt.id); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.id.ARN, got, tt.want)
		}
	}
	if got, want := codes(s.Problems()), "mapRoles[2] line 19 no-username, mapRoles[3] line 21 wrong-section"; got != want {
		t.Errorf("problems: got %s, want %s", got, want)
	}
	m, err := s.Map(context.Background(), session(t, "runner", "s"))
	if err != nil || m.Source != "aws-auth mapRoles[1] line 16" {
		t.Errorf("source %q, %v", m.Source, err)
	}
}

// TestAWSAuthForms gives the same two entries in all the forms a text may have.
func TestAWSAuthForms(t *testing.T) {
	for name, text := range map[string]string{
		"manifest in JSON":         `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"aws-auth"},"data":{"mapRoles":"- rolearn: ` + roleARN + `\n  username: d\n  groups: [g]\n","mapUsers":"[{\"userarn\":\"` + userARN + `\",\"username\":\"a\"}]"}}`,
		"manifest in JSON, tabs":   "{\n\t\"kind\": \"ConfigMap\",\n\t\"data\": {\n\t\t\"mapRoles\": \"- rolearn: " + roleARN + "\\n  username: d\\n  groups: [g]\",\n\t\t\"mapUsers\": \"- userarn: " + userARN + "\\n  username: a\"\n\t}\n}",
		"mapping of texts":         "mapRoles: |\n  - rolearn: " + roleARN + "\n    username: d\n    groups: [g]\nmapUsers: |-\n  - userarn: " + userARN + "\n    username: a\n",
		"mapping of lists":         "mapRoles:\n- rolearn: " + roleARN + "\n  username: d\n  groups: [g]\nmapUsers: [{userarn: '" + userARN + "', username: a}]\n",
		"JSON with others' keys":   `{"Version":"1","mapRoles":[{"rolearn":"` + roleARN + `","username":"d","groups":["g"]}],"mapUsers":[{"userarn":"` + userARN + `","username":"a"}],"mapAccounts":null}`,
		"text in quotes":           "mapRoles: \"- rolearn: " + roleARN + "\\n  username: d\\n  groups: [g]\"\nmapUsers: '[{userarn: \"" + userARN + "\", username: a}]'\n",
		"document marks":           "---\nmapRoles: |\n  ---\n  - rolearn: " + roleARN + "\n    username: d\n    groups: [g]\nmapUsers: [{userarn: '" + userARN + "', username: a}]\n---\n",
		"CRLF":                     strings.ReplaceAll("mapRoles: |\n  - rolearn: "+roleARN+"\n    username: d\n    groups: [g]\nmapUsers: |\n  - userarn: "+userARN+"\n    username: a\n", "\n", "\r\n"),
		"sections that are blank":  "mapAccounts: '\"\"'\nmapRoles:\n- rolearn: " + roleARN + "\n  username: d\n  groups: [g]\nmapUsers: [{userarn: '" + userARN + "', username: a}]\n",
		"sections that are quotes": "mapAccounts: '``'\nmapRoles:\n- rolearn: " + roleARN + "\n  username: d\n  groups: [g]\nmapUsers: [{userarn: '" + userARN + "', username: a}]\n",
		"section of a comment":     "mapAccounts: |\n  # none\nmapRoles:\n- rolearn: " + roleARN + "\n  username: d\n  groups: [g]\nmapUsers: [{userarn: '" + userARN + "', username: a}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := mustAWSAuth(t, text)
			if got := outcome(s, session(t, "dev", "s")); got != "d [g]" {
				t.Errorf("role: %q; %v", got, s.Problems())
			}
			if got := outcome(s, caller(t, userARN)); got != "a []" || s.Len() != 2 {
				t.Errorf("user: %q; %v", got, s.Problems())
			}
			for _, p := range s.Problems() {
				if p.Dropped {
					t.Errorf("dropped: %v", p)
				}
			}
		})
	}
}

func TestAWSAuthRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"blank":               " \n\n",
		"null":                "null",
		"comment only":        "# mapRoles: []",
		"not YAML":            "mapRoles: [",
		"tab":                 "mapRoles:\n\t- x",
		"a list":              "- mapRoles: []",
		"a text":              "mapRoles",
		"other keys only":     "maproles: []",
		"no key":              "{}",
		"another kind":        "kind: Secret\ndata: {}",
		"no kind":             "apiVersion: v1\ndata: {}",
		"a list of manifests": "kind: List\nitems: []",
		"another name":        "kind: ConfigMap\nmetadata: {name: aws-iam-authenticator}\ndata: {}",
		"data is a list":      "kind: ConfigMap\ndata: []",
		"data is an alias":    "x: &x {}\nkind: ConfigMap\ndata: *x",
		"two documents":       "mapRoles: []\n---\nmapUsers: []",
		"second one broken":   "mapRoles: []\n---\n[",
		"section twice":       "mapRoles: []\nmapRoles: []",
		"data twice":          "kind: ConfigMap\ndata: {}\ndata: {}",
		"merge of sections":   "mapRoles: []\n<<: {mapUsers: []}",
		"unknown anchor":      "mapRoles: *x",
		"too large":           "mapRoles: []\n#" + strings.Repeat("x", MaxAWSAuth),
	} {
		s, err := ParseAWSAuth([]byte(text), Options{})
		var te *TextError
		if !errors.As(err, &te) || s != nil {
			t.Errorf("%s: got %v, want *TextError", name, err)
		}
	}
}

func TestAWSAuthEmptyConfigMap(t *testing.T) {
	for _, text := range []string{"kind: ConfigMap\ndata: {}", "mapRoles:", "mapRoles: []", "kind: ConfigMap\ndata: {mapRoles: ''}"} {
		s := mustAWSAuth(t, text)
		if s.Len() != 0 || len(s.Problems()) != 0 {
			t.Errorf("%q: %d entries, %v", text, s.Len(), s.Problems())
		}
		if got := outcome(s, session(t, "dev", "s")); got != "not mapped" {
			t.Errorf("%q: %s", text, got)
		}
	}
	for _, text := range []string{"kind: ConfigMap", "kind: ConfigMap\ndata:"} {
		s := mustAWSAuth(t, text)
		if got := outcome(s, session(t, "dev", "s")); got != "unavailable" || s.Unreadable() != "mapRoles, mapUsers, mapAccounts" {
			t.Errorf("%q: %s, unreadable %q", text, got, s.Unreadable())
		}
	}
	if s, err := ParseAWSAuthData(nil, Options{}); err != nil || s.Unreadable() != "mapRoles, mapUsers, mapAccounts" {
		t.Errorf("no data: %v, %v", s, err)
	}
}

// TestAWSAuthDrops has one bad thing a row beside a good entry in each section,
// which stay in force unless their section is what is bad.
func TestAWSAuthDrops(t *testing.T) {
	const rest = "mapUsers:\n- {userarn: '" + userARN + "', username: a}\n"
	for _, tt := range []struct{ name, roles, want, dev string }{
		{"section is broken YAML", "|\n  - rolearn: [\n", "mapRoles line 1 bad-yaml!", "unavailable"},
		{"section misindented", "|\n  - rolearn: " + roleARN + "\n   username: x\n", "mapRoles line 1 bad-yaml!", "unavailable"},
		{"section of two documents", "|\n  []\n  ---\n  []\n", "mapRoles line 1 bad-yaml!", "unavailable"},
		{"section is text", "hello\n", "mapRoles line 1 bad-shape!", "unavailable"},
		{"section is a mapping", "{rolearn: x}\n", "mapRoles line 1 bad-shape!", "unavailable"},
		{"section is a number", "5\n", "mapRoles line 1 bad-shape!", "unavailable"},
		{"section is an alias to itself", "|\n  &a [*a]\n", "mapRoles[0] line 2 yaml-alias!", "not mapped"},
		{"entry without arn", "|\n  - username: x\n", "mapRoles[0] line 2 bad-arn!", "not mapped"},
		{"entry with a bad arn", "|\n  -\n    rolearn: arn\n", "mapRoles[0] line 3 bad-arn!", "not mapped"},
		{"entry null", "|\n  - \n", "mapRoles[0] line 2 bad-shape!", "not mapped"},
		{"groups as text", "|\n  - {rolearn: '" + roleARN + "', username: d, groups: system:masters}\n", "mapRoles[0] line 2 bad-shape!", "broken"},
		{"bad placeholder", "|\n  - {rolearn: '" + roleARN + "', username: 'd:{{Nope}}'}\n", "mapRoles[0] line 2 bad-template!", "broken"},
		{"key twice", "|\n  - {rolearn: '" + roleARN + "', roleARN: 'arn:aws:iam::111122223333:role/x', username: d}\n", "mapRoles[0] line 2 bad-shape!", "broken"},
		{"merge key", "|\n  - {<<: {userid: x}, rolearn: '" + roleARN + "', username: d}\n", "mapRoles[0] line 2 yaml-alias!", "broken"},
		{"alias in an entry", "|\n  - &e {rolearn: &a x, username: *a}\n", "mapRoles[0] line 2 yaml-alias!", "not mapped"},
		{"literal that begins with a blank line", "|\n\n  - username: x\n", "mapRoles[0] line 3 bad-arn!", "not mapped"},
		{"text in quotes has the section's line", "\"\\n\\n- username: x\"\n", "mapRoles[0] line 1 bad-arn!", "not mapped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustAWSAuth(t, "mapRoles: "+tt.roles+rest)
			if got := codes(s.Problems()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := outcome(s, session(t, "dev", "s")); got != tt.dev {
				t.Errorf("role dev: got %q, want %q", got, tt.dev)
			}
			if got := outcome(s, caller(t, userARN)); got != "a []" {
				t.Errorf("the rest is not in force: %q", got)
			}
		})
	}
}

func TestAWSAuthLastWins(t *testing.T) {
	for _, tt := range []struct{ name, text, want, problems string }{
		{"in a section", "mapRoles:\n- {rolearn: '" + roleARN + "', username: a}\n- {rolearn: 'arn:aws:iam::111122223333:role/p/DEV', username: b}", "b []", "mapRoles[1] line 3 duplicate"},
		{"even a bad one", "mapRoles:\n- {rolearn: '" + roleARN + "', username: a}\n- {rolearn: '" + roleARN + "', username: b, groups: x}", "broken", "mapRoles[1] line 3 bad-shape!, mapRoles[1] line 3 duplicate"},
		{"mapRoles before mapUsers", "mapRoles:\n- {rolearn: '" + roleARN + "', username: a}\nmapUsers:\n- {userarn: '" + roleARN + "', username: b}", "a []", "mapRoles[0] line 2 duplicate, mapUsers[0] line 4 wrong-section"},
		{"unknown key", "mapRoles:\n- {rolearn: '" + roleARN + "', username: a, group: [x]}", "a []", "mapRoles[0] line 2 unknown-key"},
		{"unknown section", "mapRoles:\n- {rolearn: '" + roleARN + "', username: a}\nMapRoles:\n- {rolearn: '" + roleARN + "', username: b}", "a []", "line 3 unknown-key"},
	} {
		s := mustAWSAuth(t, tt.text)
		if got := outcome(s, session(t, "dev", "s")); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got := codes(s.Problems()); got != tt.problems {
			t.Errorf("%s: problems %q, want %q", tt.name, got, tt.problems)
		}
	}
	sso := "mapRoles:\n- {rolearn: 'arn:aws:iam::111122223333:role/AWSReservedSSO_A_0123456789abcdef', username: arn}\n- {sso: {permissionSetName: A, accountID: '111122223333'}, username: set}"
	if got := outcome(mustAWSAuth(t, sso), session(t, "AWSReservedSSO_A_0123456789abcdef", "s")); got != "arn []" {
		t.Errorf("an arn counts before a permission set: got %q", got)
	}
}

// TestAliasBomb would be ten thousand million groups if aliases were followed.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("bomb:\n- &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		alias := "*a" + string(rune('0'+i-1))
		b.WriteString("- &a" + string(rune('0'+i)) + " [" + strings.TrimSuffix(strings.Repeat(alias+", ", 10), ", ") + "]\n")
	}
	s := mustAWSAuth(t, b.String()+"mapRoles:\n- {rolearn: '"+roleARN+"', username: d, groups: *a9 }\n- {rolearn: '"+roleARN+"', username: d, groups: [*a9 ]}\n")
	if got := codes(s.Problems()); got != "line 1 unknown-key, mapRoles[0] line 13 yaml-alias!, mapRoles[1] line 14 yaml-alias!, mapRoles[1] line 14 duplicate" {
		t.Errorf("problems %s", got)
	}
	if s.Len() != 0 {
		t.Errorf("%d entries", s.Len())
	}
}

// FuzzParseAWSAuth wants no panic, and that whatever loads can be matched and
// gives only names that are in order.
func FuzzParseAWSAuth(f *testing.F) {
	f.Add([]byte(realAWSAuth))
	f.Add([]byte("mapRoles:" + strings.SplitN(goodServer, "MapRoles:", 2)[1]))
	f.Add([]byte(`{"mapRoles":"- sso: {permissionSetName: A, accountID: 012345678901}\n  username: x","mapAccounts":"- 012345678901"}`))
	f.Add([]byte("mapUsers: [{userarn: 'arn:aws:sts::111122223333:federated-user/f', username: u, userid: x}]"))
	f.Add([]byte("mapUsers: [{userarn: 'arn:aws:iam::111122223333:root', groups: ['{{AccountID}}']}]"))
	f.Add([]byte("mapRoles: |\n  &a [*a]\n<<: *b"))
	f.Add([]byte("mapRoles: [{rolearn: &a x, <<: *a}]"))
	f.Add([]byte("\xfe\xffmapRoles: []"))
	f.Add([]byte("mapRoles: [{rolearn: 'arn:aws:iam::111122223333:role/a', sso: {permissionSetName: A, accountID: 111122223333}}]"))
	f.Add([]byte("mapUsers: [{userarn: 'arn:aws:iam::111122223333:user/a', userid: }]\nmapAccounts: [111122223333]"))
	f.Add([]byte("mapRoles: |\n  - rolearn: x\n   username: y\nmapUsers: []"))
	f.Add([]byte("kind: ConfigMap\ndata:\n  maproles: |\n    []\n  groups: [x]\nmapUsers: ''"))
	f.Add([]byte("kind: ConfigMap\nbinaryData: {mapRoles: eA==}"))
	f.Add([]byte("mapRoles: '{a: b}'\nmapUsers: 5\nmapAccounts: \"[1, [2], null]\""))
	lookup := func(context.Context, string, identity.Identity) (string, error) { return "host", nil }
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseAWSAuth(text, Options{EC2PrivateDNSName: lookup})
		if err != nil {
			if s != nil || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("set %v, error %q", s, err)
			}
			return
		}
		for _, p := range s.problems {
			if p.Line < 1 || strings.ContainsFunc(p.Error(), unicode.IsControl) {
				t.Errorf("odd problem %q, line %d", p, p.Line)
			}
		}
		entries := len(s.accounts)
		var all []*entry
		for _, e := range s.principals {
			all = append(all, e)
		}
		for _, e := range s.sso {
			all = append(all, e)
		}
		for _, e := range all {
			id := matching(e)
			m, err := s.Map(context.Background(), id)
			if errors.Is(err, ErrNotMapped) {
				t.Errorf("%s cannot be matched", s.source(e))
			}
			if !e.broken {
				entries++
			}
			if broken := s.find(id).broken; errors.As(err, new(*BrokenEntryError)) != broken {
				t.Errorf("%s is broken: %v, but gives %v", s.source(e), broken, err)
			}
			if err == nil && checkName(m.Username) != "" {
				t.Errorf("%s gives username %q", s.source(e), m.Username)
			}
			for _, g := range m.Groups {
				if checkName(g) != "" {
					t.Errorf("%s gives group %q", s.source(e), g)
				}
			}
		}
		if s.Len() != entries {
			t.Errorf("%d entries, but Len is %d", entries, s.Len())
		}
		stranger := identity.Identity{Principal: identity.Principal{Kind: identity.KindUser, Partition: "aws", Account: "999999999999", Path: "/", Name: "no-entry-names-me"}}
		if _, err := s.Map(context.Background(), stranger); s.accounts["999999999999"] == nil && errors.Is(err, ErrNotMapped) != (s.Unreadable() == "") {
			t.Errorf("unreadable %q, a stranger gets %v", s.Unreadable(), err)
		}
		if _, err := ParseAWSAuth(text, Options{Dialect: EKS}); err != nil {
			t.Errorf("dialect EKS: %v", err)
		}
		for a := range s.accounts {
			if s.Unreadable() != "" {
				break
			}
			p := identity.Principal{Kind: identity.KindUser, Partition: "aws", Account: a, Path: "/", Name: "no-entry-names-me"}
			if _, err := s.Map(context.Background(), identity.Identity{Principal: p}); err != nil {
				t.Errorf("account %q: %v", a, err)
			}
			p = identity.Principal{Kind: identity.KindRoot, Partition: "aws", Account: a}
			if _, err := s.Map(context.Background(), identity.Identity{Principal: p}); err == nil && s.principals[keyOf(p)] == nil {
				t.Errorf("account %q maps its root", a)
			}
		}
	})
}

// matching makes the identity that an entry is for.
func matching(e *entry) identity.Identity {
	p := identity.Principal{Kind: e.key.kind, Partition: e.key.partition, Account: e.key.account, Path: e.key.path, Name: e.key.name}
	if e.sso {
		p.Name = "AWSReservedSSO_" + p.Name + "_0123456789abcdef"
	}
	if p.Kind == identity.KindRole {
		p.Kind, p.Path, p.SessionName = identity.KindAssumedRole, "", instance
	}
	return identity.Identity{Principal: p, PrincipalID: e.uniqueID, AccessKeyID: "AKIAEXAMPLEEXAMPLE12"}
}

// TestLargestText reads a text of the largest size that is all entries.
func TestLargestText(t *testing.T) {
	var b strings.Builder
	b.WriteString("mapAccounts: |\n")
	for b.Len() < MaxAWSAuth-20 {
		b.WriteString("  - 111122223333\n")
	}
	if s := mustAWSAuth(t, b.String()); s.Len() != 1 || len(s.Problems()) != 0 {
		t.Errorf("%d entries, %d problems", s.Len(), len(s.Problems()))
	}
}

func TestProblemsAreBounded(t *testing.T) {
	text := "mapRoles:\n" + strings.Repeat("- x\n", 5000) +
		"mapUsers: [{userarn: '" + userARN + "', username: a}]"
	s := mustAWSAuth(t, text)
	p := s.Problems()
	if len(p) != maxProblems+1 || p[maxProblems].Code != TooMany || !strings.Contains(p[maxProblems].Message, "4000 problems") {
		t.Errorf("%d problems, the last is %v", len(p), p[len(p)-1])
	}
	if got := outcome(s, caller(t, userARN)); got != "a []" {
		t.Errorf("the rest: %q", got)
	}
	// Remarks may not crowd out what makes the server's entries invalid.
	var b strings.Builder
	b.WriteString("mapRoles:\n")
	for i := range maxProblems {
		fmt.Fprintf(&b, "- {rolearn: 'arn:aws-cn:iam::111122223333:role/x%d'}\n", i)
	}
	b.WriteString("mapUsers: [{}]")
	if _, err := ParseServer(serverNode(t, b.String()), Options{}); err == nil || !strings.Contains(err.Error(), "has no userarn") {
		t.Errorf("a bad entry behind many remarks: %v", err)
	}
}
