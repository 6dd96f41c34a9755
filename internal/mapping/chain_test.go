package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
		explain  string
	}{
		{"empty", nil, "", ErrNotMapped, ""},
		{"first", []Link{{"a", answer("x")}, {"b", answer("y")}}, "x", nil, "matched, not asked"},
		{"second", []Link{{"a", failing(ErrNotMapped)}, {"b", answer("y")}}, "y", nil, "not matched, matched"},
		{"wrapped sentinel", []Link{{"a", failing(fmt.Errorf("a: %w", ErrNotMapped))}, {"b", answer("y")}}, "y", nil, "not matched, matched"},
		{"none", []Link{{"a", failing(ErrNotMapped)}}, "", ErrNotMapped, "not matched"},
		{"error stops", []Link{{"a", failing(boom)}, {"b", answer("y")}}, "", boom, "failed, not asked"},
		{"error after none", []Link{{"a", failing(ErrNotMapped)}, {"b", failing(boom)}, {"c", answer("y")}}, "", boom, "not matched, failed, not asked"},
		{"render error stops", []Link{{"a", failing(&RenderError{})}, {"b", answer("y")}}, "", nil, "failed, not asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewChain(tt.links...)
			m, err := c.Map(context.Background(), session(t, "dev", "s"))
			if m.Username != tt.username || (tt.err != nil && !errors.Is(err, tt.err)) || (err == nil) != (tt.username != "") {
				t.Errorf("got %q, %v", m.Username, err)
			}
			if tt.err != ErrNotMapped && errors.Is(err, ErrNotMapped) {
				t.Errorf("a final error reads as not mapped: %v", err)
			}
			var outcomes []string
			for _, v := range c.Explain(context.Background(), session(t, "dev", "s")) {
				outcomes = append(outcomes, string(v.Outcome))
				if (v.Outcome == Matched) != (v.Mapping.Username != "") || (v.Outcome == Failed) != (v.Err != nil) || v.Why == "" || v.Backend == "" {
					t.Errorf("odd verdict %+v", v)
				}
			}
			if got := strings.Join(outcomes, ", "); got != tt.explain {
				t.Errorf("explained %q, want %q", got, tt.explain)
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

// TestExplain is the chain of a server: entries, aws-auth, creator.
func TestExplain(t *testing.T) {
	creator, err := NewCreator("arn:aws:iam::111122223333:role/team/Founder")
	if err != nil {
		t.Fatal(err)
	}
	c := NewChain(
		Link{"file", mustServer(t, `mapUsers: [{userarn: "`+userARN+`", username: a}]`, Options{})},
		Link{"aws-auth", mustAWSAuth(t, `mapRoles: [{rolearn: "`+roleARN+`", username: "{{EC2PrivateDNSName}}"}]`)},
		Link{"creator", creator},
	)
	for _, tt := range []struct{ arn, want string }{
		{userARN, "matched: file mapUsers[0] line 1 | not asked: file has decided | not asked: file has decided"},
		{"arn:aws:sts::111122223333:assumed-role/founder/s", "not matched: no entry names arn:aws:iam::111122223333:role/founder | not matched: no entry names arn:aws:iam::111122223333:role/founder | matched: creator arn:aws:iam::111122223333:role/team/Founder"},
		{"arn:aws:iam::111122223333:user/bob", "not matched: no entry names arn:aws:iam::111122223333:user/bob | not matched: no entry names arn:aws:iam::111122223333:user/bob | not matched: the creator is arn:aws:iam::111122223333:role/team/Founder"},
	} {
		var got []string
		for _, v := range c.Explain(context.Background(), caller(t, tt.arn)) {
			got = append(got, string(v.Outcome)+": "+v.Why)
		}
		if s := strings.Join(got, " | "); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.arn, s, tt.want)
		}
	}
	v := c.Explain(context.Background(), session(t, "dev", instance))
	if v[1].Outcome != Failed || !strings.Contains(v[1].Why, "EC2, which is not configured") || v[2].Outcome != NotAsked {
		t.Errorf("got %+v", v)
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
