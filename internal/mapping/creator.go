package mapping

import (
	"context"
	"fmt"

	"github.com/ekskey/ekskey/identity"
)

// What EKS made of the principal that created a cluster, before access entries
// let one see and remove it.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
const (
	creatorUsername = "kubernetes-admin"
	creatorGroup    = "system:masters"
)

// Creator lets one user or role in as an administrator, the way EKS lets in who
// created a cluster though no aws-auth names it. Ask it last, so that an entry
// can give that principal less. It is safe for concurrent use.
type Creator struct {
	key key
	arn string
}

// NewCreator makes the Creator of a user's or a role's ARN. A role stands for
// all its sessions, with or without its path. It fails with *identity.ARNError
// or *CreatorError.
func NewCreator(arn string) (*Creator, error) {
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		return nil, fmt.Errorf("reading the creator: %w", err)
	}
	if p.Kind != identity.KindUser && p.Kind != identity.KindRole {
		return nil, &CreatorError{ARN: arn, Kind: p.Kind}
	}
	return &Creator{key: keyOf(p), arn: p.String()}, nil
}

// CreatorError says that the creator's ARN names neither a user nor a role. A
// session is refused because it would let in every session of its role.
type CreatorError struct {
	ARN  string
	Kind identity.Kind
}

func (e *CreatorError) Error() string {
	return fmt.Sprintf("creator %q is of kind %s: give the arn of a user (arn:…:user/…) or a role (arn:…:role/…)", e.ARN, e.Kind)
}

// Map knows the one principal.
func (c *Creator) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	if err := ctx.Err(); err != nil {
		return Mapping{}, err
	}
	if keyOf(id.Principal) != c.key {
		return Mapping{}, notMapped(id)
	}
	return Mapping{Username: creatorUsername, Groups: []string{creatorGroup}, Source: "creator " + c.arn}, nil
}

// Run waits for the context: nothing is followed.
func (c *Creator) Run(ctx context.Context) { <-ctx.Done() }

// Ready is always nil.
func (c *Creator) Ready() error { return nil }

// Stats counts the one principal.
func (c *Creator) Stats() Stats { return Stats{Entries: 1} }
