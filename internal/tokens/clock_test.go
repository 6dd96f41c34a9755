package tokens

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ekskey/ekskey/token"
)

// A machine that sleeps may find its monotonic clock where it was. What a Source
// compares has no reading of it.
func TestGoesByTheTimeOfDay(t *testing.T) {
	made := errors.New("not now")
	signer, err := token.New(token.Config{
		Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	fail := false
	s := New(Config{Mint: func(ctx context.Context, _ bool) (token.Token, error) {
		if fail {
			return token.Token{}, made
		}
		return signer.Token(ctx)
	}})
	defer s.Close()
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fail = true
	if _, ok := s.Refused(t.Context(), tok); ok {
		t.Fatal("a token in place of none")
	}
	for name, at := range map[string]time.Time{
		"now": s.cfg.Now(), "renewAt": s.renewAt, "retryAt": s.retryAt, "reloaded": s.reloaded,
	} {
		if at.IsZero() || at != at.Round(0) {
			t.Errorf("%s is %v", name, at)
		}
	}
}
