package mapping

import (
	"context"
	"errors"
	"strings"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/yamlnode"
)

// Set answers from entries as they were when it was made. It never changes, so it
// is safe for concurrent use.
type Set struct {
	opts       Options
	principals map[key]*entry
	sso        map[key]*entry
	ids        map[key]*entry // by unique id, where Options.ByUniqueID says so
	accounts   map[string]*entry
	eks        *eksMaps // in the dialect EKS, in place of the others
	listed     []Listed // of an aws-auth in the dialect EKS
	broken     int      // entries among the others
	problems   []Problem

	// unreadable are the sections of an aws-auth that could not be read, and texts
	// those that could, for AWSAuth to keep.
	unreadable map[string]bool
	texts      map[string]string
	lines      map[string][]int // of each section's entries
}

// entry is one entry of mapRoles, mapUsers or mapAccounts.
type entry struct {
	section     string
	index, line int
	key         key
	sso         bool     // key.name is a permission set
	broken      bool     // dropped: its principal is refused, and the other fields are unused
	username    template // the zero template means the default username
	groups      []template
	uniqueID    string
}

func (s *Set) source(e *entry) string {
	return sourceText(s.opts.Backend, e.section, e.index, e.line)
}

// key is what a principal is matched by. For an SSO entry, name is the permission set.
type key struct {
	partition string
	kind      identity.Kind
	account   string
	path      string
	name      string
}

// keyOf returns the key of a principal. IAM keeps names of users and of roles unique
// regardless of case, so folding case merges no two principals. A federated user's name
// is chosen by its caller, and policies that restrict it are case-sensitive; so its
// name is compared exactly (other servers fold it).
func keyOf(p identity.Principal) key {
	p = p.Canonical()
	k := key{partition: p.Partition, kind: p.Kind, account: p.Account, name: p.Name}
	switch p.Kind {
	case identity.KindUser:
		k.name, k.path = yamlnode.FoldASCII(p.Name), yamlnode.FoldASCII(p.Path)
	case identity.KindRole:
		k.name = yamlnode.FoldASCII(p.Name)
	}
	return k
}

const ssoRolePrefix = "awsreservedsso_"

// ssoKey returns the key of the permission set of a role: the role that IAM Identity
// Center creates for set S is AWSReservedSSO_S_ and 16 hexadecimal digits. The digits
// are counted, because with a wildcard the set Admin would also match the set
// Admin_ReadOnly.
//
// Source: https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
func ssoKey(k key) (key, bool) {
	rest, ok := strings.CutPrefix(k.name, ssoRolePrefix)
	cut := len(rest) - 17
	if k.kind != identity.KindRole || !ok || cut < 1 || rest[cut] != '_' || !isLowerHex(rest[cut+1:]) {
		return key{}, false
	}
	k.name = rest[:cut]
	return k, true
}

// find returns the entry that decides about an identity. An entry with an ARN counts
// before one with a permission set.
func (s *Set) find(id identity.Identity) *entry {
	if s.opts.ByUniqueID {
		return s.ids[key{name: id.PrincipalID}]
	}
	k := keyOf(id.Principal)
	if e := s.principals[k]; e != nil {
		return e
	}
	if k, ok := ssoKey(k); ok {
		return s.sso[k]
	}
	return nil
}

// Problems returns the problems of the text, in its order. The caller owns the slice.
func (s *Set) Problems() []Problem { return append([]Problem(nil), s.problems...) }

// Len is the number of entries and accounts in force; broken ones are not.
func (s *Set) Len() int {
	if s.eks != nil {
		return s.eks.len()
	}
	return len(s.principals) + len(s.sso) + len(s.ids) + len(s.accounts) - s.broken
}

// Map finds the identity's entry and renders its names. An entry counts before
// mapAccounts, which gives the canonical ARN as username and no groups. It fails
// with *NotMappedError, *BrokenEntryError, *PinError, *RenderError, *LookupError,
// *ReservedError or *UnavailableError, and with the context's error if that has ended.
//
// mapAccounts maps users and roles only: not the account's root, and not federated
// users, whom root can be too. In the dialect EKS it maps those too.
func (s *Set) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	m, err := s.mapEntry(ctx, id)
	if !errors.Is(err, ErrNotMapped) {
		return m, err
	}
	if s.unreadable[mapRoles] || s.unreadable[mapUsers] {
		return Mapping{}, s.unavailable()
	}
	m, err = s.mapAccount(id)
	if errors.Is(err, ErrNotMapped) && s.unreadable[mapAccounts] {
		return Mapping{}, s.unavailable()
	}
	return m, err
}

