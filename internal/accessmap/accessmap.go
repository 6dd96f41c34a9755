// Package accessmap maps identities by the access entries of an EKS cluster, for clusters
// whose API server asks a webhook of their own, and says which access policies an entry
// grants. The entries come from EKS's API, or from a file with the documents of that API.
//
// EKS pins an entry to the unique id that its principal had when the entry was made, and
// its API does not tell that id. So an entry of the API is pinned to the first principal of
// its name that was created before the entry, if IAM may be asked, and that stays so in a
// state file; an entry of a file has the id in it.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html,
// https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessEntry.html
package accessmap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/mapping"
)

// Name is the backend's name.
const Name = "access-entries"

// Group is one that users of access entries have, and nobody else: no other backend may
// give a group that begins like it. Without it, who may impersonate users and extras could
// pass for one (see docs/adr/0017).
const Group = mapping.OwnGroupPrefix + "access-entry"

// Mode is a cluster's authentication mode: API, API_AND_CONFIG_MAP or CONFIG_MAP.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessConfigResponse.html
type Mode string

// The modes.
const (
	ModeAPI       Mode = "API"
	ModeBoth      Mode = "API_AND_CONFIG_MAP"
	ModeConfigMap Mode = "CONFIG_MAP"
)

// Entry is an access entry with the unique id of its principal.
type Entry struct {
	accessentry.Entry
	// PrincipalID is the unique id (AIDA…, AROA…). It is empty in what EKS's API says.
	PrincipalID string `json:"principalId,omitempty"`
}

// Snapshot is what a source says at one moment.
type Snapshot struct {
	Mode    Mode
	Entries []Entry
}

