package accesspolicy

import (
	"fmt"
	"slices"
)

// Association is an access policy associated with an access entry, in the shape
// of EKS's API.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_AssociatedAccessPolicy.html
type Association struct {
	PolicyARN string `json:"policyArn"`
	Scope     Scope  `json:"accessScope"`
}

// Grant is a policy with its scope.
type Grant struct {
	Policy *Policy
	Scope  Scope
}

// Set is what the associations of one access entry grant. It never changes, so it
// is safe for concurrent use. The zero value, and nil, grant nothing.
type Set struct{ grants []Grant }

// AssociationError says why an association grants nothing.
type AssociationError struct {
	PolicyARN string
	Err       error
}

func (e *AssociationError) Error() string {
	return fmt.Sprintf("associating %s: %v", e.PolicyARN, e.Err)
}

func (e *AssociationError) Unwrap() error { return e.Err }

// NewSet makes the Set of an access entry in a cluster of this partition. An
// association that cannot be understood grants nothing: a policy that is not
// known, one of another partition, a scope that is malformed. The others count.
// Each error is an *AssociationError.
func NewSet(partition string, associations []Association) (*Set, []error) {
	s := &Set{}
	var errs []error
	for _, a := range associations {
		policy, owner, err := Lookup(a.PolicyARN)
		if err == nil && owner != partition {
			err = fmt.Errorf("the policy is of partition %s, and the cluster of %s", owner, partition)
		}
		if problem := a.Scope.problem(); err == nil && problem != "" {
			err = fmt.Errorf("%s", problem)
		}
		if err != nil {
			errs = append(errs, &AssociationError{PolicyARN: a.PolicyARN, Err: err})
			continue
		}
		scope := Scope{Type: a.Scope.Type, Namespaces: slices.Clone(a.Scope.Namespaces)}
		s.grants = append(s.grants, Grant{Policy: policy, Scope: scope})
	}
	return s, errs
}

// Grants returns the policies and their scopes in the order of the associations.
// The slice is the caller's own; the scopes are not to be changed.
func (s *Set) Grants() []Grant {
	if s == nil {
		return nil
	}
	return slices.Clone(s.grants)
}

// Unpublished returns the policies whose rules are not published and whose scope
// covers the request: on EKS one of them may allow it.
func (s *Set) Unpublished(q Request) []*Policy {
	if s == nil {
		return nil
	}
	var found []*Policy
	for _, g := range s.grants {
		if !g.Policy.published && g.Scope.Covers(q) {
			found = append(found, g.Policy)
		}
	}
	return found
}

// Decision is the answer to a request. The zero value is "no opinion": a policy
// never denies.
type Decision struct {
	// Policy is the policy that allows the request, or nil.
	Policy *Policy
	// Scope is that policy's scope.
	Scope Scope
	// Rule is the row of the policy's table, counted from 1.
	Rule int
}

// Allowed reports whether a policy allows the request.
func (d Decision) Allowed() bool { return d.Policy != nil }

// String names policy, scope and rule.
func (d Decision) String() string {
	if d.Policy == nil {
		return "no opinion"
	}
	return fmt.Sprintf("%s, scope %s, rule %d", d.Policy.name, d.Scope, d.Rule)
}

// Decide evaluates a request. The first policy that allows it, in the order of the
// associations, is named.
func (s *Set) Decide(q Request) Decision {
	if s == nil {
		return Decision{}
	}
	for _, g := range s.grants {
		if !g.Scope.Covers(q) {
			continue
		}
		if rule := g.Policy.rule(q); rule > 0 {
			return Decision{Policy: g.Policy, Scope: g.Scope, Rule: rule}
		}
	}
	return Decision{}
}
