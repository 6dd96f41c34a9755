package mapping

import (
	"context"
	"errors"
	"fmt"

	"github.com/ekskey/ekskey/identity"
)

// Link is one backend of a Chain.
type Link struct {
	// Name is for people: it stands in errors and explanations.
	Name   string
	Mapper Mapper
}

// Chain asks its backends in order. The first that knows the identity, or
// fails, decides. The zero value maps nobody. It is safe for concurrent use.
type Chain struct{ links []Link }

// NewChain makes a Chain. Put the Creator last.
func NewChain(links ...Link) *Chain { return &Chain{links: append([]Link(nil), links...)} }

// Map returns the first mapping. It fails with *NotMappedError if no backend
// knows the identity, and with the wrapped error of the first that fails.
func (c *Chain) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	for _, l := range c.links {
		m, err := l.Mapper.Map(ctx, id)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, ErrNotMapped) {
			return Mapping{}, fmt.Errorf("mapping by %s: %w", l.Name, err)
		}
	}
	return Mapping{}, notMapped(id)
}

// Outcome is what one backend did with an identity.
type Outcome string

// The outcomes. After Matched and Failed the later backends are NotAsked.
const (
	Matched    Outcome = "matched"
	NotMatched Outcome = "not matched"
	Failed     Outcome = "failed"
	NotAsked   Outcome = "not asked"
)

// Verdict is one line of an explanation.
type Verdict struct {
	Backend string
	Outcome Outcome
	// Mapping is set if Matched.
	Mapping Mapping
	// Why is one line for people. It holds no secret.
	Why string
	// Err is the final error if Failed.
	Err error
}

// Explain says what each backend, in order, does with the identity. It asks
// them for real, so it may cause the same look-ups as Map.
func (c *Chain) Explain(ctx context.Context, id identity.Identity) []Verdict {
	out := make([]Verdict, 0, len(c.links))
	decided := ""
	for _, l := range c.links {
		v := Verdict{Backend: l.Name}
		if decided != "" {
			v.Outcome, v.Why = NotAsked, decided+" has decided"
			out = append(out, v)
			continue
		}
		m, err := l.Mapper.Map(ctx, id)
		switch {
		case err == nil:
			v.Outcome, v.Mapping, v.Why, decided = Matched, m, m.Source, l.Name
		case errors.Is(err, ErrNotMapped):
			v.Outcome, v.Why = NotMatched, err.Error()
			if w, ok := l.Mapper.(interface {
				Why(id identity.Identity) string
			}); ok {
				v.Why = w.Why(id)
			}
		default:
			v.Outcome, v.Err, v.Why, decided = Failed, err, err.Error(), l.Name
		}
		out = append(out, v)
	}
	return out
}
