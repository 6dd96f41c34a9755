package mapping

import (
	"context"
	"errors"
	"fmt"

	"github.com/ekskey/ekskey/identity"
)

// Link is one backend of a Chain.
type Link struct {
	// Name appears in errors.
	Name   string
	Mapper Mapper
	// Always asks this one even where one before it is unavailable.
	Always bool
}

// Chain tries its backends in order. The first that maps the identity, or fails,
// decides. The zero value maps nothing. It is safe for concurrent use.
type Chain struct{ links []Link }

// NewChain returns a Chain. Put the Creator last.
func NewChain(links ...Link) *Chain { return &Chain{links: append([]Link(nil), links...)} }

// Map returns the first mapping. It fails with *NotMappedError if no backend
// knows the identity, and with the wrapped error of the first that fails. Behind a
// backend that fails for now (see [Temporary]) only links that are Always asked count.
func (c *Chain) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	var unavailable error
	for _, l := range c.links {
		if unavailable != nil && !l.Always {
			continue
		}
		m, err := l.Mapper.Map(ctx, id)
		if err == nil {
			m.Backend = l.Name
			return m, nil
		}
		switch {
		case errors.Is(err, ErrNotMapped):
		case Temporary(err) && unavailable == nil && ctx.Err() == nil:
			unavailable = fmt.Errorf("mapping by %s: %w", l.Name, err)
		default:
			return Mapping{}, fmt.Errorf("mapping by %s: %w", l.Name, err)
		}
	}
	if unavailable != nil {
		return Mapping{}, unavailable
	}
	return Mapping{}, notMapped(id)
}

// Step is what one backend answers about an identity.
type Step struct {
	Backend string
	Mapping Mapping
	Err     error
}

// Explain asks every backend, also those behind the one that decides.
func (c *Chain) Explain(ctx context.Context, id identity.Identity) []Step {
	var out []Step
	for _, l := range c.links {
		m, err := l.Mapper.Map(ctx, id)
		m.Backend = l.Name
		out = append(out, Step{Backend: l.Name, Mapping: m, Err: err})
	}
	return out
}
