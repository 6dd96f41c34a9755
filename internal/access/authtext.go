package access

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
)

// The sections of aws-auth.
const (
	mapRoles    = "mapRoles"
	mapUsers    = "mapUsers"
	mapAccounts = "mapAccounts"
)

// AuthTextError says why a section of aws-auth cannot be edited. Nothing is changed then.
type AuthTextError struct {
	Section string
	Line    int // in the section's text, 0 for no line in particular
	Reason  string
}

func (e *AuthTextError) Error() string {
	s := "aws-auth " + e.Section
	if e.Line > 0 {
		s += fmt.Sprintf(" line %d", e.Line)
	}
	return s + ": " + e.Reason
}

// authItem is an entry of aws-auth as it is to be.
type authItem struct {
	section  string
	arn      string // or an account's id
	username string
	groups   []string
}

func sectionOf(kind Kind) string {
	switch kind {
	case KindAccount:
		return mapAccounts
	case KindUser:
		return mapUsers
	}
	return mapRoles
}

// authLines is the text of a section by lines, each with its line break. It is a list in
// block style, as all tools write it.
type authLines struct {
	section string
	lines   []string
	eol     string
	column  int // of the dashes
	items   []authSpan
}

// authSpan are the lines of an item, from its dash on, and without the comments and blank
// lines behind it.
type authSpan struct {
	start, end int // lines, from 0; end is behind the last
	node       *yaml.Node
}

// parseAuthLines takes a section apart. The empty list is fine in any style.
func parseAuthLines(section, text string) (*authLines, error) {
	a := &authLines{section: section, eol: "\n"}
	if strings.Contains(text, "\r\n") {
		a.eol = "\r\n"
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return nil, &AuthTextError{Section: section, Reason: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	// YAML has other line breaks, by which its line numbers count.
	if strings.ContainsAny(strings.ReplaceAll(text, "\r\n", "\n"), "\r\u0085\u2028\u2029") {
		return nil, &AuthTextError{Section: section, Reason: "has line breaks that are neither LF nor CR LF, and is not edited"}
	}
	for l := range strings.Lines(text) {
		a.lines = append(a.lines, l)
	}
	if root.Kind == 0 || root.Content[0].Tag == "!!null" || root.Content[0].Kind == yaml.SequenceNode && len(root.Content[0].Content) == 0 {
		a.lines = slices.DeleteFunc(a.lines, func(l string) bool { return !strings.HasPrefix(strings.TrimSpace(l), "#") })
		return a, nil
	}
	list := root.Content[0]
	switch {
	case list.Kind != yaml.SequenceNode:
		return nil, &AuthTextError{Section: section, Line: list.Line, Reason: "is not a list"}
	case list.Style&yaml.FlowStyle != 0 || list.Anchor != "" || list.Style&yaml.TaggedStyle != 0:
		return nil, &AuthTextError{Section: section, Line: list.Line, Reason: "is a list in brackets, which is not edited; write each entry on a line of its own that begins with a dash"}
	}
	a.column = list.Column - 1
	for _, n := range list.Content {
		dash := n.Line - 1
		for dash >= 0 && !a.isDash(dash) {
			dash--
		}
		if dash < 0 || n.Anchor != "" || n.Kind == yaml.AliasNode {
			return nil, &AuthTextError{Section: section, Line: n.Line, Reason: "an entry is written in a way that is not edited"}
		}
		if len(a.items) > 0 {
			a.items[len(a.items)-1].end = a.trimEnd(a.items[len(a.items)-1].start, dash)
		}
		a.items = append(a.items, authSpan{start: dash, node: n})
	}
	last := &a.items[len(a.items)-1]
	last.end = a.trimEnd(last.start, len(a.lines))
	return a, nil
}

// isDash reports whether an item begins in a line.
func (a *authLines) isDash(line int) bool {
	l := a.lines[line]
	return len(l) > a.column && strings.Trim(l[:a.column], " ") == "" && l[a.column] == '-' && (len(l) == a.column+1 || strings.ContainsRune(" \r\n\t", rune(l[a.column+1])))
}

// trimEnd leaves what is behind an item to the next one: blank lines, and comments that are
// not indented further than the dashes.
func (a *authLines) trimEnd(start, end int) int {
	for end > start+1 {
		l := a.lines[end-1]
		trimmed := strings.TrimLeft(l, " ")
		if strings.TrimSpace(l) != "" && (trimmed[0] != '#' || len(l)-len(trimmed) > a.column) {
			break
		}
		end--
	}
	return end
}

// itemFor finds the items of a principal, by the text that EKS compares.
func (a *authLines) itemFor(arn string) []int {
	var found []int
	for i, item := range a.items {
		if strings.EqualFold(a.nameOf(item.node), arn) {
			found = append(found, i)
		}
	}
	return found
}

func (a *authLines) nameOf(n *yaml.Node) string {
	if a.section == mapAccounts {
		return n.Value
	}
	return valueOf(n, arnKey(a.section))
}

func arnKey(section string) string {
	if section == mapUsers {
		return "userarn"
	}
	return "rolearn"
}

func valueOf(m *yaml.Node, key string) string {
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1].Value
		}
	}
	return ""
}

