package mapping

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ekskey/ekskey/identity"
)

type mapperFunc func(context.Context, identity.Identity) (Mapping, error)

func (f mapperFunc) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	return f(ctx, id)
}

func answer(name string) mapperFunc {
	return func(context.Context, identity.Identity) (Mapping, error) {
		return Mapping{Username: name, Source: name + " line 1"}, nil
	}
}

func failing(err error) mapperFunc {
	return func(context.Context, identity.Identity) (Mapping, error) { return Mapping{Username: "leaked"}, err }
}

func TestChain(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name     string
		links    []Link
		username string
		err      error
	}{
		{"empty", nil, "", ErrNotMapped},
		{"first", []Link{{Name: "a", Mapper: answer("x")}, {Name: "b", Mapper: answer("y")}}, "x", nil},
		{"second", []Link{{Name: "a", Mapper: failing(ErrNotMapped)}, {Name: "b", Mapper: answer("y")}}, "y", nil},
		{"wrapped sentinel", []Link{{Name: "a", Mapper: failing(fmt.Errorf("a: %w", ErrNotMapped))}, {Name: "b", Mapper: answer("y")}}, "y", nil},
		{"none", []Link{{Name: "a", Mapper: failing(ErrNotMapped)}}, "", ErrNotMapped},
		{"error stops", []Link{{Name: "a", Mapper: failing(boom)}, {Name: "b", Mapper: answer("y")}}, "", boom},
		{"error after none", []Link{{Name: "a", Mapper: failing(ErrNotMapped)}, {Name: "b", Mapper: failing(boom)}, {Name: "c", Mapper: answer("y")}}, "", boom},
		{"render error stops", []Link{{Name: "a", Mapper: failing(&RenderError{})}, {Name: "b", Mapper: answer("y")}}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewChain(tt.links...)
			m, err := c.Map(context.Background(), session(t, "dev", "s"))
			if m.Username != tt.username || (tt.err != nil && !errors.Is(err, tt.err)) || (err == nil) != (tt.username != "") {
				t.Errorf("got %q, %v", m.Username, err)
			}
			if !errors.Is(tt.err, ErrNotMapped) && errors.Is(err, ErrNotMapped) {
				t.Errorf("a final error reads as not mapped: %v", err)
			}
		})
	}
}

// A backend that cannot answer for now is neither passed over nor final, and only what
// is Always asked may answer in its place.
func TestChainUnavailable(t *testing.T) {
	away := &UnavailableError{Backend: "aws-auth", Reason: "x"}
	for _, tt := range []struct {
		name  string
		links []Link
		want  string // a username, or "" for temporary
	}{
		{"then another", []Link{{Name: "a", Mapper: failing(away)}, {Name: "b", Mapper: answer("y")}}, ""},
		{"wrapped", []Link{{Name: "a", Mapper: failing(fmt.Errorf("x: %w", away))}, {Name: "b", Mapper: answer("y")}}, ""},
		{"a lookup", []Link{{Name: "a", Mapper: failing(&LookupError{Err: errors.New("x")})}, {Name: "b", Mapper: answer("y")}}, ""},
		{"one before", []Link{{Name: "a", Mapper: answer("x")}, {Name: "b", Mapper: failing(away)}}, "x"},
		{"one that is always asked", []Link{{Name: "a", Mapper: failing(away)}, {Name: "b", Mapper: answer("y")}, {Name: "c", Mapper: answer("z"), Always: true}}, "z"},
		{"one that is always asked and does not know", []Link{{Name: "a", Mapper: failing(away)}, {Name: "c", Mapper: failing(ErrNotMapped), Always: true}}, ""},
	} {
		m, err := NewChain(tt.links...).Map(context.Background(), session(t, "dev", "s"))
		if m.Username != tt.want || (err == nil) != (tt.want != "") || err != nil && (!Temporary(err) || errors.Is(err, ErrNotMapped)) {
			t.Errorf("%s: got %q, %v", tt.name, m.Username, err)
		}
	}
	for _, err := range []error{nil, ErrNotMapped, &NotMappedError{}, &PinError{}, &RenderError{}, &ReservedError{}, &BrokenEntryError{}, errors.New("x")} {
		if Temporary(err) {
			t.Errorf("%T is temporary", err)
		}
	}
}

func TestChainNamesThePrincipal(t *testing.T) {
	_, err := NewChain().Map(context.Background(), session(t, "dev", "s"))
	var nm *NotMappedError
	if !errors.As(err, &nm) || nm.ARN != roleARN {
		t.Errorf("got %v", err)
	}
}

func TestCreator(t *testing.T) {
	const admin = "kubernetes-admin [system:masters]"
	for _, tt := range []struct{ creator, arn, want string }{
		{roleARN, "arn:aws:sts::111122223333:assumed-role/dev/s", admin},
		{"arn:aws:iam::111122223333:role/a/b/dev", "arn:aws:sts::111122223333:assumed-role/dev/s", admin},
		{roleARN, "arn:aws:sts::111122223333:assumed-role/dev2/s", "not mapped"},
		{roleARN, "arn:aws:sts::111122223334:assumed-role/dev/s", "not mapped"},
		{roleARN, "arn:aws-cn:sts::111122223333:assumed-role/dev/s", "not mapped"},
		{roleARN, "arn:aws:iam::111122223333:user/dev", "not mapped"},
		{roleARN, "arn:aws:iam::111122223333:root", "not mapped"},
		{userARN, userARN, admin},
		{userARN, "arn:aws:iam::111122223333:user/x/alice", "not mapped"},
		{userARN, "arn:aws:sts::111122223333:federated-user/alice", "not mapped"},
	} {
		c, err := NewCreator(tt.creator)
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(c, caller(t, tt.arn)); got != tt.want {
			t.Errorf("creator %s, caller %s: got %q, want %q", tt.creator, tt.arn, got, tt.want)
		}
	}
	c, err := NewCreator(roleARN)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(c, identity.Identity{}); got != "not mapped" {
		t.Errorf("nobody: %q", got)
	}
	for _, arn := range []string{
		"", "dev", "arn:aws:iam::111122223333:role/*", "arn:aws:iam::111122223333:root",
		"arn:aws:sts::111122223333:assumed-role/dev/s", "arn:aws:sts::111122223333:federated-user/alice",
		"arn:aws:iam::*:role/dev", " " + roleARN,
	} {
		if _, err := NewCreator(arn); err == nil {
			t.Errorf("NewCreator(%q) succeeded", arn)
		}
	}
}
