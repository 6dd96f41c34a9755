package mapping

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
)

// The sections.
const (
	mapRoles    = "mapRoles"
	mapUsers    = "mapUsers"
	mapAccounts = "mapAccounts"
)

// builder converts sections to a Set. It is the only parser of entries. If strict, it
// drops what it otherwise only reports: unknown keys and second entries for one
// principal.
type builder struct {
	set    *Set
	strict bool

	// The current position, for problems.
	section string
	index   int
	line    int
	lineOf  func(*yaml.Node) int
	muted   bool // note does nothing

	counts   map[bool]int // problems, by whether they dropped something
	unlisted int          // problems beyond maxProblems
}

func newBuilder(o Options, strict bool) *builder {
	return &builder{strict: strict, index: -1, counts: map[bool]int{}, set: &Set{
		opts:       o,
		principals: map[key]*entry{},
		sso:        map[key]*entry{},
		accounts:   map[string]*entry{},
	}}
}

// note records a problem at the current position. A nil node means the whole entry.
func (b *builder) note(n *yaml.Node, code Code, dropped bool, format string, args ...any) {
	if b.muted {
		return
	}
	if b.counts[dropped]++; b.counts[dropped] > maxProblems {
		b.unlisted++
		return
	}
	line := b.line
	if n != nil {
		line = b.lineOf(n)
	}
	b.set.problems = append(b.set.problems, Problem{
		Backend: b.set.opts.Backend, Section: b.section, Index: b.index, Line: line,
		Code: code, Dropped: dropped, Message: fmt.Sprintf(format, args...),
	})
}

// read parses one section. lineOf returns a node's line in the whole text.
func (b *builder) read(section string, n *yaml.Node, lineOf func(*yaml.Node) int) {
	b.section, b.index, b.line, b.lineOf = section, -1, lineOf(n), lineOf
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		b.note(n, shapeCode(n), true, "expected a list, found %s", describe(n))
		return
	}
	for i, item := range n.Content {
		b.index, b.line = i, lineOf(item)
		if section == mapAccounts {
			b.account(item)
		} else {
			b.entry(item)
		}
	}
}

// account parses an entry of mapAccounts. It uses the scalar's own text, so that
// 012345678901 without quotes, a number in YAML, keeps its first digit.
func (b *builder) account(n *yaml.Node) {
	text, ok := b.text(n, "an account")
	if !ok {
		return
	}
	if !identity.IsAccountID(text) {
		b.note(n, BadAccount, true, "account %s is not twelve digits; quote it, or YAML tools may have changed it", quote(text))
		return
	}
	if b.set.accounts[text] == nil {
		b.set.accounts[text] = b.newEntry()
	}
}

// newEntry returns an entry for the current position.
func (b *builder) newEntry() *entry {
	return &entry{section: b.section, index: b.index, line: b.line}
}

// entry parses an entry of mapRoles or mapUsers.
func (b *builder) entry(n *yaml.Node) {
	e := b.newEntry()
	if b.readEntry(e, n) {
		b.add(e)
	} else if !b.strict { // if strict, nothing will be used
		b.breakNamed(n)
	}
}

func (b *builder) readEntry(e *entry, n *yaml.Node) bool {
	arnKey := "rolearn"
	if b.section == mapUsers {
		arnKey = "userarn"
	}
	keys := []string{arnKey, "username", "groups", "userid"}
	if b.section == mapRoles {
		keys = append(keys, "sso")
	}
	f, ok := b.fields(n, "an entry", keys...)
	if !ok {
		return false
	}
	switch arn, sso := f[arnKey], f["sso"]; {
	case arn != nil && sso != nil:
		b.note(sso, BadSSO, true, "has both %s and sso", arnKey)
		return false
	case sso != nil:
		ok = b.permissionSet(e, sso)
	case arn != nil:
		ok = b.principal(e, arn)
	default:
		b.note(nil, BadARN, true, "has no %s", arnKey)
		return false
	}
	return ok && b.names(e, f)
}

func (b *builder) principal(e *entry, n *yaml.Node) bool {
	text, ok := b.text(n, "an arn")
	if !ok {
		return false
	}
	p, err := identity.ParsePrincipal(text)
	if err != nil {
		b.note(n, BadARN, true, "%v", err)
		return false
	}
	if p.Kind == identity.KindAssumedRole {
		// aws-iam-authenticator's file backend takes the role from it, and so accepts
		// every session if the entry names one.
		b.note(n, BadARN, true, "%s is one session of a role; an entry names the role: %s", quote(text), p.Canonical())
		return false
	}
	e.key = keyOf(p)
	isRole := p.Kind == identity.KindRole
	if isRole != (b.section == mapRoles) {
		b.note(n, WrongSection, false, "names a %s in %s; it works, but other tools may not find it", p.Kind, b.section)
	}
	if p.Partition != b.set.opts.Partition {
		b.note(n, OtherPartition, false, "is of partition %s, but this server serves %s", p.Partition, b.set.opts.Partition)
	}
	return true
}