// put makes an item be there: the last one of its principal, which is the one that counts, or
// a new one at the end.
func (a *authLines) put(item authItem) error {
	if at := a.itemFor(item.arn); len(at) > 0 {
		span := a.items[at[len(at)-1]]
		if a.section == mapAccounts {
			return nil
		}
		withoutOuterComments(span.node)
		setValue(span.node, "username", scalar(item.username))
		setValue(span.node, "groups", sequence(item.groups))
		text, err := a.render(span.node)
		if err != nil {
			return err
		}
		a.lines = slices.Replace(a.lines, span.start, span.end, text...)
		return nil
	}
	node := quoted(item.arn)
	if a.section != mapAccounts {
		node = &yaml.Node{Kind: yaml.MappingNode}
		setValue(node, arnKey(a.section), scalar(item.arn))
		setValue(node, "username", scalar(item.username))
		if len(item.groups) > 0 {
			setValue(node, "groups", sequence(item.groups))
		}
	}
	text, err := a.render(node)
	if err != nil {
		return err
	}
	at := len(a.lines)
	if len(a.items) > 0 {
		at = a.items[len(a.items)-1].end
	}
	if at > 0 && !strings.HasSuffix(a.lines[at-1], "\n") {
		a.lines[at-1] += a.eol
	}
	a.lines = slices.Insert(a.lines, at, text...)
	return nil
}

// withoutOuterComments leaves out the comments above and below an item: their lines stay where
// they are.
func withoutOuterComments(n *yaml.Node) {
	n.HeadComment, n.FootComment = "", ""
	if last := len(n.Content) - 1; last > 0 {
		n.Content[0].HeadComment = ""
		for _, end := range []*yaml.Node{n.Content[last-1], n.Content[last]} {
			end.FootComment = ""
			for len(end.Content) > 0 {
				end = end.Content[len(end.Content)-1]
				end.FootComment = ""
			}
		}
	}
}

// drop takes all items of a principal away.
func (a *authLines) drop(arn string) {
	for _, i := range slices.Backward(a.itemFor(arn)) {
		a.lines = slices.Delete(a.lines, a.items[i].start, a.items[i].end)
	}
}

func (a *authLines) text() string { return strings.Join(a.lines, "") }

// render writes an item as lines.
func (a *authLines) render(node *yaml.Node) ([]string, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}}); err != nil {
		return nil, err
	}
	var out []string
	for l := range strings.Lines(buf.String()) {
		out = append(out, strings.Repeat(" ", a.column)+strings.TrimSuffix(l, "\n")+a.eol)
	}
	return out, nil
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// quoted is for account ids: a plain one is a number to YAML readers, and loses its zeros.
func quoted(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle}
}

func sequence(texts []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, t := range texts {
		n.Content = append(n.Content, scalar(t))
	}
	return n
}

func setValue(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, scalar(key), value)
}

// editAuth puts an item into a section of aws-auth, or with item nil takes away all items of a
// principal. It checks that EKS then reads the item, or none, and everything else as before.
func editAuth(data map[string]string, partition, section, arn string, item *authItem) (map[string]string, error) {
	lines, err := parseAuthLines(section, data[section])
	if err != nil {
		return nil, err
	}
	if item != nil {
		if err := lines.put(*item); err != nil {
			return nil, err
		}
	} else {
		lines.drop(arn)
	}
	after := maps.Clone(data)
	after[section] = lines.text()
	was, _, err := readAuth(data, partition, section, arn)
	if err != nil {
		return nil, err
	}
	now, own, err := readAuth(after, partition, section, arn)
	if err != nil || now != was || item == nil && len(own) > 0 || item != nil && !slices.ContainsFunc(own, item.is) {
		return nil, &AuthTextError{Section: section, Reason: "is written in a way in which one entry cannot be changed alone"}
	}
	return after, nil
}

// readAuth returns what EKS reads: the entries of a principal in a section, and all others as
// text.
func readAuth(data map[string]string, partition, section, arn string) (rest string, own []mapping.Listed, err error) {
	set, err := mapping.ParseAWSAuthData(data, mapping.Options{Dialect: mapping.EKS, Partition: partition})
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	for _, l := range set.Listed() {
		if l.Section == section && strings.EqualFold(l.ARN+l.Account, arn) {
			own = append(own, l)
			continue
		}
		fmt.Fprintf(&b, "%s %q %q %q %q\n", l.Section, l.ARN, l.Account, l.Username, l.Groups)
	}
	return b.String(), own, nil
}

// is reports whether an entry is in effect and says what the item says.
func (a *authItem) is(l mapping.Listed) bool {
	return l.InEffect && (a.section == mapAccounts || l.Username == a.username && slices.Equal(l.Groups, a.groups))
}

// authARN is the ARN that aws-auth needs: EKS compares a role's without its path.
func authARN(p identity.Principal) string {
	if p.Kind == identity.KindRole {
		p.Path = "/"
	}
	return p.String()
}
