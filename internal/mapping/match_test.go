package mapping

import (
	"context"
	"errors"
	"testing"

	"github.com/ekskey/ekskey/identity"
)

const matchEntries = `
mapRoles:
- {rolearn: "arn:aws:iam::111122223333:role/dev", username: role-dev, groups: [g]}
- {rolearn: "arn:aws:iam::111122223333:role/team/kilo", username: role-kilo, groups: [g]}
- {rolearn: "arn:aws:iam::111122223333:role/pinned", username: pinned, userid: AROAEXAMPLEEXAMPLE123}
- {rolearn: "arn:aws:iam::111122223333:role/repinned", username: repinned, userid: AROAEXAMPLEEXAMPLE999}
- {sso: {permissionSetName: Admin, accountID: "111122223333"}, username: sso-admin, groups: [admins]}
mapUsers:
- {userarn: "arn:aws:iam::111122223333:user/alice", username: user-alice}
- {userarn: "arn:aws:iam::111122223333:user/div/bob", username: user-bob}
- {userarn: "arn:aws:sts::111122223333:federated-user/fred", username: fed-fred}
- {userarn: "arn:aws:iam::111122223333:user/sam", username: user-sam}
mapAccounts: ["444455556666", "777788889999"]
`

// TestMatching changes one thing a row.
func TestMatching(t *testing.T) {
	s := mustServer(t, matchEntries, Options{})
	rename := func(id identity.Identity, name string) identity.Identity {
		id.Principal.Name = name
		return id
	}
	for _, tt := range []struct {
		name string
		id   identity.Identity
		want string
	}{
		{"role", session(t, "dev", "s"), "role-dev [g]"},
		{"role, other case", session(t, "DeV", "s"), "role-dev [g]"},
		{"role, other partition", caller(t, "arn:aws-cn:sts::111122223333:assumed-role/dev/s"), "not mapped"},
		{"role, other account", caller(t, "arn:aws:sts::111122223334:assumed-role/dev/s"), "not mapped"},
		{"role, other name", session(t, "dev2", "s"), "not mapped"},
		{"role, name is a beginning", session(t, "de", "s"), "not mapped"},
		{"role, session named as the role", session(t, "x", "dev"), "not mapped"},
		{"user of the role's name", caller(t, "arn:aws:iam::111122223333:user/dev"), "not mapped"},
		{"federated user of the role's name", caller(t, "arn:aws:sts::111122223333:federated-user/dev"), "not mapped"},
		{"role, Kelvin sign for k", rename(session(t, "kilo", "s"), "\u212Ailo"), "not mapped"},
		{"role with a path in its entry", session(t, "kilo", "s"), "role-kilo [g]"},
		{"role of that path's name", session(t, "team", "s"), "not mapped"},
		{"role named path and name", rename(session(t, "kilo", "s"), "team/kilo"), "not mapped"},

		{"pinned role", session(t, "pinned", "s"), "pinned []"},
		{"role made again", session(t, "repinned", "s"), "pin error"},

		{"user", caller(t, "arn:aws:iam::111122223333:user/alice"), "user-alice []"},
		{"user, other case", caller(t, "arn:aws:iam::111122223333:user/Alice"), "user-alice []"},
		{"user, added path", caller(t, "arn:aws:iam::111122223333:user/div/alice"), "not mapped"},
		{"user, other account", caller(t, "arn:aws:iam::111122223334:user/alice"), "not mapped"},
		{"user, other partition", caller(t, "arn:aws-us-gov:iam::111122223333:user/alice"), "not mapped"},
		{"role of the user's name", session(t, "alice", "s"), "not mapped"},
		{"session of the user's name", session(t, "x", "alice"), "not mapped"},
		{"user with a path", caller(t, "arn:aws:iam::111122223333:user/div/bob"), "user-bob []"},
		{"user without its path", caller(t, "arn:aws:iam::111122223333:user/bob"), "not mapped"},
		{"user, longer path", caller(t, "arn:aws:iam::111122223333:user/a/div/bob"), "not mapped"},
		{"user, long s for s", rename(caller(t, "arn:aws:iam::111122223333:user/sam"), "\u017Fam"), "not mapped"},

		{"federated user", caller(t, "arn:aws:sts::111122223333:federated-user/fred"), "fed-fred []"},
		{"federated user, other case", caller(t, "arn:aws:sts::111122223333:federated-user/FRED"), "not mapped"},
		{"user of the federated user's name", caller(t, "arn:aws:iam::111122223333:user/fred"), "not mapped"},

		{"sso role", session(t, "AWSReservedSSO_Admin_0123456789abcdef", "s"), "sso-admin [admins]"},
		{"sso role, other digits", session(t, "AWSReservedSSO_Admin_fedcba9876543210", "s"), "sso-admin [admins]"},
		{"sso role, other account", caller(t, "arn:aws:sts::111122223334:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/s"), "not mapped"},
		{"sso role, other partition", caller(t, "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/s"), "not mapped"},
		{"sso role of a set that begins alike", session(t, "AWSReservedSSO_Admin_RO_0123456789abcdef", "s"), "not mapped"},
		{"sso role of a set that ends alike", session(t, "AWSReservedSSO_My_Admin_0123456789abcdef", "s"), "not mapped"},
		{"sso role, 15 digits", session(t, "AWSReservedSSO_Admin_123456789abcdef", "s"), "not mapped"},
		{"sso role, 17 digits", session(t, "AWSReservedSSO_Admin_00123456789abcdef", "s"), "not mapped"},
		{"sso role, no digit", session(t, "AWSReservedSSO_Admin_0123456789abcdeg", "s"), "not mapped"},
		{"sso role, no set", session(t, "AWSReservedSSO_0123456789abcdef", "s"), "not mapped"},
		{"sso role, other prefix", session(t, "XAWSReservedSSO_Admin_0123456789abcdef", "s"), "not mapped"},
		{"role named as the set", session(t, "Admin", "s"), "not mapped"},
		{"user named as the sso role", caller(t, "arn:aws:iam::111122223333:user/AWSReservedSSO_Admin_0123456789abcdef"), "not mapped"},

		{"user of an account", caller(t, "arn:aws:iam::444455556666:user/div/Zoe"), "arn:aws:iam::444455556666:user/div/Zoe []"},
		{"role of an account", caller(t, "arn:aws:sts::444455556666:assumed-role/Ops/s"), "arn:aws:iam::444455556666:role/Ops []"},
		{"root of an account", caller(t, "arn:aws:iam::444455556666:root"), "not mapped"},
		{"federated user of an account", caller(t, "arn:aws:sts::444455556666:federated-user/x"), "not mapped"},
		{"account of another partition", caller(t, "arn:aws-cn:iam::444455556666:user/x"), "not mapped"},
		{"no account", caller(t, "arn:aws:iam::444455556667:user/x"), "not mapped"},
		{"nobody", identity.Identity{}, "not mapped"},
		{"nobody, of an account", identity.Identity{AccountID: "444455556666"}, "not mapped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(s, tt.id); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExplicitEntryBeforeAccount(t *testing.T) {
	s := mustServer(t, `
mapUsers: [{userarn: "arn:aws:iam::111122223333:user/alice", username: u}]
mapAccounts: ["111122223333"]`, Options{})
	if got := outcome(s, caller(t, userARN)); got != "u []" {
		t.Errorf("got %q", got)
	}
}

func TestRootOnlyIfExplicit(t *testing.T) {
	root := caller(t, "arn:aws:iam::111122223333:root")
	s := mustServer(t, `
mapUsers: [{userarn: "arn:aws:iam::111122223333:root", username: root, groups: [g]}]`, Options{})
	if got := outcome(s, root); got != "root [g]" {
		t.Errorf("mapped root: got %q", got)
	}
	if got := outcome(s, caller(t, "arn:aws:iam::111122223333:user/root")); got != "not mapped" {
		t.Errorf("user called root: got %q", got)
	}
	s = mustServer(t, `
mapUsers: [{userarn: "arn:aws:iam::111122223333:user/root", username: u}]
mapAccounts: ["111122223333"]`, Options{})
	if got := outcome(s, root); got != "not mapped" {
		t.Errorf("root where a user is called root: got %q", got)
	}
}

func TestPartitionOfAccountsAndPermissionSets(t *testing.T) {
	s := mustServer(t, `
mapRoles:
- {sso: {permissionSetName: A, accountID: "111122223333"}, username: a}
- {sso: {permissionSetName: A, accountID: "111122223333", partition: aws}, username: b}
mapAccounts: ["444455556666"]`, Options{Partition: "aws-cn"})
	for arn, want := range map[string]string{
		"arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_A_0123456789abcdef/s": "a []",
		"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_A_0123456789abcdef/s":    "b []",
		"arn:aws-cn:iam::444455556666:user/x":                                           "arn:aws-cn:iam::444455556666:user/x []",
		"arn:aws:iam::444455556666:user/x":                                              "not mapped",
	} {
		if got := outcome(s, caller(t, arn)); got != want {
			t.Errorf("%s: got %q, want %q", arn, got, want)
		}
	}
}

func TestMappingIsTheCallersOwn(t *testing.T) {
	s := mustServer(t, matchEntries, Options{})
	m, err := s.Map(context.Background(), session(t, "dev", "s"))
	if err != nil {
		t.Fatal(err)
	}
	m.Groups[0] = "system:masters"
	if got := outcome(s, session(t, "dev", "s")); got != "role-dev [g]" {
		t.Errorf("a caller changed the set: %q", got)
	}
}

func TestEndedContext(t *testing.T) {
	s := mustServer(t, matchEntries, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Map(ctx, session(t, "dev", "s")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