// permissionSet parses sso: {permissionSetName, accountID, partition}. Nothing in IAM
// prevents an account's administrators from giving a role such a name, and STS omits
// the path that would distinguish it: an SSO entry trusts everybody who may create
// roles in its account.
func (b *builder) permissionSet(e *entry, n *yaml.Node) bool {
	f, ok := b.fields(n, "sso", "permissionsetname", "accountid", "partition")
	if !ok {
		return false
	}
	values := map[string]string{"partition": b.set.opts.Partition}
	for name, field := range f {
		text, ok := b.text(field, name)
		if !ok {
			return false
		}
		values[name] = text
	}
	set := values["permissionsetname"]
	// The values are valid if they form the ARN of the role that AWS would create.
	// Other text in any of them would leave the last slashes in a path.
	p, err := identity.ParsePrincipal("arn:" + values["partition"] + ":iam::" + values["accountid"] + ":role/AWSReservedSSO_" + set + "_0123456789abcdef")
	if err != nil || p.Path != "/" || set == "" || len(set) > 32 {
		b.note(n, BadSSO, true, "sso needs permissionSetName (1 to 32 letters, digits and _+=,.@-), accountID (twelve digits) and, unless %s, partition", b.set.opts.Partition)
		return false
	}
	e.key, e.sso = ssoKey(keyOf(p))
	if p.Partition != b.set.opts.Partition {
		b.note(n, OtherPartition, false, "is of partition %s, but this server serves %s", p.Partition, b.set.opts.Partition)
	}
	return true
}

// names parses username, groups and userid. An empty userid is an error: it looks like
// a pin, and would accept every principal of that name.
func (b *builder) names(e *entry, f map[string]*yaml.Node) (ok bool) {
	if n := f["userid"]; n != nil {
		if e.uniqueID, ok = b.text(n, "userid"); !ok {
			return false
		}
		if e.uniqueID == "" {
			b.note(n, BadShape, true, "has an empty userid, which pins nobody; give the unique id or leave the key out")
			return false
		}
	}
	username := ""
	if n := f["username"]; n != nil {
		if username, ok = b.text(n, "username"); !ok {
			return false
		}
	}
	if username == "" {
		b.note(nil, NoUsername, false, "has no username; its arn, for a role with the session's name, is used")
	} else if e.username, ok = b.template(e, f["username"], username); !ok {
		return false
	}
	groups := f["groups"]
	if groups == nil {
		return true
	}
	if groups.Kind != yaml.SequenceNode {
		// Other servers accept the principal without groups.
		b.note(groups, shapeCode(groups), true, "expected a list of groups, found %s", describe(groups))
		return false
	}
	for _, n := range groups.Content {
		text, ok := b.text(n, "a group")
		if !ok {
			return false
		}
		t, ok := b.template(e, n, text)
		if !ok {
			return false
		}
		e.groups = append(e.groups, t)
	}
	return true
}

func (b *builder) template(e *entry, n *yaml.Node, text string) (template, bool) {
	t, err := parseTemplate(text)
	if err != nil {
		b.note(n, BadTemplate, true, "%v", err)
		return template{}, false
	}
	session := t.uses(sessionName, sessionNameRaw, ec2PrivateDNSName)
	switch {
	case session && e.key.kind != identity.KindRole:
		b.note(n, NeverRenders, false, "%s needs a session, which a %s has not; it will be refused", quote(text), e.key.kind)
	case t.freeSession():
		b.note(n, SessionPrefix, false, "%s lets everybody who may assume the role choose any username, such as kubernetes-admin; add a prefix with a colon", quote(text))
	case t.uses(ec2PrivateDNSName) && b.set.opts.EC2PrivateDNSName == nil:
		b.note(n, NoEC2, false, "%s needs to ask EC2, which is not configured; it will be refused", quote(text))
	}
	return t, true
}

// add adds an entry, valid or broken, in place of an earlier one for its principal.
func (b *builder) add(e *entry) {
	index := b.set.principals
	if e.sso {
		index = b.set.sso
	}
	if prev := index[e.key]; prev != nil && (prev.section != e.section || prev.index != e.index) {
		b.duplicate(e, prev)
	}
	index[e.key] = e
}

// duplicate notes that e is used and other is not.
func (b *builder) duplicate(e, other *entry) {
	counts := "this one counts"
	if e.broken {
		counts = "this one counts, and as it is broken, the principal is refused"
	}
	b.note(nil, Duplicate, b.strict, "is for the same principal as %s[%d] line %d; %s", other.section, other.index, other.line, counts)
}

// finish returns the Set, after it has searched for roles that one entry names by ARN
// and another by permission set.
func (b *builder) finish() *Set {
	for k, e := range b.set.principals {
		if s, ok := ssoKey(k); ok && b.set.sso[s] != nil {
			b.section, b.index, b.line = e.section, e.index, e.line
			b.duplicate(e, b.set.sso[s])
		}
	}
	for _, entries := range []map[key]*entry{b.set.principals, b.set.sso} {
		for _, e := range entries {
			if e.broken {
				b.set.broken++
			}
		}
	}
	slices.SortStableFunc(b.set.problems, func(p, q Problem) int {
		return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Section, q.Section), cmp.Compare(p.Index, q.Index))
	})
	if b.unlisted > 0 {
		b.set.problems = append(b.set.problems, Problem{
			Backend: b.set.opts.Backend, Index: -1, Line: b.line, Code: TooMany, Dropped: b.counts[true] > 0,
			Message: fmt.Sprintf("%d problems more are not listed", b.unlisted),
		})
	}
	return b.set
}
