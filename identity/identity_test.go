package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/identity"
)

func TestParsePrincipal(t *testing.T) {
	const a = "111122223333"
	for _, c := range []struct {
		arn, canonical string
		want           identity.Principal
	}{
		{"arn:aws:iam::111122223333:root", "", identity.Principal{Kind: identity.KindRoot, Partition: "aws", Account: a}},
		{"arn:aws:iam::111122223333:user/alice", "", identity.Principal{Kind: identity.KindUser, Partition: "aws", Account: a, Path: "/", Name: "alice"}},
		{"arn:aws-cn:iam::111122223333:user/eng/eu/bob.b+c@x", "", identity.Principal{Kind: identity.KindUser, Partition: "aws-cn", Account: a, Path: "/eng/eu/", Name: "bob.b+c@x"}},
		{"arn:aws:iam::111122223333:role/team/viewer", "", identity.Principal{Kind: identity.KindRole, Partition: "aws", Account: a, Path: "/team/", Name: "viewer"}},
		{"arn:aws-us-gov:sts::111122223333:assumed-role/viewer/me@here", "arn:aws-us-gov:iam::111122223333:role/viewer", identity.Principal{Kind: identity.KindAssumedRole, Partition: "aws-us-gov", Account: a, Name: "viewer", SessionName: "me@here"}},
		{"arn:aws:sts::111122223333:federated-user/fred", "", identity.Principal{Kind: identity.KindFederatedUser, Partition: "aws", Account: a, Name: "fred"}},
	} {
		got, err := identity.ParsePrincipal(c.arn)
		if err != nil {
			t.Errorf("%s: %v", c.arn, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.arn, diff)
		}
		if got.String() != c.arn {
			t.Errorf("%s became %s", c.arn, got)
		}
		if c.canonical == "" {
			c.canonical = c.arn
		}
		if got.Canonical().String() != c.canonical {
			t.Errorf("%s: canonical %s, want %s", c.arn, got.Canonical(), c.canonical)
		}
	}
}

func TestParsePrincipalRefuses(t *testing.T) {
	for _, arn := range []string{
		"", "arn", "arn:aws:iam::111122223333", "ARN:aws:iam::111122223333:user/a", " arn:aws:iam::111122223333:user/a",
		"arn:aws:iam::111122223333:user/a\n", "arn:aws:iam::111122223333:user/\u212Aate", "arn:aws:iam::111122223333:user/",
		"arn:nope:iam::111122223333:user/a", "arn:AWS:iam::111122223333:user/a", "arn:aws:iam:us-east-1:111122223333:user/a",
		"arn:aws:iam::11112222333:user/a", "arn:aws:iam::1111222233334:user/a", "arn:aws:iam::11112222333x:user/a",
		"arn:aws:iam:::user/a", "arn:aws:iam::111122223333:root/x", "arn:aws:iam::111122223333:rootx",
		"arn:aws:iam::111122223333:group/a", "arn:aws:s3:::bucket", "arn:aws:iam::111122223333:user//a",
		"arn:aws:iam::111122223333:role/x//a", "arn:aws:iam::111122223333:assumed-role/a/b",
		"arn:aws:sts::111122223333:role/a", "arn:aws:sts::111122223333:assumed-role/a", "arn:aws:sts::111122223333:assumed-role/a/",
		"arn:aws:sts::111122223333:assumed-role/a/b/c", "arn:aws:sts::111122223333:assumed-role//b",
		"arn:aws:sts::111122223333:federated-user/a/b", "arn:aws:iam::111122223333:user/a b", "arn:aws:iam::111122223333:user/a*",
		"arn:aws:iam::111122223333:user/a:b", "arn:aws:iam::111122223333:user/" + strings.Repeat("a", 129),
		"arn:aws:iam::111122223333:user/" + strings.Repeat("a", 4000),
	} {
		_, err := identity.ParsePrincipal(arn)
		var bad *identity.ARNError
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", arn, err)
			continue
		}
		if len(err.Error()) > 500 {
			t.Errorf("%q: an error of %d bytes", arn, len(err.Error()))
		}
	}
}

