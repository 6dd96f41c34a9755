package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// The sections.
const (
	mapRoles    = "mapRoles"
	mapUsers    = "mapUsers"
	mapAccounts = "mapAccounts"
)

// SectionNames are the keys that hold entries.
func SectionNames() []string { return []string{mapRoles, mapUsers, mapAccounts} }

// builder turns entries into a Set, and sections of YAML into entries.
type builder struct {
	set    *Set
	strict bool // an unknown key in an entry is an error
	form   form // in the dialect EKS

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
	b := &builder{strict: strict, index: -1, counts: map[bool]int{}, set: &Set{opts: o}}
	if o.Dialect == EKS {
		b.set.eks = newEKSMaps()
	} else {
		b.set.principals, b.set.sso, b.set.ids = map[key]*entry{}, map[key]*entry{}, map[key]*entry{}
		b.set.accounts = map[string]*entry{}
	}
	return b
}

// note records a problem at the place where the builder is. Line 0 means the entry
// as a whole.
func (b *builder) note(line int, code Code, dropped bool, format string, args ...any) {
	if b.muted {
		return
	}
	if b.counts[dropped]++; b.counts[dropped] > maxProblems {
		b.unlisted++
		return
	}
	if line == 0 {
		line = b.line
	}
	b.set.problems = append(b.set.problems, Problem{
		Backend: b.set.opts.Backend, Section: b.section, Index: b.index, Line: line,
		Code: code, Dropped: dropped, Message: fmt.Sprintf(format, args...),
	})
}

// noteNode records a problem of a node.
func (b *builder) noteNode(n *yaml.Node, code Code, dropped bool, format string, args ...any) {
	b.note(b.lineOf(n), code, dropped, format, args...)
}

// shape records that a node is not of the expected shape.
func (b *builder) shape(n *yaml.Node, expected string) {
	code := BadShape
	if n.Kind == yaml.AliasNode {
		code = YAMLAlias
	}
	b.noteNode(n, code, true, "expected %s, found %s", expected, yamlnode.Describe(n))
}

// read takes one section, and reports whether it is a list. lineOf gives a node's
// line in the whole text.
func (b *builder) read(section string, n *yaml.Node, lineOf func(*yaml.Node) int) bool {
	b.lineOf = lineOf
	b.at(section, -1, lineOf(n))
	if yamlnode.IsNull(n) {
		return true
	}
	if n.Kind != yaml.SequenceNode {
		b.shape(n, "a list")
		return false
	}
	for i, item := range n.Content {
		b.at(section, i, lineOf(item))
		if b.set.texts != nil {
			b.set.lines[section] = append(b.set.lines[section], b.line)
		}
		if section == mapAccounts {
			// The scalar's own text is taken, so that 012345678901 without quotes, in
			// YAML a number, keeps its first digit.
			if text, ok := b.text(item, "an account"); ok {
				e := Entry{Section: section, Index: i, Line: b.line, Account: text}
				if text == "" {
					b.note(0, BadAccount, true, "the account is empty")
					continue
				}
				b.put(e)
			}
			continue
		}
		e, ok := b.readEntry(item)
		if ok {
			ok = b.put(e)
		}
		if !ok && !b.strict { // strict, nothing at all will be in force
			b.breakNamed(item)
		}
	}
	return true
}

// readEntry reads the shape of an entry of mapRoles or mapUsers.
func (b *builder) readEntry(n *yaml.Node) (Entry, bool) {
	e := Entry{Section: b.section, Index: b.index, Line: b.line}
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
		return e, false
	}
	switch arn, sso := f[arnKey], f["sso"]; {
	case arn != nil && sso != nil:
		b.noteNode(sso, BadSSO, true, "has both %s and sso", arnKey)
		return e, false
	case sso != nil:
		e.lines.principal = b.lineOf(sso)
		e.SSO, ok = b.readSSO(sso)
	case arn != nil:
		e.lines.principal = b.lineOf(arn)
		e.ARN, ok = b.text(arn, "an arn")
	case b.set.opts.ByUniqueID && f["userid"] != nil:
	default:
		b.note(0, BadARN, true, "has no %s", arnKey)
		return e, false
	}
	return e, ok && b.readNames(&e, f)
}

func (b *builder) readSSO(n *yaml.Node) (*PermissionSet, bool) {
	f, ok := b.fields(n, "sso", "permissionsetname", "accountid", "partition")
	if !ok {
		return nil, false
	}
	var set PermissionSet
	for name, to := range map[string]*string{"permissionsetname": &set.Name, "accountid": &set.Account, "partition": &set.Partition} {
		if f[name] == nil {
			continue
		}
		if *to, ok = b.text(f[name], name); !ok {
			return nil, false
		}
		if name == "partition" && *to == "" {
			b.noteNode(n, BadSSO, true, "sso has an empty partition")
			return nil, false
		}
	}
	return &set, true
}

