package fakeaws

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Key is an access key. A zero Key given to a method that adds one means: make
// it up.
type Key struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // only those of role sessions have one
}

// String and GoString keep the secrets out of logs and test failures.
func (k Key) String() string { return "key " + k.AccessKeyID }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// User is an IAM user to add.
type User struct {
	Account string // twelve digits
	Path    string // such as /ops/; empty means /
	Name    string
	ID      string   // the unique id, AIDA…; empty means made up
	Key     Key      // its first access key
	Deny    []string // actions refused, `*` as in IAM

	// Policies are inline policies, documents by name. A user without any, and in
	// no group, is allowed all that Deny does not refuse, until it gets one or
	// joins a group: from then on it is allowed what policies allow.
	Policies map[string]string

	// MFASerial and MFACode are an MFA device that AssumeRole accepts from
	// this user, again and again. Empty means the user has none.
	MFASerial, MFACode string
}

// Role is an IAM role to add.
type Role struct {
	Account string // twelve digits
	Path    string // such as /ops/; empty means /
	Name    string
	ID      string   // the unique id, AROA…; empty means made up
	Deny    []string // as in User, for the role's sessions

	Policies map[string]string // as in User
	Tags     map[string]string

	// CreatedAt is when IAM says that the role was made; zero means when it was
	// added.
	CreatedAt time.Time

	// TrustPolicy is the AssumeRolePolicyDocument. Empty means that the role's
	// own account is trusted. A policy that cannot be evaluated whole is an
	// error.
	TrustPolicy string

	// MaxSessionDuration is from 1 to 12 hours; zero means 1 hour.
	MaxSessionDuration time.Duration
}

// Session is a role session to add without AssumeRole, as EC2 or a login service
// would hand out.
type Session struct {
	RoleARN string
	Name    string
	Expires time.Time // zero means in an hour
	Key     Key
}

const (
	kindRoot = "root"
	kindUser = "user"
	kindRole = "role"

	kindGroup = "group"
)

type account struct {
	id, partition string
	root          *principal
}

// principal is an account root, a user or a role; a group, which cannot call, has
// the same shape. What is above the line does not change once it was added; the
// rest is read and written under the server's lock.
type principal struct {
	account            *account
	kind               string
	path, name, id     string
	deny               []string
	mfaSerial, mfaCode string
	maxSession         time.Duration
	created            time.Time
	// ---
	trust     *policy // of a role
	trustText string
	tags      map[string]string
	permissions
}

func (p *principal) arn() string {
	prefix := "arn:" + p.account.partition + ":iam::" + p.account.id + ":" + p.kind
	if p.kind == kindRoot {
		return prefix
	}
	return prefix + p.path + p.name
}

// AddAccount adds an account, with its root, in a partition ("aws" if empty).
// A user or role of an account that was not added puts it in "aws", a cluster in
// the partition of its region.
func (s *Server) AddAccount(id, partition string) error {
	if partition == "" {
		partition = "aws"
	}
	if !validPartition(partition) {
		return fmt.Errorf("adding account: no partition %q", partition)
	}
	acct, err := s.account(id, partition)
	if err != nil {
		return fmt.Errorf("adding account: %w", err)
	}
	if acct.partition != partition {
		return fmt.Errorf("adding account: %s is in partition %s already", id, acct.partition)
	}
	return nil
}

