package mapping

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// MaxAWSAuth is the maximum size of an aws-auth text, in bytes. It is the limit of
// Kubernetes for a ConfigMap.
//
// Source: https://kubernetes.io/docs/concepts/configuration/configmap/
const MaxAWSAuth = 1 << 20

// ParseAWSAuth makes a Set of the text of an aws-auth: a ConfigMap manifest, or a
// mapping with the keys mapRoles, mapUsers and mapAccounts, in YAML or JSON. The
// sections' values are texts that hold YAML, as in a ConfigMap, or lists.
//
// It forgives what EKS and aws-iam-authenticator forgive, and says so in
// Problems: a bad entry is dropped and the rest is in force; of two entries for one
// principal the last counts, and mapRoles before mapUsers; keys of entries are compared
// without case, and unknown ones passed over. Where they forgive at security's cost, it
// does not: an entry whose groups are no list is dropped rather than stripped of them, an
// unknown placeholder is no literal text, an empty username is replaced by a default, an
// empty userid is no pin but an error. And a dropped entry does not leave its principal
// to what stands behind it: see BrokenEntryError.
//
// A section that cannot be read, because it is no YAML, no list, or misspelt, is
// Unreadable. The readable ones are in force, and whoever they do not name gets
// *UnavailableError: nobody can tell what the section says of them. A section that is
// absent, with no key that looks like it, is empty. Of a ConfigMap without data all
// sections are unreadable: it is what a template leaves that lost its data.
//
// In the dialect EKS an unreadable section is empty.
//
// It fails with *TextError, and nothing is used, if the text is too large, is not a
// single YAML document, is empty, has neither form, or has a section twice.
// is no single YAML document, is empty, has neither form, or has a section twice.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/mapper/configmap
func ParseAWSAuth(text []byte, o Options) (*Set, error) {
	if len(text) > MaxAWSAuth {
		return nil, &TextError{Reason: fmt.Sprintf("is larger than %d bytes", MaxAWSAuth)}
	}
	root, err := yamlnode.Document(text)
	if err != nil {
		return nil, &TextError{Reason: "is not YAML", Err: err}
	}
	t, err := readAWSAuth(root)
	if err != nil {
		return nil, err
	}
	return t.parse(o), nil
}

// ParseAWSAuthData is ParseAWSAuth for the data of a ConfigMap. Lines count in the text
// of each section.
func ParseAWSAuthData(data map[string]string, o Options) (*Set, error) {
	size := 0
	t := &awsAuthText{data: []yamlnode.Field{}}
	names := make([]string, 0, len(data))
	for name, text := range data {
		size += len(name) + len(text)
		names = append(names, name)
	}
	if size > MaxAWSAuth {
		return nil, &TextError{Reason: fmt.Sprintf("is larger than %d bytes", MaxAWSAuth)}
	}
	slices.Sort(names)
	for _, name := range names {
		t.data = append(t.data, yamlnode.Field{
			Name: name, Key: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name},
			Value: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: data[name]},
		})
	}
	if len(data) == 0 {
		t.data = nil
	}
	return t.parse(o), nil
}

// awsAuthText is a parsed aws-auth. data is nil where a ConfigMap has none.
type awsAuthText struct {
	line      int
	data      []yamlnode.Field
	misplaced []yamlnode.Field // keys of a manifest that belong under data
}

// readAWSAuth finds the mapping with the sections.
func readAWSAuth(root *yaml.Node) (*awsAuthText, error) {
	top, err := allFields(root, "the text")
	if err != nil {
		return nil, err
	}
	byName := map[string]*yaml.Node{}
	for _, f := range top {
		byName[f.Name] = f.Value
	}
	kind, data := byName["kind"], byName["data"]
	t := &awsAuthText{line: root.Line}
	if kind == nil && data == nil && byName["apiVersion"] == nil {
		for _, f := range top {
			if slices.Contains(SectionNames(), f.Name) {
				t.data = top
				return t, nil
			}
		}
		return nil, &TextError{Line: root.Line, Reason: "is neither a ConfigMap nor a mapping with one of " + strings.Join(SectionNames(), ", ")}
	}
	if kind == nil || kind.Value != "ConfigMap" {
		return nil, &TextError{Line: root.Line, Reason: "is a manifest, but its kind is not ConfigMap"}
	}
	if meta := byName["metadata"]; !yamlnode.IsNull(meta) {
		fields, err := allFields(meta, "metadata")
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if f.Name == "name" && f.Value.Value != "aws-auth" {
				return nil, &TextError{Line: f.Value.Line, Reason: "is the ConfigMap " + quote(f.Value.Value) + ", not aws-auth"}
			}
		}
	}
	for _, f := range top {
		if f.Name == "binaryData" && f.Value.Kind == yaml.MappingNode {
			fields, _ := yamlnode.Fields(f.Value, false)
			t.misplaced = append(t.misplaced, fields...)
		} else {
			t.misplaced = append(t.misplaced, f)
		}
	}
	if !yamlnode.IsNull(data) {
		t.data, err = allFields(data, "data")
	}
	return t, err
}

