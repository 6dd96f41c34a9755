package mapping

import (
	"context"
	"fmt"

	"github.com/ekskey/ekskey/identity"
)

// The mapping of the principal that created a cluster in EKS, before access entries
// made it visible and removable.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
const (
	creatorUsername = "kubernetes-admin"
	creatorGroup    = "system:masters"
)

// Creator maps one user or role to an administrator, as EKS maps the creator of a
// cluster that no aws-auth names. Put it last, so that an entry can grant that
// principal less. It is safe for concurrent use.
type Creator struct {
	key key
	arn string
}

// NewCreator returns the Creator for the ARN of a user or role. A role includes all its
// sessions, with or without its path. It fails with *identity.ARNError or
// *CreatorError.
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

// CreatorError reports that the creator's ARN is neither a user nor a role. A session
// is refused because it would include every session of its role.
type CreatorError struct {
	ARN  string
	Kind identity.Kind
}

func (e *CreatorError) Error() string {
	return fmt.Sprintf("creator %q is of kind %s: use the ARN of a user (arn:…:user/…) or a role (arn:…:role/…)", e.ARN, e.Kind)
}

// Map maps the one principal.
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
