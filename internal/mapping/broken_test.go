package mapping

import (
	"context"
	"errors"
	"strings"
	"testing"
)

const ssoRole = "AWSReservedSSO_A_0123456789abcdef"

// TestBrokenEntryRaisesNobody breaks the last entry of a principal that three
// things behind it would let in with more: an earlier entry, its account, and
// the creator. A row is what the broken entry says.
func TestBrokenEntryRaisesNobody(t *testing.T) {
	arn := "rolearn: '" + roleARN + "', "
	set := "sso: {permissionSetName: A, accountID: '111122223333'}, "
	user := "userarn: '" + userARN + "', "
	for _, tt := range []struct{ name, section, entry, want string }{
		{"good", "mapRoles", arn + "username: less", "less []"},

		{"username of unknown placeholder", "mapRoles", arn + "username: 'x:{{Nope}}'", "broken"},
		{"username of a list", "mapRoles", arn + "username: [x]", "broken"},
		{"username with a control character", "mapRoles", arn + `username: "x\ny"`, "broken"},
		{"groups as text", "mapRoles", arn + "groups: x", "broken"},
		{"group of null", "mapRoles", arn + "groups: [null]", "broken"},
		{"group of unknown placeholder", "mapRoles", arn + "groups: [x, '{{x}}']", "broken"},
		{"userid of a list", "mapRoles", arn + "userid: [x]", "broken"},
		{"userid empty", "mapRoles", arn + "userid: ''", "broken"},
		{"userid null", "mapRoles", arn + "userid: null", "broken"},
		{"userid of nothing", "mapRoles", arn + "userid: ", "broken"},
		{"groups an alias", "mapRoles", arn + "groups: *g ", "broken"},
		{"alias before the arn", "mapRoles", "groups: *g , " + arn, "broken"},
		{"merge key", "mapRoles", "<<: {username: x}, " + arn, "broken"},
		{"groups twice", "mapRoles", "groups: [a], groups: [b], " + arn, "broken"},
		{"arn in other case", "mapRoles", "RoleARN: '" + roleARN + "', groups: x", "broken"},
		{"arn with a path and in other case", "mapRoles", "rolearn: 'arn:aws:iam::111122223333:role/p/DEV', groups: x", "broken"},
		{"two arns, this one first", "mapRoles", arn + "roleARN: 'arn:aws:iam::111122223333:role/x'", "broken"},
		{"two arns, this one last", "mapRoles", "roleARN: 'arn:aws:iam::111122223333:role/x', " + arn, "broken"},
		{"two arns, both this one", "mapRoles", arn + "roleARN: '" + roleARN + "'", "broken"},
		{"arn and permission set", "mapRoles", arn + set, "broken"},
		{"role in mapUsers", "mapUsers", "userarn: '" + roleARN + "', groups: x", "broken"},

		// Whose principal cannot be read costs nobody anything.
		{"arn with a slip", "mapRoles", "rolearn: 'arn:aws:iam::111122223333:rol/dev', groups: x", "more [admins]"},
		{"arn an alias", "mapRoles", "username: &a '" + roleARN + "', rolearn: *a ", "more [admins]"},
		{"arn of one session", "mapRoles", "rolearn: 'arn:aws:sts::111122223333:assumed-role/dev/s'", "more [admins]"},
		{"arn under another key", "mapRoles", "arn: '" + roleARN + "', groups: x", "more [admins]"},
		{"another role", "mapRoles", "rolearn: '" + roleARN + "2', groups: x", "more [admins]"},
		{"user of the role's name", "mapRoles", "rolearn: 'arn:aws:iam::111122223333:user/dev', groups: x", "more [admins]"},

		{"sso", "mapRoles", set + "groups: x", "sso broken"},
		{"sso and arn", "mapRoles", set + arn, "sso broken"},
		{"sso of a bad account", "mapRoles", "sso: {permissionSetName: A, accountID: '1'}, groups: x", "sso more [admins]"},
		{"sso in mapUsers, before the good one", "mapUsers", set + "groups: x", "sso more [admins]"},

		{"user", "mapUsers", user + "groups: x", "user broken"},
		{"user under rolearn in mapUsers", "mapUsers", "rolearn: '" + userARN + "', groups: x", "user broken"},
		{"user under userarn in mapRoles", "mapRoles", user + "groups: x", "user broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who, want := session(t, "dev", "s"), tt.want
			key, name, in := "rolearn", "'"+roleARN+"'", "mapUsers"
			if w, ok := strings.CutPrefix(want, "sso "); ok {
				who, want, key, name, in = session(t, ssoRole, "s"), w, "sso", "{permissionSetName: A, accountID: '111122223333'}", "mapRoles"
			} else if w, ok := strings.CutPrefix(want, "user "); ok {
				who, want, key, name = caller(t, userARN), w, "userarn", "'"+userARN+"'"
			}
			if key == "rolearn" {
				key = "userarn" // a role in mapUsers: it works, and comes first
			}
			earlier := "- {" + key + ": " + name + ", username: more, groups: [admins]}\n"
			text := map[string]string{in: earlier}
			text[tt.section] += "- {" + tt.entry + "}\n"
			all := "x: &g [x]\nmapAccounts: ['111122223333']\n"
			for section, entries := range text {
				all += section + ":\n" + entries
			}
			creator, err := NewCreator(who.CanonicalARN)
			if err != nil {
				t.Fatal(err)
			}
			s := mustAWSAuth(t, all)
			if got := outcome(NewChain(Link{Name: "aws-auth", Mapper: s}, Link{Name: "creator", Mapper: creator}), who); got != want {
				t.Errorf("got %q, want %q; %v", got, want, s.Problems())
			}
			dropped := 0
			for _, p := range s.Problems() {
				if p.Dropped {
					dropped++
				}
			}
			if (tt.name == "good") != (dropped == 0) || dropped > 1 {
				t.Errorf("%d dropped: %v", dropped, s.Problems())
			}
			// Without the earlier entry, neither account nor creator lets it in.
			if want != "broken" {
				return
			}
			s = mustAWSAuth(t, strings.Replace(all, earlier, "", 1))
			if got := outcome(NewChain(Link{Name: "aws-auth", Mapper: s}, Link{Name: "creator", Mapper: creator}), who); got != "broken" {
				t.Errorf("without an earlier entry: got %q", got)
			}
			if s.Len() != 1 { // the account
				t.Errorf("%d entries in force", s.Len())
			}
			if strings.Contains(codes(s.Problems()), string(Duplicate)) {
				t.Errorf("a duplicate of itself: %v", s.Problems())
			}
		})
	}
}