// account finds an account or adds it.
func (s *Server) account(id, partition string) (*account, error) {
	if len(id) != 12 || strings.Trim(id, "0123456789") != "" {
		return nil, fmt.Errorf("account id %q is not twelve digits", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	acct, ok := s.accounts[id]
	if !ok {
		acct = &account{id: id, partition: partition}
		acct.root = &principal{account: acct, kind: kindRoot, id: id, permissions: permissions{unrestricted: true}}
		s.accounts[id] = acct
		s.byARN[acct.root.arn()] = acct.root
	}
	return acct, nil
}

// AddUser adds a user and returns its access key.
func (s *Server) AddUser(u User) (Key, error) {
	if u.ID == "" {
		u.ID = s.newID("AIDA", 21)
	}
	granted, err := seedPermissions(u.Policies)
	if err != nil {
		return Key{}, fmt.Errorf("adding user: %w", err)
	}
	p := &principal{kind: kindUser, path: u.Path, name: u.Name, id: u.ID, deny: slices.Clone(u.Deny), mfaSerial: u.MFASerial, mfaCode: u.MFACode, permissions: granted}
	if err := s.add(p, u.Account); err != nil {
		return Key{}, fmt.Errorf("adding user: %w", err)
	}
	return s.AddAccessKey(p.arn(), u.Key)
}

// AddRole adds a role and returns its ARN.
func (s *Server) AddRole(r Role) (string, error) {
	acct, err := s.account(r.Account, "aws")
	if err != nil {
		return "", fmt.Errorf("adding role: %w", err)
	}
	if r.ID == "" {
		r.ID = s.newID("AROA", 21)
	}
	if r.TrustPolicy == "" {
		r.TrustPolicy = fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, acct.root.arn())
	}
	trust, err := parseTrustPolicy(r.TrustPolicy)
	if err != nil {
		return "", fmt.Errorf("adding role: %w", err)
	}
	if r.MaxSessionDuration == 0 {
		r.MaxSessionDuration = time.Hour
	}
	if r.MaxSessionDuration < time.Hour || r.MaxSessionDuration > 12*time.Hour {
		return "", fmt.Errorf("adding role: session duration %s is not from 1 to 12 hours", r.MaxSessionDuration)
	}
	granted, err := seedPermissions(r.Policies)
	if err != nil {
		return "", fmt.Errorf("adding role: %w", err)
	}
	p := &principal{
		kind: kindRole, path: r.Path, name: r.Name, id: r.ID, deny: slices.Clone(r.Deny), maxSession: r.MaxSessionDuration, created: r.CreatedAt,
		trust: trust, trustText: r.TrustPolicy, tags: maps.Clone(r.Tags), permissions: granted,
	}
	if err := s.add(p, r.Account); err != nil {
		return "", fmt.Errorf("adding role: %w", err)
	}
	return p.arn(), nil
}

// add completes a principal and stores it.
func (s *Server) add(p *principal, accountID string) error {
	acct, err := s.account(accountID, "aws")
	if err != nil {
		return err
	}
	p.account = acct
	if p.created.IsZero() {
		p.created = s.clock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.insert(p)
}

// insert stores a principal, unless its account has one of its kind and name, in
// any path and case, as IAM has it. The caller holds the lock.
func (s *Server) insert(p *principal) error {
	if p.path == "" {
		p.path = "/"
	}
	if p.path[0] != '/' || p.path[len(p.path)-1] != '/' {
		return fmt.Errorf("path %q does not begin and end with a slash", p.path)
	}
	if p.name == "" || len(p.name) > 64 || !onlyNameBytes(p.name, "+=,.@-") {
		return fmt.Errorf("%q is not a name for a %s", p.name, p.kind)
	}
	if s.named(p.account, p.kind, p.name) != nil {
		return fmt.Errorf("%s %s exists in account %s", p.kind, p.name, p.account.id)
	}
	if p.trust != nil {
		s.pinPrincipals(p.trust)
	}
	s.byARN[p.arn()] = p
	return nil
}

// named finds a principal by name. The caller holds the lock.
func (s *Server) named(acct *account, kind, name string) *principal {
	for _, p := range s.byARN {
		if p.account == acct && p.kind == kind && strings.EqualFold(p.name, name) {
			return p
		}
	}
	return nil
}

func (s *Server) principalByARN(arn string) *principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byARN[arn]
}

// trustOf is a role's trust policy.
func (s *Server) trustOf(role *principal) *policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return role.trust
}

// ErrNotFound is returned for a principal or key that does not exist.
var ErrNotFound = errors.New("not found")

// RemovePrincipal deletes a user, role or group with all its keys and sessions. One
// added again under the same name is another principal, with another id.
func (s *Server) RemovePrincipal(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.byARN[arn]
	if !ok || p.kind == kindRoot {
		return fmt.Errorf("removing principal %s: %w", arn, ErrNotFound)
	}
	s.remove(p)
	return nil
}

// remove deletes a principal with its keys, its members and its place in an instance
// profile. The caller holds the lock.
func (s *Server) remove(p *principal) {
	delete(s.byARN, p.arn())
	for _, user := range s.membersOf(p) {
		user.groups = slices.DeleteFunc(user.groups, func(group *principal) bool { return group == p })
	}
	for _, profile := range s.profiles {
		if profile.role == p {
			profile.role = nil
		}
	}
	for id, cred := range s.keys {
		if cred.owner == p {
			delete(s.keys, id)
		}
	}
}

// onlyNameBytes reports whether s is made of letters, digits, underscores and
// the bytes in extra: IAM's [\w…]*.
func onlyNameBytes(s, extra string) bool {
	for i := range len(s) {
		ch := s[i]
		if ('a' > ch || ch > 'z') && ('A' > ch || ch > 'Z') && ('0' > ch || ch > '9') && ch != '_' && !strings.Contains(extra, string(ch)) {
			return false
		}
	}
	return true
}
