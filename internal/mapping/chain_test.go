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
		{"first", []Link{{"a", answer("x")}, {"b", answer("y")}}, "x", nil},
		{"second", []Link{{"a", failing(ErrNotMapped)}, {"b", answer("y")}}, "y", nil},
		{"wrapped sentinel", []Link{{"a", failing(fmt.Errorf("a: %w", ErrNotMapped))}, {"b", answer("y")}}, "y", nil},
		{"none", []Link{{"a", failing(ErrNotMapped)}}, "", ErrNotMapped},
		{"error stops", []Link{{"a", failing(boom)}, {"b", answer("y")}}, "", boom},
		{"error after none", []Link{{"a", failing(ErrNotMapped)}, {"b", failing(boom)}, {"c", answer("y")}}, "", boom},
		{"render error stops", []Link{{"a", failing(&RenderError{})}, {"b", answer("y")}}, "", nil},
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