func TestBrokenEntryLastWins(t *testing.T) {
	const (
		good   = "- {rolearn: '" + roleARN + "', username: a}\n"
		broken = "- {rolearn: '" + roleARN + "', username: b, groups: x}\n"
	)
	for _, tt := range []struct {
		name, text, want string
		entries          int
	}{
		{"broken alone", "mapRoles:\n" + broken, "broken", 0},
		{"broken, good", "mapRoles:\n" + broken + good, "a []", 1},
		{"good, broken", "mapRoles:\n" + good + broken, "broken", 0},
		{"broken, good, broken", "mapRoles:\n" + broken + good + broken, "broken", 0},
		{"broken twice", "mapRoles:\n" + broken + broken, "broken", 0},
		{"broken in mapUsers, good in mapRoles", "mapUsers:\n" + strings.Replace(broken, "role", "user", 1) + "mapRoles:\n" + good, "a []", 1},
		{"good in mapUsers, broken in mapRoles", "mapRoles:\n" + broken + "mapUsers:\n" + strings.Replace(good, "role", "user", 1), "broken", 0},
		{"the section unreadable", "mapUsers:\n" + strings.Replace(good, "role", "user", 1) + "mapRoles: |\n  " + broken + "  [\n", "a []", 1},
	} {
		s := mustAWSAuth(t, tt.text+"mapAccounts: []\n")
		if got := outcome(s, session(t, "dev", "s")); got != tt.want || s.Len() != tt.entries {
			t.Errorf("%s: got %q and %d entries, want %q and %d", tt.name, got, s.Len(), tt.want, tt.entries)
		}
	}
	for _, section := range []string{mapRoles, mapUsers} {
		s := mustAWSAuth(t, section+":\n- {sso: {permissionSetName: A, accountID: '111122223333'}, groups: x}\nmapAccounts: ['111122223333']")
		if got := outcome(s, session(t, ssoRole, "s")); got != "broken" || s.Len() != 1 {
			t.Errorf("a broken permission set in %s: got %q, %d entries", section, got, s.Len())
		}
	}
	s := mustAWSAuth(t, "mapRoles:\n- {rolearn: 'arn:aws:iam::111122223333:role/"+ssoRole+"', groups: x}\n- {sso: {permissionSetName: A, accountID: '111122223333'}, username: set}\n")
	if got := outcome(s, session(t, ssoRole, "s")); got != "broken" || s.Len() != 1 {
		t.Errorf("a broken arn counts before a permission set: got %q, %d entries", got, s.Len())
	}
}

func TestBrokenEntryError(t *testing.T) {
	s := mustAWSAuth(t, "mapRoles:\n- {rolearn: '"+roleARN+"', username: a}\n- {rolearn: '"+roleARN+"', groups: x}\n")
	_, err := NewChain(Link{Name: "aws-auth", Mapper: s}).Map(context.Background(), session(t, "dev", "s"))
	var broken *BrokenEntryError
	if !errors.As(err, &broken) || errors.Is(err, ErrNotMapped) {
		t.Fatalf("got %v, want *BrokenEntryError", err)
	}
	if want := (BrokenEntryError{Source: "aws-auth mapRoles[1] line 3", ARN: roleARN}); *broken != want {
		t.Errorf("got %+v, want %+v", *broken, want)
	}
	if !strings.Contains(err.Error(), "is invalid and was dropped; see the log") {
		t.Errorf("message %q", err)
	}
	// Its problems say so too, and that the earlier entry counts no more.
	if got := codes(s.Problems()); got != "mapRoles[1] line 3 bad-shape!, mapRoles[1] line 3 duplicate" {
		t.Errorf("problems %s", got)
	}
	if p := s.Problems()[1]; !strings.HasSuffix(p.Message, "the principal is refused") {
		t.Errorf("problem %v", p)
	}
}
