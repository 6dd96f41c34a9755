package mapping

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxAWSAuth is the size in bytes up to which an aws-auth is read. It is what
// Kubernetes allows a ConfigMap to hold.
//
// Source: https://kubernetes.io/docs/concepts/configuration/configmap/
const MaxAWSAuth = 1 << 20

// ParseAWSAuth makes a backend of the text of an aws-auth: a ConfigMap manifest,
// or a mapping with the keys mapRoles, mapUsers and mapAccounts, in YAML or JSON.
// The sections' values are texts that hold YAML, as in a ConfigMap, or lists.
//
// It forgives what EKS and aws-iam-authenticator forgive, and says so in
// Problems: a bad entry or section is dropped and the rest is in force; of two
// entries for one principal the last counts, and mapRoles before mapUsers; keys
// of entries are compared without case, and unknown ones passed over. Where they
// forgive at security's cost, it does not: an entry whose groups are no list is
// dropped rather than stripped of them, an unknown placeholder is no literal
// text, an empty username is replaced by a default, an empty userid is no pin
// but an error. And a dropped entry does not leave its principal to what stands
// behind it: see BrokenEntryError.
//
// It fails with *TextError, and nothing is in force, if the text is too large,
// is no single YAML document, is empty, has neither form, or has a section twice.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/mapper/configmap
func ParseAWSAuth(text []byte, o Options) (*Set, error) {
	if len(text) > MaxAWSAuth {
		return nil, &TextError{Reason: fmt.Sprintf("is larger than %d bytes", MaxAWSAuth)}
	}
	root, err := decodeOne(text)
	if err != nil {
		return nil, &TextError{Reason: "is not YAML", Err: err}
	}
	data, err := awsAuthData(root)
	if err != nil {
		return nil, err
	}
	b := newBuilder(o.withDefaults("aws-auth"), false)
	b.lineOf = func(n *yaml.Node) int { return n.Line }
	sections := map[string]*yaml.Node{}
	for _, f := range data {
		name := f.key.Value
		if slices.Contains(SectionNames(), name) {
			sections[name] = f.value
		} else {
			// Kubernetes keeps keys of a ConfigMap apart by case, and so do others.
			b.note(f.key, UnknownKey, false, "key %s is passed over; known are %s", quote(name), strings.Join(SectionNames(), ", "))
		}
	}
	// mapRoles comes after mapUsers because it counts before it.
	for _, name := range []string{mapUsers, mapRoles, mapAccounts} {
		if n := sections[name]; n != nil {
			b.readText(name, n)
		}
	}
	return b.finish(), nil
}

type field struct{ key, value *yaml.Node }

// awsAuthData finds the mapping with the sections.
func awsAuthData(root *yaml.Node) ([]field, error) {
	top, err := uniqueFields(root, "the text")
	if err != nil {
		return nil, err
	}
	byName := map[string]*yaml.Node{}
	for _, f := range top {
		byName[f.key.Value] = f.value
	}
	kind, data := byName["kind"], byName["data"]
	if kind == nil && data == nil && byName["apiVersion"] == nil {
		for _, name := range SectionNames() {
			if byName[name] != nil {
				return top, nil
			}
		}
		return nil, &TextError{Line: root.Line, Reason: "is neither a ConfigMap nor a mapping with one of " + strings.Join(SectionNames(), ", ")}
	}
	if kind == nil || kind.Value != "ConfigMap" {
		return nil, &TextError{Line: root.Line, Reason: "is a manifest, but its kind is not ConfigMap"}
	}
	if meta := byName["metadata"]; !isNull(meta) {
		fields, err := uniqueFields(meta, "metadata")
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if f.key.Value == "name" && f.value.Value != "aws-auth" {
				return nil, &TextError{Line: f.value.Line, Reason: "is the ConfigMap " + quote(f.value.Value) + ", not aws-auth"}
			}
		}
	}
	if isNull(data) {
		return nil, nil
	}
	return uniqueFields(data, "data")
}

func uniqueFields(n *yaml.Node, what string) ([]field, error) {
	if isNull(n) {
		return nil, &TextError{Reason: what + " is empty"}
	}
	if n.Kind != yaml.MappingNode {
		return nil, &TextError{Line: n.Line, Reason: what + ": expected a mapping, found " + describe(n)}
	}
	var out []field
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := field{n.Content[i], n.Content[i+1]}
		if f.key.Kind != yaml.ScalarNode || f.key.ShortTag() == "!!merge" || f.value.Kind == yaml.AliasNode {
			return nil, &TextError{Line: f.key.Line, Reason: what + " has a YAML alias, a merge key or a key that is no text"}
		}
		if line := lines[f.key.Value]; line != 0 {
			return nil, &TextError{Line: f.key.Line, Reason: fmt.Sprintf("key %s stands twice, first on line %d", quote(f.key.Value), line)}
		}
		lines[f.key.Value] = f.key.Line
		out = append(out, f)
	}
	return out, nil
}

// readText takes a section that is text holding YAML, or a list already.
func (b *builder) readText(name string, n *yaml.Node) {
	outer := func(n *yaml.Node) int { return n.Line }
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		b.read(name, n, outer)
		return
	}
	// A section that is blank, or a pair of quotes, is empty to
	// aws-iam-authenticator.
	if strings.Trim(strings.TrimSpace(n.Value), "`'\"") == "" {
		return
	}
	inner := func(*yaml.Node) int { return n.Line }
	if n.Style&yaml.LiteralStyle != 0 {
		inner = func(m *yaml.Node) int { return n.Line + m.Line }
	}
	list, err := decodeOne([]byte(n.Value))
	if err != nil {
		b.section, b.index, b.line, b.lineOf = name, -1, n.Line, outer
		b.note(n, BadYAML, true, "is not YAML (lines counted in the section): %v", err)
		return
	}
	if list == nil {
		return
	}
	b.read(name, list, inner)
}