// unavailable is what an identity gets that no readable section names. An account names
// nobody: while an entry may be missing, nobody can tell who is meant by an account alone.
func (s *Set) unavailable() error {
	return &UnavailableError{Backend: s.opts.Backend, Reason: s.Unreadable() + " cannot be read, and no readable section names the principal"}
}

// Unreadable names the sections of an aws-auth that could not be read, or "".
func (s *Set) Unreadable() string {
	var out []string
	for _, name := range SectionNames() {
		if s.unreadable[name] {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// mapEntry is Map without mapAccounts.
func (s *Set) mapEntry(ctx context.Context, id identity.Identity) (Mapping, error) {
	if err := ctx.Err(); err != nil {
		return Mapping{}, err
	}
	if id.Principal.Kind == identity.KindNone {
		return Mapping{}, notMapped(id)
	}
	if s.eks != nil {
		return s.mapEKS(ctx, id)
	}
	if e := s.find(id); e != nil {
		return s.apply(ctx, e, id)
	}
	return Mapping{}, notMapped(id)
}

func (s *Set) mapAccount(id identity.Identity) (Mapping, error) {
	if s.eks != nil {
		return s.mapEKSAccount(id)
	}
	k := keyOf(id.Principal)
	if !s.mapsAccountOf(k) {
		return Mapping{}, notMapped(id)
	}
	m := Mapping{Username: id.Principal.Canonical().String(), Source: s.source(s.accounts[k.account])}
	if reason := checkName(m.Username); reason != "" {
		return Mapping{}, &RenderError{Source: m.Source, Template: m.Username, Reason: "the arn " + reason}
	}
	return s.allowed(m)
}

func (s *Set) apply(ctx context.Context, e *entry, id identity.Identity) (Mapping, error) {
	m := Mapping{Source: s.source(e)}
	if e.broken {
		return Mapping{}, &BrokenEntryError{Source: m.Source, ARN: id.Principal.Canonical().String()}
	}
	if e.uniqueID != "" && e.uniqueID != id.PrincipalID {
		return Mapping{}, &PinError{Source: m.Source, ARN: id.Principal.Canonical().String(), Want: e.uniqueID, Got: id.PrincipalID}
	}
	username := e.username
	if username.text == "" {
		username = defaultUsername(id.Principal)
	}
	r := &renderer{id: id, lookup: s.opts.EC2PrivateDNSName, source: m.Source}
	var err error
	if m.Username, err = r.render(ctx, username); err != nil {
		return Mapping{}, err
	}
	for _, t := range e.groups {
		group, err := r.render(ctx, t)
		if err != nil {
			return Mapping{}, err
		}
		m.Groups = append(m.Groups, group)
	}
	return s.allowed(m)
}

// OwnGroupPrefix begins groups that ekskey itself gives. An entry gives none of them.
const OwnGroupPrefix = "ekskey:"

func (s *Set) allowed(m Mapping) (Mapping, error) {
	for _, g := range m.Groups {
		if strings.HasPrefix(g, OwnGroupPrefix) {
			return Mapping{}, &ReservedError{Source: m.Source, Group: g, Prefix: OwnGroupPrefix}
		}
	}
	for _, prefix := range s.opts.ReservedPrefixes {
		if strings.HasPrefix(m.Username, prefix) && (prefix != "" || s.eks == nil) {
			return Mapping{}, &ReservedError{Source: m.Source, Username: m.Username, Prefix: prefix}
		}
	}
	return m, nil
}

// defaultUsername is the username of an entry without one: that of an EKS access entry.
// aws-iam-authenticator maps such a principal to its groups and an empty username,
// which audit logs could not distinguish.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
func defaultUsername(p identity.Principal) template {
	if p.Kind != identity.KindRole && p.Kind != identity.KindAssumedRole {
		arn := p.String()
		return template{text: arn, parts: []part{{literal: arn}}}
	}
	literal := "arn:" + p.Partition + ":sts::" + p.Account + ":assumed-role/" + p.Name + "/"
	return template{text: literal + "{{" + sessionName + "}}", parts: []part{{literal: literal}, {name: sessionName}}}
}

// mapsAccountOf reports whether mapAccounts maps the principal.
func (s *Set) mapsAccountOf(k key) bool {
	return s.accounts[k.account] != nil && k.partition == s.opts.Partition &&
		(k.kind == identity.KindUser || k.kind == identity.KindRole)
}