// Config configures a Backend. Source is required.
type Config struct {
	// Source reads all entries. It is called by one goroutine at a time. It may return the
	// Snapshot of before, if nothing has changed.
	Source func(context.Context) (*Snapshot, error)
	// Pins remembers unique ids. Nil remembers them until the process ends.
	Pins *Pins
	// Created says when IAM created a principal; an error means that this is not known. Nil
	// means that IAM is not asked.
	Created func(ctx context.Context, arn string) (time.Time, error)
	// Options are the mapping package's; Backend, Ties and Dialect are set here.
	Options mapping.Options
	// MaxStale is how long the last entries count while the source cannot be read. Zero
	// means mapping.DefaultMaxStale.
	MaxStale time.Duration
	// Alarm is told of entries that are not used, and of a source that cannot be read. Nil
	// means nobody is.
	Alarm func(error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Backend is a mapping.Backend. It is safe for concurrent use.
type Backend struct {
	cfg     Config
	live    mapping.Live
	current atomic.Pointer[state]
	last    *Snapshot // that current was made of; Refresh alone uses it
}

type state struct {
	mode    Mode
	entries map[string]*entry // by key
	skipped int
}

type entry struct {
	Entry
	set      *mapping.Set // of this entry alone
	policies *accesspolicy.Set
}

// New makes a Backend. Until the first Refresh it is unavailable.
func New(c Config) *Backend {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Alarm == nil {
		c.Alarm = func(error) {}
	}
	if c.Pins == nil {
		c.Pins = &Pins{}
	}
	c.Options.Backend, c.Options.Dialect, c.Options.Ties, c.Options.Strict = Name, mapping.Ekskey, mapping.FirstWins, false
	return &Backend{cfg: c, live: mapping.Live{Name: Name, MaxStale: c.MaxStale, Now: c.Now}}
}

// Refresh reads the source once. On an error the entries stay as they are. It is called by
// one goroutine at a time.
func (b *Backend) Refresh(ctx context.Context) error {
	snapshot, err := b.cfg.Source(ctx)
	if err == nil && snapshot == b.last {
		b.live.Looked(nil)
		return nil
	}
	if err == nil {
		var next *state
		if next, err = b.compile(snapshot); err == nil {
			b.current.Store(next)
			b.last = snapshot
			set, _ := mapping.NewSet(nil, b.cfg.Options) // for its time and staleness only
			b.live.Store(set)
			return nil
		}
	}
	if ctx.Err() == nil {
		b.live.Looked(err)
	}
	return err
}

// EntryError says why an access entry is not used.
type EntryError struct {
	PrincipalARN, Reason string
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("access entry of %q is not used: %s", e.PrincipalARN, e.Reason)
}

func (b *Backend) compile(s *Snapshot) (*state, error) {
	switch s.Mode {
	case ModeAPI, ModeBoth, ModeConfigMap:
	default:
		return nil, fmt.Errorf("the authentication mode %q is not known", s.Mode)
	}
	next := &state{mode: s.Mode, entries: map[string]*entry{}}
	for _, e := range s.Entries {
		one, err := b.compileEntry(e)
		if err == nil && next.entries[one.key()] != nil {
			err = &EntryError{e.PrincipalARN, "there is another for the same principal"}
		}
		if err != nil {
			next.skipped++
			b.cfg.Alarm(err)
			continue
		}
		next.entries[one.key()] = one
	}
	return next, nil
}

func (b *Backend) compileEntry(e Entry) (*entry, error) {
	p, err := identity.ParsePrincipal(e.PrincipalARN)
	if err != nil || p.Kind != identity.KindRole && p.Kind != identity.KindUser {
		return nil, &EntryError{e.PrincipalARN, "it is not for a role or a user"}
	}
	out := &entry{Entry: e}
	// EKS fills the username in; a file may leave it out.
	set, err := mapping.NewSet([]mapping.Entry{{ARN: e.PrincipalARN, Username: e.Username, Groups: groupsOf(e)}}, b.cfg.Options)
	if err != nil {
		return nil, err
	}
	if set.Len() != 1 {
		return nil, &EntryError{e.PrincipalARN, fmt.Sprint(errors.Join(problems(set)...))}
	}
	out.set = set
	var errs []error
	if accessentry.TakesPolicies(e.Type) {
		out.policies, errs = accesspolicy.NewSet(p.Partition, e.Policies)
	}
	for _, err := range errs {
		b.cfg.Alarm(fmt.Errorf("access entry of %q: %w", e.PrincipalARN, err))
	}
	return out, nil
}

func problems(s *mapping.Set) []error {
	var out []error
	for _, p := range s.Problems() {
		if p.Dropped {
			out = append(out, errors.New(p.Message))
		}
	}
	return out
}

// groupsOf are an entry's groups, and for nodes those that EKS adds to them.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
func groupsOf(e Entry) []string {
	groups := slices.Clone(e.Groups)
	if e.Type != accessentry.Standard && e.Type != "" && !slices.Contains(groups, "system:nodes") {
		groups = append(groups, "system:nodes")
	}
	return groups
}

// key is what an entry is found by. STS reports a role without its path, and its name is
// unique in the account; a user is reported with the path.
func (e *entry) key() string {
	p, _ := identity.ParsePrincipal(e.PrincipalARN)
	return keyOf(p)
}

func keyOf(p identity.Principal) string {
	p = p.Canonical()
	if p.Kind == identity.KindRole {
		p.Path = "/"
	}
	return p.Kind.String() + " " + p.Partition + " " + p.Account + " " + strings.ToLower(p.Path+p.Name)
}

// Map finds the identity's entry. In the mode CONFIG_MAP nobody is mapped. It fails with
// *mapping.NotMappedError, *mapping.PinError, *mapping.UnavailableError, and what
// mapping.Set.Map fails with.
func (b *Backend) Map(ctx context.Context, id identity.Identity) (mapping.Mapping, error) {
	m, _, err := b.find(ctx, id)
	return m, err
}

// Policies is Map, and returns the entry with what its access policies grant.
func (b *Backend) Policies(ctx context.Context, id identity.Identity) (mapping.Mapping, Entry, *accesspolicy.Set, error) {
	m, e, err := b.find(ctx, id)
	if err != nil {
		return m, Entry{}, nil, err
	}
	out := e.Entry
	out.PrincipalID = id.PrincipalID // which find has checked
	return m, out, e.policies, nil
}

func (b *Backend) find(ctx context.Context, id identity.Identity) (mapping.Mapping, *entry, error) {
	if err := b.live.Ready(); err != nil {
		return mapping.Mapping{}, nil, err
	}
	s := b.current.Load()
	none := &mapping.NotMappedError{}
	if id.Principal.Kind != identity.KindNone {
		none.ARN = id.Principal.Canonical().String()
	}
	if s.mode == ModeConfigMap || id.Principal.Kind == identity.KindNone {
		return mapping.Mapping{}, nil, none
	}
	e := s.entries[keyOf(id.Principal)]
	if e == nil {
		return mapping.Mapping{}, nil, none
	}
	if err := b.pin(ctx, e, id); err != nil {
		return mapping.Mapping{}, nil, err
	}
	m, err := e.set.Map(ctx, id)
	if err != nil {
		return mapping.Mapping{}, nil, err
	}
	m.Source = Name + " " + e.PrincipalARN
	m.Groups = append(m.Groups, Group)
	return m, e, nil
}

// pin compares the identity's unique id with the entry's, and pins the entry if it is not.
func (b *Backend) pin(ctx context.Context, e *entry, id identity.Identity) error {
	source := Name + " " + e.PrincipalARN
	refuse := func(want string) error {
		return &mapping.PinError{Source: source, ARN: id.Principal.Canonical().String(), Want: want, Got: id.PrincipalID}
	}
	want := e.PrincipalID
	if want == "" {
		var ok bool
		if want, ok = b.cfg.Pins.Get(e.PrincipalARN, e.CreatedAt); !ok {
			if b.cfg.Created != nil && !e.CreatedAt.IsZero() {
				created, err := b.cfg.Created(ctx, e.PrincipalARN)
				if err != nil {
					return &mapping.UnavailableError{Backend: Name, Reason: "IAM does not tell when the principal was created", Err: err}
				}
				if created.After(e.CreatedAt) {
					return refuse("the one that existed when the access entry was made")
				}
			}
			var err error
			if want, err = b.cfg.Pins.Put(e.PrincipalARN, e.CreatedAt, id.PrincipalID); err != nil {
				return &mapping.UnavailableError{Backend: Name, Reason: "the principal's unique id cannot be remembered", Err: err}
			}
		}
	}
	if want != id.PrincipalID || id.PrincipalID == "" {
		return refuse(want)
	}
	return nil
}

// Mode returns the authentication mode, and fails while that is not known.
func (b *Backend) Mode() (Mode, error) {
	if err := b.live.Ready(); err != nil {
		return "", err
	}
	return b.current.Load().mode, nil
}

// Run waits for the context: Poll follows the source.
func (b *Backend) Run(ctx context.Context) { <-ctx.Done() }

// Ready fails with *mapping.UnavailableError while Map would.
func (b *Backend) Ready() error { return b.live.Ready() }

// Stats describes the entries in force.
func (b *Backend) Stats() mapping.Stats {
	out := b.live.Stats()
	if s := b.current.Load(); s != nil {
		out.Entries, out.Problems = len(s.entries), s.skipped
	}
	return out
}
