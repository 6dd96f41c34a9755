// Package mapping decides who an AWS identity is in Kubernetes: which username
// and which groups.
//
// A backend is a [Mapper]. Two are made from the entries that aws-iam-authenticator
// and Amazon EKS made customary (mapRoles, mapUsers, mapAccounts): [ParseServer]
// reads them from the server's own configuration and is strict, [ParseAWSAuth]
// reads the text of an aws-auth ConfigMap and forgives what EKS forgives, but
// says so. Both give a [Set], which never changes; [Live] and [AWSAuthFile] hold
// a Set that is exchanged. [Creator] plays the cluster creator of EKS. [Chain]
// asks backends one after the other.
//
// An entry names a principal by its ARN, and the ARN alone says what kind it
// is. Compared are partition, kind, account and name, and for a user its path.
// Names are compared without case, for ASCII letters only, as IAM keeps them
// unique. A role's path does not count: STS leaves it out, and a role's name is
// unique in its account whatever its path.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
package mapping

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ekskey/ekskey/identity"
)

// Mapping is who an identity is in Kubernetes. The zero value is nobody.
type Mapping struct {
	// Username is never empty in a mapping that a Mapper returned.
	Username string
	// Groups may be empty. The slice is the caller's own.
	Groups []string
	// Source says where it comes from, for people and logs: the backend, the
	// section with the entry's index from 0, and the line, as in
	// "aws-auth mapRoles[2] line 14".
	Source string
}

// Mapper maps identities. Map must be safe for concurrent use. It returns an
// error for which errors.Is(err, ErrNotMapped) holds if it does not know the
// identity: then the next backend is asked. Any other error is final: the
// identity is refused, whatever later backends would have said.
type Mapper interface {
	Map(ctx context.Context, id identity.Identity) (Mapping, error)
}

// ErrNotMapped is what a Mapper answers about an identity that it does not know.
var ErrNotMapped = errors.New("not mapped")

// NotMappedError is an ErrNotMapped that names the principal.
type NotMappedError struct {
	// ARN is the canonical ARN, or empty for the zero identity.
	ARN string
}

func (e *NotMappedError) Error() string { return fmt.Sprintf("%s is not mapped", e.ARN) }

// Is makes it an ErrNotMapped.
func (e *NotMappedError) Is(target error) bool { return target == ErrNotMapped }

func notMapped(id identity.Identity) error {
	if id.Principal.Kind == identity.KindNone {
		return &NotMappedError{}
	}
	return &NotMappedError{ARN: id.Principal.Canonical().String()}
}

// PinError says that an entry names the principal's ARN but the unique id of
// another one: the role or user was deleted and made again, perhaps by somebody
// else. It is final.
type PinError struct {
	Source string
	ARN    string
	// Want is the entry's userid, Got the identity's.
	Want, Got string
}

func (e *PinError) Error() string {
	return fmt.Sprintf("%s: %s has unique id %q, but userid %q is required", e.Source, e.ARN, e.Got, e.Want)
}

// ReservedError says that a username begins with a prefix that its backend may
// not give. It is final.
type ReservedError struct {
	Source, Username, Prefix string
}

func (e *ReservedError) Error() string {
	return fmt.Sprintf("%s: username %q begins with %q, which is reserved", e.Source, e.Username, e.Prefix)
}

// Options is what the backends made of entries have in common. The zero value
// works.
type Options struct {
	// Backend names the backend in sources and problems. Empty means "file" for
	// ParseServer and "aws-auth" for ParseAWSAuth.
	Backend string
	// Partition is that of accounts in mapAccounts and of SSO entries, which name
	// none. Empty means "aws".
	Partition string
	// ReservedPrefixes are beginnings of usernames that this backend may not
	// give, compared byte by byte with the rendered username. Groups are not
	// compared: most groups worth giving begin with "system:". An empty prefix
	// reserves everything.
	ReservedPrefixes []string
	// EC2PrivateDNSName finds the private DNS name of an EC2 instance for
	// {{EC2PrivateDNSName}}. It must be safe for concurrent use. Where it is nil,
	// an entry that needs it is refused with *RenderError.
	EC2PrivateDNSName func(ctx context.Context, instanceID string) (string, error)
}

func (o Options) withDefaults(backend string) Options {
	if o.Backend == "" {
		o.Backend = backend
	}
	if o.Partition == "" {
		o.Partition = "aws"
	}
	o.ReservedPrefixes = append([]string(nil), o.ReservedPrefixes...)
	return o
}

// Live is a Mapper that answers from the Set stored last. One call sees one Set
// whole. The zero value maps nobody. It is safe for concurrent use.
type Live struct{ current atomic.Pointer[Set] }

// Store exchanges the Set.
func (l *Live) Store(s *Set) { l.current.Store(s) }

// Load returns the Set in force, or nil.
func (l *Live) Load() *Set { return l.current.Load() }

// Map asks the Set in force.
func (l *Live) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	if s := l.current.Load(); s != nil {
		return s.Map(ctx, id)
	}
	return Mapping{}, notMapped(id)
}
