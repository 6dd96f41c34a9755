package mapping

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// isNull reports whether a node is missing, null or empty.
func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// fields parses a mapping. Keys match regardless of case, as in the JSON decoder of
// aws-iam-authenticator, but for ASCII letters only. Null fields are left out, except a
// userid, which must not look like a pin. An unknown key is reported or, if strict, an
// error. Duplicate keys, aliases and merge keys are always errors: a reader of the text
// could not tell which value is used.
func (b *builder) fields(n *yaml.Node, what string, known ...string) (map[string]*yaml.Node, bool) {
	if n.Kind != yaml.MappingNode {
		b.note(n, shapeCode(n), true, "expected %s with %s, found %s", what, strings.Join(known, ", "), describe(n))
		return nil, false
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode || v.Kind == yaml.AliasNode || k.ShortTag() == "!!merge" {
			b.note(k, YAMLAlias, true, "has a YAML alias or merge key; write it out")
			return nil, false
		}
		name := lowerASCII(k.Value)
		switch {
		case k.Kind != yaml.ScalarNode || !slices.Contains(known, name):
			b.note(k, UnknownKey, b.strict, "has unknown key %s; known are %s", quote(k.Value), strings.Join(known, ", "))
			if b.strict {
				return nil, false
			}
		case out[name] != nil:
			b.note(k, BadShape, true, "has %s twice, on lines %d and %d", name, b.lineOf(out[name]), b.lineOf(k))
			return nil, false
		default:
			out[name] = v
		}
	}
	for name, v := range out {
		if isNull(v) && name != "userid" {
			delete(out, name)
		}
	}
	return out, true
}

// text returns a scalar as it is written, whatever its YAML type: an account is not a
// number, and a user may be named "on".
func (b *builder) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
			return n.Value, true
		}
	}
	b.note(n, shapeCode(n), true, "expected %s as text, found %s", what, describe(n))
	return "", false
}

func shapeCode(n *yaml.Node) Code {
	if n.Kind == yaml.AliasNode {
		return YAMLAlias
	}
	return BadShape
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping; quote a text that begins with a brace"
	case yaml.AliasNode:
		return "a YAML alias; write it out"
	case yaml.ScalarNode:
		if isNull(n) {
			return "nothing"
		}
		return "the text " + quote(n.Value)
	}
	return "nothing"
}

var errMoreDocuments = errors.New("contains more than one YAML document")

// decodeOne parses a text with one YAML (or JSON) document and returns its root node,
// or nil for an empty text. The tree is never decoded further, so an alias stays a
// single node and cannot expand.
func decodeOne(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var more yaml.Node
	switch err := d.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, err
	case len(more.Content) == 0 || !isNull(more.Content[0]):
		return nil, errMoreDocuments
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}
