// Package mapping assigns a Kubernetes username and groups to an AWS identity.
//
// A backend is a [Mapper]. Two use the entries that aws-iam-authenticator and Amazon
// EKS introduced (mapRoles, mapUsers, mapAccounts): [ParseServer] parses them from the
// server's own configuration and is strict, [ParseAWSAuth] parses the text of an
// aws-auth ConfigMap and is as lenient as EKS, but reports problems. Both return a
// [Set], which is immutable; [Live] and [AWSAuthFile] hold a Set that can be replaced.
// [Creator] maps the cluster creator, as EKS does. [Chain] tries backends in order.
//
// An entry names a principal by its ARN, which alone decides its kind. Entries match by
// partition, kind, account and name, and for a user also by path. Names match
// regardless of case, for ASCII letters only, as IAM keeps them unique. A role's path
// is ignored: STS omits it, and a role's name is unique in its account whatever its
// path.
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

// Mapping is the Kubernetes identity of an AWS identity. The zero value is not an
// identity.
type Mapping struct {
	// Username is never empty in a mapping that a Mapper returned.
	Username string
	// Groups may be empty. The caller owns the slice.
	Groups []string
	// Source is where the mapping comes from, for messages and logs: the backend, the
	// section with the entry's index from 0, and the line, as in "aws-auth mapRoles[2]
	// line 14".
	Source string
}

// Mapper maps identities. Map must be safe for concurrent use. If it has no mapping for
// the identity, it returns an error for which errors.Is(err, ErrNotMapped) is true:
// then the next backend is tried. Any other error is final: the identity is refused,
// whatever later backends would return.
type Mapper interface {
	Map(ctx context.Context, id identity.Identity) (Mapping, error)
}

// ErrNotMapped is the error of a Mapper that has no mapping for an identity.
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

// PinError reports an entry with the principal's ARN but another unique ID: the role or
// user was deleted and created again, perhaps by somebody else. It is final.
type PinError struct {
	Source string
	ARN    string
	// Want is the entry's userid, Got the identity's.
	Want, Got string
}

func (e *PinError) Error() string {
	return fmt.Sprintf("%s: %s has unique id %q, but userid %q is required", e.Source, e.ARN, e.Got, e.Want)
}

// ReservedError reports a username with a prefix that its backend may not assign. It is
// final.
type ReservedError struct {
	Source, Username, Prefix string
}

func (e *ReservedError) Error() string {
	return fmt.Sprintf("%s: username %q begins with %q, which is reserved", e.Source, e.Username, e.Prefix)
}

// Options are common to the backends with entries. The zero value works.
type Options struct {
	// Backend is the name of the backend in sources and problems. Empty means "file"
	// for ParseServer and "aws-auth" for ParseAWSAuth.
	Backend string
	// Partition is the partition of accounts in mapAccounts and of SSO entries, which
	// name none. Empty means "aws".
	Partition string
	// ReservedPrefixes are prefixes of usernames that this backend may not assign,
	// compared byte by byte with the rendered username. Groups are not compared: most
	// useful groups begin with "system:". An empty prefix reserves everything.
	ReservedPrefixes []string
	// EC2PrivateDNSName returns the private DNS name of an EC2 instance for
	// {{EC2PrivateDNSName}}. It must be safe for concurrent use. If it is nil, an entry
	// that needs it is refused with *RenderError.
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

// Live is a Mapper that uses the last stored Set. One call uses one Set. The zero value
// maps nothing. It is safe for concurrent use.
type Live struct{ current atomic.Pointer[Set] }

// Store replaces the Set.
func (l *Live) Store(s *Set) { l.current.Store(s) }

// Load returns the current Set, or nil.
func (l *Live) Load() *Set { return l.current.Load() }

// Map uses the current Set.
func (l *Live) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	if s := l.current.Load(); s != nil {
		return s.Map(ctx, id)
	}
	return Mapping{}, notMapped(id)
}
