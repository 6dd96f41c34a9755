package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/identity"
)

func readTable(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "eks", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

type goldenAnswer struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	Error    string   `json:"error"`
}

// TestDialectEKS holds the dialect against what aws-iam-authenticator answered. The
// module interop/authenticator wrote the answers, and checks that they are still its.
func TestDialectEKS(t *testing.T) {
	var people []struct{ ARN, Account, UserID string }
	readTable(t, "principals.json", &people)
	var rows []struct {
		Name        string
		ConfigMap   map[string]string
		DynamicFile *string
		Strict      bool
		Reserved    []string
		File        *struct {
			Roles, Users []struct {
				ARN, Username string
				Groups        []string
			}
			Accounts []string
		}
	}
	readTable(t, "cases.json", &rows)
	var golden []struct {
		Name    string
		Refused bool
		Answers map[string]goldenAnswer
	}
	readTable(t, "golden.json", &golden)
	if len(rows) < 300 || len(rows) != len(golden) {
		t.Fatalf("%d rows, %d answers", len(rows), len(golden))
	}
	for i, r := range rows {
		want := golden[i]
		o := Options{
			Dialect: EKS, ByUniqueID: r.Strict, ReservedPrefixes: r.Reserved,
			EC2PrivateDNSName: func(_ context.Context, id string, _ identity.Identity) (string, error) {
				if id == "i-00000000" {
					return "", errors.New("no such instance")
				}
				return "ip-" + strings.TrimPrefix(id, "i-") + ".ec2.internal", nil
			},
		}
		var set *Set
		var err error
		switch {
		case r.DynamicFile != nil:
			set, err = ParseDynamicFile([]byte(*r.DynamicFile), o)
		case r.File != nil:
			var entries []Entry
			for i, e := range r.File.Users {
				entries = append(entries, Entry{Section: mapUsers, Index: i, ARN: e.ARN, Username: e.Username, Groups: e.Groups})
			}
			for i, e := range r.File.Roles {
				entries = append(entries, Entry{Section: mapRoles, Index: i, ARN: e.ARN, Username: e.Username, Groups: e.Groups})
			}
			for i, a := range r.File.Accounts {
				entries = append(entries, Entry{Section: mapAccounts, Index: i, Account: a})
			}
			o.Strict = true
			set, err = NewSet(entries, o)
		default:
			set, err = ParseAWSAuthData(r.ConfigMap, o)
		}
		if r.Name != want.Name || (err != nil) != want.Refused {
			t.Errorf("%s: %v, want refused %v", r.Name, err, want.Refused)
		}
		if err != nil {
			continue
		}
		for _, p := range people {
			id, err := identity.New(p.ARN, p.Account, p.UserID)
			if err != nil {
				t.Fatal(err)
			}
			id.AccessKeyID = "ASIAEXAMPLEEXAMPLE12"
			m, err := set.Map(context.Background(), id)
			got := goldenAnswer{Username: m.Username, Groups: m.Groups}
			switch {
			case errors.Is(err, ErrNotMapped):
				got = goldenAnswer{}
			case err != nil:
				got = goldenAnswer{Error: "refused"}
			case got.Groups == nil:
				got.Groups = []string{}
			}
			if !reflect.DeepEqual(got, want.Answers[p.ARN]) {
				t.Errorf("%s: %s: got %+v, want %+v", r.Name, p.ARN, got, want.Answers[p.ARN])
			}
		}
	}
}

// The problems have the codes of the other dialect, and say what EKS drops.
func TestProblemsOfDialectEKS(t *testing.T) {
	role := func(rest string) string { return "- {rolearn: '" + roleARN + "', " + rest + "}" }
	for _, tt := range []struct{ name, roles, want string }{
		{"good", role("username: x"), ""},
		{"path", "- {rolearn: 'arn:aws:iam::111122223333:role/p/dev', username: x}", "mapRoles[0] line 1 role-path!"},
		{"groups as text", role("username: x, groups: g"), "mapRoles[0] line 1 bad-shape"},
		{"section is broken", "- [", "mapRoles line 0 bad-yaml!"},
		{"section is a mapping", "a: b", "mapRoles line 1 bad-shape!"},
		{"two documents", role("username: x") + "\n---\n[]", "mapRoles line 0 bad-yaml"},
		{"no username", role("groups: [g]"), "mapRoles[0] line 1 no-username"},
		{"unknown placeholder", role("username: '{{x}}'"), "mapRoles[0] line 1 bad-template"},
		{"alias", "- &a " + role("username: x")[2:] + "\n- *a", "mapRoles[1] line 2 duplicate, mapRoles[1] line 2 yaml-alias"},
		{"duplicate", role("username: x") + "\n" + role("username: z"), "mapRoles[1] line 2 duplicate"},
		{"a word that YAML 1.1 takes for true", role("username: y"), "mapRoles[0] line 1 no-username"},
		{"bad arn", "- {rolearn: nobody, username: x}", "mapRoles[0] line 1 bad-arn!"},
		{"no arn", "- {username: x}", "mapRoles[0] line 1 bad-arn!"},
		{"permission set", "- {sso: {permissionSetName: A, accountID: '111122223333'}, username: x}", "mapRoles[0] line 1 bad-arn!"},
		{"a number that is no text", role("username: 5"), "mapRoles[0] line 1 no-username"},
		{"a group that is no text", role("username: x, groups: [a, 5]"), "mapRoles[0] line 1 bad-shape"},
		{"user in mapRoles", "- {rolearn: '" + userARN + "', username: x}", "mapRoles[0] line 1 wrong-section"},
	} {
		s, err := ParseAWSAuthData(map[string]string{mapRoles: tt.roles}, Options{Dialect: EKS})
		if err != nil {
			t.Fatal(err)
		}
		if got := codes(s.Problems()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	s, err := ParseAWSAuthData(map[string]string{"maproles": role("username: x"), mapAccounts: "- 12\n- '111122223333'"}, Options{Dialect: EKS})
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(s.Problems()); got != "line 1 misspelt!, mapAccounts[0] line 1 bad-account!" {
		t.Errorf("got %q", got)
	}
	if s.Unreadable() != "" {
		t.Errorf("unreadable %q, but EKS takes it for empty", s.Unreadable())
	}
}