func TestNew(t *testing.T) {
	const role, session = "AROAEXAMPLEEXAMPLE1AB", "me"
	got, err := identity.New("arn:aws:sts::111122223333:assumed-role/viewer/me", "111122223333", role+":"+session)
	if err != nil {
		t.Fatal(err)
	}
	if got.CanonicalARN != "arn:aws:iam::111122223333:role/viewer" || got.PrincipalID != role || got.SessionName != session || got.AccountID != "111122223333" {
		t.Errorf("%+v", got)
	}
	for _, ok := range [][3]string{
		{"arn:aws:iam::111122223333:root", "111122223333", "111122223333"},
		{"arn:aws:iam::111122223333:user/a", "111122223333", "AIDAEXAMPLEEXAMPLE1AB"},
		{"arn:aws:sts::111122223333:federated-user/fred", "111122223333", "111122223333:fred"},
	} {
		if _, err := identity.New(ok[0], ok[1], ok[2]); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
}

func TestNewRefusesContradictions(t *testing.T) {
	const user, role = "AIDAEXAMPLEEXAMPLE1AB", "AROAEXAMPLEEXAMPLE1AB"
	const assumed = "arn:aws:sts::111122223333:assumed-role/viewer/me"
	for _, c := range []struct{ name, arn, account, userID, field string }{
		{"another account", "arn:aws:iam::111122223333:user/a", "444455556666", user, "Account"},
		{"no account", "arn:aws:iam::111122223333:user/a", "", user, "Account"},
		{"a user with a session", "arn:aws:iam::111122223333:user/a", "111122223333", user + ":me", "UserId"},
		{"a user without an id", "arn:aws:iam::111122223333:user/a", "111122223333", "", "UserId"},
		{"another session", assumed, "111122223333", role + ":you", "UserId"},
		{"the session in another case", assumed, "111122223333", role + ":ME", "UserId"},
		{"two sessions", assumed, "111122223333", role + ":me:me", "UserId"},
		{"no session", assumed, "111122223333", role, "UserId"},
		{"an empty session", assumed, "111122223333", role + ":", "UserId"},
		{"no id", assumed, "111122223333", ":me", "UserId"},
		{"a lower-case id", assumed, "111122223333", strings.ToLower(role) + ":me", "UserId"},
		{"another root", "arn:aws:iam::111122223333:root", "111122223333", "444455556666", "UserId"},
		{"another federated user", "arn:aws:sts::111122223333:federated-user/fred", "111122223333", "111122223333:bob", "UserId"},
		{"a role calls nobody", "arn:aws:iam::111122223333:role/viewer", "111122223333", role, ""},
	} {
		id, err := identity.New(c.arn, c.account, c.userID)
		if err == nil || id != (identity.Identity{}) {
			t.Errorf("%s: %+v, %v", c.name, id, err)
			continue
		}
		var mismatch *identity.MismatchError
		if errors.As(err, &mismatch) != (c.field != "") || c.field != "" && mismatch.Field != c.field {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzParseARN(f *testing.F) {
	for _, s := range []string{"arn:aws:iam::111122223333:user/a", "arn:aws:sts::111122223333:assumed-role/a/b", "arn:aws:iam::111122223333:root", "arn:::::", "arn:aws:eks:us-east-1:111122223333:cluster/demo"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := identity.ParseARN(s)
		if err != nil {
			if a != (identity.ARN{}) {
				t.Fatalf("%q: an error and %+v", s, a)
			}
			return
		}
		if a.String() != s {
			t.Fatalf("%q became %q", s, a.String())
		}
		p, err := a.Principal()
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("principal of %q became %q", s, p)
		}
		if c := p.Canonical(); c.Canonical() != c {
			t.Fatalf("%q: canonical of canonical differs", s)
		}
		if again, err := identity.ParsePrincipal(p.Canonical().String()); err != nil || again != p.Canonical() {
			t.Fatalf("%q: canonical does not parse back: %+v %v", s, again, err)
		}
	})
}
