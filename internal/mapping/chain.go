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
}

// Chain tries its backends in order. The first that maps the identity, or fails,
// decides. The zero value maps nothing. It is safe for concurrent use.
type Chain struct{ links []Link }

// NewChain returns a Chain. Put the Creator last.
func NewChain(links ...Link) *Chain { return &Chain{links: append([]Link(nil), links...)} }

// Map returns the first mapping. It fails with *NotMappedError if no backend maps the
// identity, and with the wrapped error of the first that fails.
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