// readNames reads username, groups and userid. A userid of nothing is an error: it
// looks like a pin, and would let in every principal of that name.
func (b *builder) readNames(e *Entry, f map[string]*yaml.Node) (ok bool) {
	if n := f["userid"]; n != nil {
		if e.UserID, ok = b.text(n, "userid"); !ok {
			return false
		}
		if e.UserID == "" {
			b.noteNode(n, BadShape, true, "has an empty userid, which pins nobody; give the unique id or leave the key out")
			return false
		}
	}
	if n := f["username"]; n != nil {
		e.lines.username = b.lineOf(n)
		if e.Username, ok = b.text(n, "username"); !ok {
			return false
		}
	}
	groups := f["groups"]
	if groups == nil {
		return true
	}
	if groups.Kind != yaml.SequenceNode {
		// aws-iam-authenticator lets the principal in without groups.
		b.shape(groups, "a list of groups")
		return false
	}
	for _, n := range groups.Content {
		text, ok := b.text(n, "a group")
		if !ok {
			return false
		}
		e.Groups, e.lines.group = append(e.Groups, text), append(e.lines.group, b.lineOf(n))
	}
	return true
}

// fields takes a mapping apart. Keys are compared without case, as the JSON
// decoder of aws-iam-authenticator does, but for ASCII letters only. Fields that
// are null are left out, as if absent, but for a userid, which must not seem to
// pin what it does not. A key that is not among the known is a remark, or, strict,
// an error. Keys that stand twice, aliases and merge keys are errors always: who reads
// the text would not see what counts.
func (b *builder) fields(n *yaml.Node, what string, known ...string) (map[string]*yaml.Node, bool) {
	if n.Kind != yaml.MappingNode {
		b.shape(n, what+" with "+strings.Join(known, ", "))
		return nil, false
	}
	fields, bad := yamlnode.Fields(n, true)
	for _, e := range bad {
		switch e.Kind {
		case yamlnode.Alias:
			b.noteNode(e.Node, YAMLAlias, true, "%v", e)
		case yamlnode.Twice:
			if !slices.Contains(known, yamlnode.FoldASCII(e.Node.Value)) {
				continue
			}
			b.noteNode(e.Node, BadShape, true, "has %s twice, on lines %d and %d", yamlnode.FoldASCII(e.Node.Value), b.lineOf(e.First), b.lineOf(e.Node))
		default:
			b.noteNode(e.Node, UnknownKey, b.strict, "%v", e)
			if !b.strict {
				continue
			}
		}
		return nil, false
	}
	out, ok := map[string]*yaml.Node{}, true
	for _, f := range fields {
		switch {
		case !slices.Contains(known, f.Name):
			b.noteNode(f.Key, UnknownKey, b.strict, "has unknown key %s; known are %s", quote(f.Key.Value), strings.Join(known, ", "))
			ok = !b.strict
		case yamlnode.IsNull(f.Value) && f.Name != "userid":
		default:
			out[f.Name] = f.Value
		}
		if !ok {
			return nil, false
		}
	}
	return out, true
}

func (b *builder) text(n *yaml.Node, what string) (string, bool) {
	text, ok := yamlnode.Text(n)
	if !ok {
		b.shape(n, what+" as text")
	}
	return text, ok
}

// result is finish for a builder that may be strict.
func (b *builder) result() (*Set, error) {
	set := b.finish()
	if !b.set.opts.Strict {
		return set, nil
	}
	var bad []Problem
	for _, p := range set.problems {
		if p.Dropped {
			bad = append(bad, p)
		}
	}
	if bad != nil {
		return nil, &LoadError{Problems: bad}
	}
	return set, nil
}

// finish returns the Set, after it has searched for roles that one entry names by ARN
// and another by permission set.
func (b *builder) finish() *Set {
	for k, e := range b.set.principals {
		if s, ok := ssoKey(k); ok && b.set.sso[s] != nil {
			b.at(e.section, e.index, e.line)
			counts := "this one counts, because it has the arn"
			if e.broken {
				counts = "this one counts, and as it is broken, the principal is refused"
			}
			b.tie(b.set.sso[s], b.set.opts.Ties == TieIsError, counts)
		}
	}
	for _, entries := range []map[key]*entry{b.set.principals, b.set.sso, b.set.ids} {
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
