package mapping

import (
	"fmt"

	"github.com/ekskey/ekskey/identity"
)

// Entry maps one principal, permission set or account. Exactly one of ARN, SSO
// and Account is set.
type Entry struct {
	// Section is mapRoles, mapUsers or mapAccounts, or empty where there are none.
	Section string
	// Index counts the section's entries from 0.
	Index int
	// Line counts from 1 in the text; 0 means there is no text.
	Line int
	// ARN is that of a user, a role, an account's root or a federated user.
	ARN string
	// SSO stands for the role that IAM Identity Center makes of a permission set.
	SSO *PermissionSet
	// Account is the id of an account whose users and roles are mapped to their
	// ARNs, without groups.
	Account string
	// Username and Groups are templates. An empty Username means the default one.
	Username string
	Groups   []string
	// UserID pins the principal's unique id. Empty pins nothing.
	UserID string

	lines fieldLines
}

// PermissionSet names a permission set of IAM Identity Center in an account.
type PermissionSet struct {
	Name, Account string
	// Partition is empty for that of the Options.
	Partition string
}

// fieldLines are the lines of an entry's fields, for problems. 0 means the entry's.
type fieldLines struct {
	principal, username, groups int
	group                       []int
}

// NewSet makes a Set of entries. The dialect and what becomes of two entries for one
// principal stand in the options. A bad entry is dropped, and the principal that it
// names is refused: see [BrokenEntryError]. With Strict, it fails with *LoadError if
// anything was dropped. Order and sections decide only ties and the default order in
// which problems are listed.
func NewSet(entries []Entry, o Options) (*Set, error) {
	b := newBuilder(o.withDefaults("file"), o.Strict)
	for _, e := range entries {
		b.at(e.Section, e.Index, e.Line)
		b.put(e)
	}
	return b.result()
}

// at moves the builder to an entry.
func (b *builder) at(section string, index, line int) {
	b.section, b.index, b.line = section, index, line
}

// put takes an entry, and reports whether it is in force. The principal of one that
// is not is refused, if it could be read.
func (b *builder) put(in Entry) bool {
	if b.set.opts.Dialect == EKS {
		return b.putEKS(in)
	}
	e := &entry{section: in.Section, index: in.Index, line: in.Line}
	if in.Account != "" {
		return b.account(e, in)
	}
	named := false
	switch {
	case b.set.opts.ByUniqueID:
		if in.UserID == "" {
			b.note(0, NoUserID, true, "has no userid, and entries match by their userid")
			return false
		}
		e.key.kind, named = b.kindOf(in), true
	case in.SSO != nil:
		named = b.permissionSet(e, in)
	default:
		named = b.principal(e, in)
	}
	if !named {
		return false
	}
	e.uniqueID = in.UserID
	if !b.names(e, in) {
		e.broken = true
	}
	b.add(e)
	return !e.broken
}

// kindOf is the kind of principal that an entry matched by unique id is for. A user's
// unique id begins with AIDA, a role's with AROA.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func (b *builder) kindOf(in Entry) identity.Kind {
	if p, err := identity.ParsePrincipal(in.ARN); err == nil {
		return p.Canonical().Kind
	}
	if in.Section == mapUsers {
		return identity.KindUser
	}
	return identity.KindRole
}

func (b *builder) account(e *entry, in Entry) bool {
	if !identity.IsAccountID(in.Account) {
		b.note(0, BadAccount, true, "account %s is not twelve digits; quote it, or YAML tools may have changed it", quote(in.Account))
		return false
	}
	if b.set.accounts[in.Account] == nil {
		b.set.accounts[in.Account] = e
	}
	return true
}

func (b *builder) principal(e *entry, in Entry) bool {
	line := in.lines.principal
	p, err := identity.ParsePrincipal(in.ARN)
	if err != nil {
		b.note(line, BadARN, true, "%v", err)
		return false
	}
	if p.Kind == identity.KindAssumedRole {
		// aws-iam-authenticator's file backend reads the role into it, and so lets
		// in every session where the entry names one.
		b.note(line, BadARN, true, "%s is one session of a role; an entry names the role: %s", quote(in.ARN), p.Canonical())
		return false
	}
	e.key = keyOf(p)
	isRole := p.Kind == identity.KindRole
	if in.Section != "" && isRole != (in.Section == mapRoles) {
		b.note(line, WrongSection, false, "names a %s in %s; it works, but other tools may not find it", p.Kind, in.Section)
	}
	b.checkPartition(line, p.Partition)
	return true
}

