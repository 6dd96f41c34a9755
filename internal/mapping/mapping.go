// Package mapping assigns a Kubernetes username and groups to an AWS identity.
//
// A [Backend] answers for a source of entries and follows it. What most of them
// answer from is a [Set], made of typed entries by [NewSet] and never changed. Its
// YAML front ends are [ParseServer] for the server's own configuration,
// [ParseAWSAuth] for the text of an aws-auth ConfigMap, and [ParseDynamicFile]. [Live],
// [AWSAuth] and [DynamicFile] exchange their Set as the source changes. [Creator] plays
// the cluster creator of EKS. [Chain] asks backends one after the other.
//
// In the dialect [Ekskey] an entry names a principal by its ARN, and the ARN alone
// says what kind it is. Compared are partition, kind, account and name, and for a
// user its path. Names are compared without case, for ASCII letters only, as IAM
// keeps them unique. A role's path does not count: STS leaves it out, and a role's
// name is unique in its account whatever its path. The dialect [EKS] does what
// aws-iam-authenticator does, and so Amazon EKS.
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
	"time"

	"github.com/ekskey/ekskey/identity"
)

// Mapping is the Kubernetes identity of an AWS identity. The zero value is not an
// identity.
type Mapping struct {
	// Username is never empty in a mapping that a Mapper returned, but in the
	// dialect EKS, where an entry may have none.
	Username string
	// Groups may be empty. The caller owns the slice.
	Groups []string
	// Source is where the mapping comes from, for messages and logs: the backend, the
	// section with the entry's index from 0, and the line, as in "aws-auth mapRoles[2]
	// line 14".
	Source string
	// Backend is the name of the [Link] that a [Chain] had it from. A Mapper leaves it
	// empty.
	Backend string
}

// Mapper maps identities. Map must be safe for concurrent use. It returns an
// error for which errors.Is(err, ErrNotMapped) holds if it does not know the
// identity: then the next backend is asked. Any other error is final: the
// identity is refused, whatever later backends would have said. Whether the next
// try may succeed stands on the error: see [Temporary].
type Mapper interface {
	Map(ctx context.Context, id identity.Identity) (Mapping, error)
}

// Backend is a source of mappings. All methods are safe for concurrent use.
type Backend interface {
	Mapper
	// Run follows the source until the context ends. It is called once.
	Run(ctx context.Context)
	// Ready says why the backend cannot answer for every identity now, or nil.
	Ready() error
	Stats() Stats
}

// Stats is how a backend fares, for metrics.
type Stats struct {
	// Entries in force, and Problems found in the text they are from.
	Entries, Problems int
	// Stale says that all or part of the source cannot be used now.
	Stale bool
	// Updated is when the entries in force came into force. Zero means never.
	Updated time.Time
}

// Temporary reports whether an error of a Mapper says that the next try may
// succeed: a source that cannot be read, a call to AWS that failed. Such an error says
// nothing about the identity. An error says so by a method Temporary() bool.
func Temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// UnavailableError says that a backend cannot tell whether it maps an identity:
// its source has not been read yet, or cannot be read. It is temporary.
type UnavailableError struct {
	Backend, Reason string
	// Err is why the source cannot be read, or nil.
	Err error
}