// allFields are the fields of a mapping, all of which must be in order.
func allFields(n *yaml.Node, what string) ([]yamlnode.Field, error) {
	if yamlnode.IsNull(n) {
		return nil, &TextError{Reason: what + " is empty"}
	}
	fields, bad := yamlnode.Fields(n, false)
	if len(bad) > 0 {
		return nil, &TextError{Line: bad[0].Node.Line, Reason: what + ": " + bad[0].Error()}
	}
	if fields == nil {
		fields = []yamlnode.Field{}
	}
	return fields, nil
}

func (t *awsAuthText) parse(o Options) *Set {
	o = o.withDefaults("aws-auth")
	strict := o
	strict.Dialect = Ekskey
	b := newBuilder(strict, false)
	b.lineOf = lineOf
	b.set.unreadable, b.set.texts, b.set.lines = map[string]bool{}, map[string]string{}, map[string][]int{}
	sections := t.sections(b)
	for _, name := range sectionOrder {
		n := sections[name]
		if n == nil {
			if !b.set.unreadable[name] {
				b.set.texts[name] = ""
			}
			continue
		}
		b.set.texts[name] = sectionText(n)
		if !b.readText(name, n) {
			b.set.unreadable[name] = true
		}
	}
	set := b.finish()
	if o.Dialect == EKS {
		return parseEKSAWSAuth(set.texts, o, set)
	}
	for name := range set.unreadable {
		delete(set.texts, name)
	}
	set.lines = nil
	return set
}

// entryKeys stand in entries. As keys of a ConfigMap's data they have lost their
// indentation, and the section before them an entry's end.
var entryKeys = []string{"rolearn", "userarn", "username", "groups", "userid", "sso"}

// sections finds the sections, and says which are missing though something looks like
// them.
func (t *awsAuthText) sections(b *builder) map[string]*yaml.Node {
	b.at("", -1, max(t.line, 1))
	out := map[string]*yaml.Node{}
	for _, f := range t.data {
		if slices.Contains(SectionNames(), f.Name) {
			out[f.Name] = f.Value
		}
	}
	if t.data == nil {
		for _, section := range SectionNames() {
			b.set.unreadable[section] = true
		}
		b.note(0, Misplaced, true, "the ConfigMap has no data; to map nobody, write data: {} or delete the ConfigMap")
	}
	before := ""
	for _, f := range t.data {
		section := misspelt(f.Name)
		switch {
		case slices.Contains(SectionNames(), f.Name):
			before = f.Name
		case slices.Contains(entryKeys, yamlnode.FoldASCII(f.Name)):
			b.note(f.Key.Line, Misplaced, true, "key %s belongs into an entry; is it indented too little?", quote(f.Name))
			if before == "" {
				for _, section := range SectionNames() {
					b.set.unreadable[section] = true
				}
			} else {
				b.set.unreadable[before] = true
				delete(out, before)
			}
		case section != "" && out[section] == nil:
			b.note(f.Key.Line, Misspelt, true, "key %s is not a section; is %s meant?", quote(f.Name), section)
			b.set.unreadable[section] = true
		default:
			// Kubernetes keeps keys of a ConfigMap apart by case, and so does EKS.
			b.note(f.Key.Line, UnknownKey, false, "key %s is ignored; known are %s", quote(f.Name), strings.Join(SectionNames(), ", "))
		}
	}
	for _, f := range t.misplaced {
		section := misspelt(f.Name)
		if section == "" || out[section] != nil {
			continue
		}
		b.note(f.Key.Line, Misplaced, true, "key %s belongs under data", quote(f.Name))
		b.set.unreadable[section] = true
	}
	return out
}

// misspelt returns the section that a key is, or looks like, or "": two letters apart
// at most, whatever the case and what stands between letters.
func misspelt(name string) string {
	letters := strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, yamlnode.FoldASCII(name))
	if len(letters) > 16 {
		return ""
	}
	for _, section := range SectionNames() {
		if distance(letters, yamlnode.FoldASCII(section)) <= 2 {
			return section
		}
	}
	return ""
}

// distance is the edit distance of two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// sectionText is what a ConfigMap would hold of a section.
func sectionText(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	text, err := yaml.Marshal(n)
	if err != nil { // an alias, which is unreadable anyway
		return ""
	}
	return string(text)
}

// readText takes a section that is text holding YAML, or a list already, and reports
// whether it could be read.
func (b *builder) readText(name string, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return b.read(name, n, lineOf)
	}
	if isBlank(n.Value) {
		return true
	}
	inner := func(*yaml.Node) int { return n.Line }
	if n.Style&yaml.LiteralStyle != 0 {
		inner = func(m *yaml.Node) int { return n.Line + m.Line }
	}
	list, err := yamlnode.Document([]byte(n.Value))
	if err != nil {
		b.at(name, -1, n.Line)
		b.note(0, BadYAML, true, "is not YAML (lines counted in the section): %v", err)
		return false
	}
	if list == nil {
		return true
	}
	return b.read(name, list, inner)
}
