// Package yamlnode reads YAML nodes strictly: one document, no key twice, no
// aliases, no merge keys. JSON is YAML, so it reads that too.
//
// The tree is never decoded into Go values, so that each problem has its line and
// an alias stays one node: no alias can expand into gigabytes.
package yamlnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrMoreDocuments reports a text with a second document.
var ErrMoreDocuments = errors.New("holds more than one YAML document")

// Document parses a text of one document to its root node. The root is nil if the
// text holds nothing.
func Document(text []byte) (*yaml.Node, error) {
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
	case len(more.Content) == 0 || !IsNull(more.Content[0]):
		return nil, ErrMoreDocuments
	}
	if len(doc.Content) == 0 || IsNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// Kind is what is wrong with a key of a mapping.
type Kind int

// The kinds of Error.
const (
	NotMapping Kind = iota + 1 // the node is no mapping
	BadKey                     // the key is no text
	Alias                      // the key or its value is an alias, or the key is a merge key
	Twice                      // the key stands twice
)

// Error is what is wrong with a mapping.
type Error struct {
	Kind Kind
	// Node is the key, or for NotMapping the node itself.
	Node *yaml.Node
	// First is the first key of two.
	First *yaml.Node
}

func (e *Error) Error() string {
	switch e.Kind {
	case NotMapping:
		return "expected a mapping, found " + Describe(e.Node)
	case Alias:
		return "has a YAML alias or merge key; write it out"
	case Twice:
		return fmt.Sprintf("key %s stands twice, first on line %d", Quote(e.Node.Value), e.First.Line)
	}
	return "has a key that is no text"
}

// Field is a key of a mapping and its value.
type Field struct {
	// Name is the key, lower-cased if the reader folds case.
	Name       string
	Key, Value *yaml.Node
}

// Fields returns the fields of a mapping that are in order, and an error for each
// that is not. A key that stands twice keeps its first value. With foldCase, keys that
// differ only in the case of ASCII letters are one key.
func Fields(n *yaml.Node, foldCase bool) ([]Field, []*Error) {
	if n.Kind != yaml.MappingNode {
		return nil, []*Error{{Kind: NotMapping, Node: n}}
	}
	var out []Field
	var bad []*Error
	keys := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := Field{Name: n.Content[i].Value, Key: n.Content[i], Value: n.Content[i+1]}
		if foldCase {
			f.Name = FoldASCII(f.Name)
		}
		switch {
		case f.Key.Kind == yaml.AliasNode || f.Value.Kind == yaml.AliasNode || f.Key.ShortTag() == "!!merge":
			bad = append(bad, &Error{Kind: Alias, Node: f.Key})
		case f.Key.Kind != yaml.ScalarNode:
			bad = append(bad, &Error{Kind: BadKey, Node: f.Key})
		case keys[f.Name] != nil:
			bad = append(bad, &Error{Kind: Twice, Node: f.Key, First: keys[f.Name]})
		default:
			keys[f.Name] = f.Key
			out = append(out, f)
		}
	}
	return out, bad
}

// IsNull reports whether a node is absent, null or empty.
func IsNull(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Text returns a scalar as it is written, whatever YAML would make of it: an account
// is no number, and a user may be called "on".
func Text(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
			return n.Value, true
		}
	}
	return "", false
}

// Describe says what a node is, for messages.
func Describe(n *yaml.Node) string {
	switch {
	case IsNull(n):
		return "nothing"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping; quote a text that begins with a brace"
	case n.Kind == yaml.AliasNode:
		return "a YAML alias; write it out"
	}
	return "the text " + Quote(n.Value)
}

// FoldASCII lower-cases A to Z and nothing else: U+212A KELVIN SIGN is no k.
func FoldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Quote cites input in a message: quoted, so that it cannot forge a log line, and
// short.
func Quote(s string) string {
	const limit = 120
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return fmt.Sprintf("%q", s)
}