func (e *UnavailableError) Error() string {
	s := e.Backend + " is unavailable: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Temporary makes it an error that the next try may not meet.
func (e *UnavailableError) Temporary() bool { return true }

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

// ReservedError reports a username, or a group, with a prefix that its backend may not
// assign. It is final.
type ReservedError struct {
	Source, Username, Prefix string
	// Group is set in place of Username.
	Group string
}

func (e *ReservedError) Error() string {
	if e.Group != "" {
		return fmt.Sprintf("%s: group %q begins with %q, which is reserved", e.Source, e.Group, e.Prefix)
	}
	return fmt.Sprintf("%s: username %q begins with %q, which is reserved", e.Source, e.Username, e.Prefix)
}

// Dialect says how entries are read and matched. The zero value is Ekskey.
type Dialect int

const (
	// Ekskey is this project's own reading, as the package comment has it.
	Ekskey Dialect = iota
	// EKS is that of aws-iam-authenticator v0.6.13, and so of Amazon EKS: see eks.go.
	EKS
)

// Ties says what becomes of two entries for one principal. The zero value is
// LastWins.
type Ties int

const (
	// LastWins puts the last entry in force, and remarks on it.
	LastWins Ties = iota
	// FirstWins leaves the first entry in force; the other is dropped. Give the
	// entries in order of age, and the older stays.
	FirstWins
	// TieIsError drops both, and fails a strict Set.
	TieIsError
)

// Options is what the backends made of entries have in common. The zero value
// works.
type Options struct {
	// Backend names the backend in sources and problems. Empty means "file" for
	// ParseServer, "aws-auth" for ParseAWSAuth and "dynamic-file" for
	// ParseDynamicFile.
	Backend string
	// Partition is the partition of accounts in mapAccounts and of SSO entries, which
	// name none. Empty means "aws".
	Partition string
	Dialect   Dialect
	Ties      Ties
	// Strict fails NewSet with *LoadError where anything would be dropped.
	Strict bool
	// ByUniqueID matches by Entry.UserID alone: an entry needs one, and its ARN
	// does not count. It is dynamicFileUserIDStrict of aws-iam-authenticator.
	ByUniqueID bool
	// ReservedPrefixes are beginnings of usernames that this backend may not
	// give, compared byte by byte with the rendered username. Groups are not
	// compared: most groups worth giving begin with "system:". An empty prefix
	// reserves everything, but in the dialect EKS, where it reserves nothing.
	ReservedPrefixes []string
	// EC2PrivateDNSName returns the private DNS name of an EC2 instance, whose id is the name
	// of the identity's session, for {{EC2PrivateDNSName}}. It must be safe for concurrent
	// use. If it is nil, an entry that needs it is refused with *RenderError.
	EC2PrivateDNSName Lookup
}

// Lookup finds the private DNS name of an EC2 instance for an identity. Its error is
// temporary, unless it has a method Temporary that says otherwise.
type Lookup func(ctx context.Context, instanceID string, id identity.Identity) (string, error)

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

// DefaultMaxStale is how long the last good entries of a source that cannot be read
// stay in force by default.
const DefaultMaxStale = time.Hour

// Live is the backend of a Set that somebody else exchanges. One call sees one Set
// whole. Until the first Store it is unavailable, and again when Looked has been told
// of a failure for longer than MaxStale. It is safe for concurrent use.
type Live struct {
	// Name is for errors.
	Name string
	// MaxStale is how long the Set stays in force while its source cannot be read.
	// Zero means DefaultMaxStale, a negative duration no time at all.
	MaxStale time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	current atomic.Pointer[liveSet]
}

type liveSet struct {
	set     *Set // nil before there is one
	updated time.Time
	good    time.Time // when the set was last known to be what the source says
	err     error     // why the source cannot be used now
}

func (l *Live) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// Store exchanges the Set.
func (l *Live) Store(s *Set) { l.current.Store(&liveSet{set: s, updated: l.now(), good: l.now()}) }

// Looked says whether the Set in force is what the source says: nil, or why that cannot
// be told. It is not called by two at once, nor beside Store.
func (l *Live) Looked(err error) {
	var next liveSet
	if s := l.current.Load(); s != nil {
		next = *s
	}
	if next.err = err; err == nil {
		next.good = l.now()
	}
	l.current.Store(&next)
}

// Map uses the current Set.
func (l *Live) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	s, err := l.usable()
	if err != nil {
		return Mapping{}, err
	}
	return s.set.Map(ctx, id)
}

func (l *Live) usable() (*liveSet, error) {
	s, limit := l.current.Load(), l.MaxStale
	if limit == 0 {
		limit = DefaultMaxStale
	}
	switch {
	case s == nil:
		return nil, &UnavailableError{Backend: l.Name, Reason: "has not been read yet"}
	case s.set == nil:
		return nil, &UnavailableError{Backend: l.Name, Reason: "has never been read", Err: s.err}
	case s.err != nil && l.now().Sub(s.good) > limit:
		return nil, &UnavailableError{Backend: l.Name, Reason: fmt.Sprintf("the last good entries are older than %s", limit), Err: s.err}
	}
	return s, nil
}

// Run waits for the context: nothing is followed.
func (l *Live) Run(ctx context.Context) { <-ctx.Done() }

// Ready fails with *UnavailableError while Map would.
func (l *Live) Ready() error {
	_, err := l.usable()
	return err
}

// Stats describes the Set in force.
func (l *Live) Stats() Stats {
	s := l.current.Load()
	if s == nil || s.set == nil {
		return Stats{Stale: true}
	}
	return Stats{Entries: s.set.Len(), Problems: len(s.set.problems), Updated: s.updated, Stale: s.err != nil}
}