func (b *builder) checkPartition(line int, partition string) {
	if partition != b.set.opts.Partition {
		b.note(line, OtherPartition, false, "is of partition %s, but this server serves %s", partition, b.set.opts.Partition)
	}
}

// permissionSet takes an SSO entry. Nothing in IAM is known to keep an account's own
// administrators from giving a role of theirs such a name, and STS leaves out the
// path that would tell it apart: an SSO entry trusts whoever may create roles in its
// account.
func (b *builder) permissionSet(e *entry, in Entry) bool {
	line, set, partition := in.lines.principal, in.SSO.Name, in.SSO.Partition
	if partition == "" {
		partition = b.set.opts.Partition
	}
	// The values are right if they make an ARN of the role that AWS would create.
	// Text smuggled into any of them would leave the last slashes in a path.
	p, err := identity.ParsePrincipal("arn:" + partition + ":iam::" + in.SSO.Account + ":role/AWSReservedSSO_" + set + "_0123456789abcdef")
	if err != nil || p.Path != "/" || set == "" || len(set) > 32 {
		b.note(line, BadSSO, true, "sso needs permissionSetName (1 to 32 letters, digits and _+=,.@-), accountID (twelve digits) and, unless %s, partition", b.set.opts.Partition)
		return false
	}
	e.key, e.sso = ssoKey(keyOf(p))
	b.checkPartition(line, p.Partition)
	return true
}

// names takes username and groups.
func (b *builder) names(e *entry, in Entry) (ok bool) {
	if in.Username == "" {
		b.note(0, NoUsername, false, "has no username; its arn, for a role with the session's name, is used")
	} else if e.username, ok = b.template(e, in.lines.username, in.Username); !ok {
		return false
	}
	for i, text := range in.Groups {
		line := in.lines.groups
		if i < len(in.lines.group) {
			line = in.lines.group[i]
		}
		t, ok := b.template(e, line, text)
		if !ok {
			return false
		}
		e.groups = append(e.groups, t)
	}
	return true
}

func (b *builder) template(e *entry, line int, text string) (template, bool) {
	t, err := parseTemplate(text)
	if err != nil {
		b.note(line, BadTemplate, true, "%v", err)
		return template{}, false
	}
	session := t.uses(sessionName, sessionNameRaw, ec2PrivateDNSName)
	switch {
	case session && e.key.kind != identity.KindRole:
		b.note(line, NeverRenders, false, "%s needs a session, which a %s has not; it will be refused", quote(text), e.key.kind)
	case t.freeSession():
		b.note(line, SessionPrefix, false, "%s lets whoever may assume the role choose a name that others have, such as kubernetes-admin; write a text with a colon in front", quote(text))
	case t.freeSystem():
		b.note(line, SessionPrefix, false, "%s lets whoever may assume the role choose a name of Kubernetes itself, such as system:masters; write one more text with a colon in front", quote(text))
	case t.uses(ec2PrivateDNSName) && b.set.opts.EC2PrivateDNSName == nil:
		b.note(line, NoEC2, false, "%s needs to ask EC2, which is not configured; it will be refused", quote(text))
	}
	return t, true
}

// add puts an entry, good or broken, in place of an earlier one for its principal, or
// leaves the earlier one there, as the options say.
func (b *builder) add(e *entry) {
	index := b.set.principals
	k := e.key
	switch {
	case b.set.opts.ByUniqueID:
		index, k = b.set.ids, key{name: e.uniqueID}
	case e.sso:
		index = b.set.sso
	}
	prev := index[k]
	if prev != nil && (prev.section != e.section || prev.index != e.index) {
		switch b.set.opts.Ties {
		case FirstWins:
			b.tie(prev, true, "the older one counts")
			return
		case TieIsError:
			b.tie(prev, true, "there may be one")
			e.broken = true
		default:
			counts := "this one counts"
			if e.broken {
				counts = "this one counts, and as it is broken, the principal is refused"
			}
			b.tie(prev, false, counts)
		}
	}
	index[k] = e
}

// tie notes that the entry that the builder is at is for the principal of another.
func (b *builder) tie(other *entry, dropped bool, counts string) {
	b.note(0, Duplicate, dropped, "is for the same principal as %s; %s", other.place(), counts)
}

func (e *entry) place() string {
	if e.section == "" {
		return fmt.Sprintf("entry %d", e.index)
	}
	return fmt.Sprintf("%s[%d] line %d", e.section, e.index, e.line)
}
