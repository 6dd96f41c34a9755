package yamlsplice

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// Step returns the node at one step of a Setting's path, or nil: the value of a
// mapping's own key, or a list's item of that name.
func Step(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		_, v := Child(n, key)
		return v
	case yaml.SequenceNode:
		if i := slices.IndexFunc(n.Content, func(item *yaml.Node) bool { return isNamed(item, key) }); i >= 0 {
			return n.Content[i]
		}
	}
	return nil
}

func isNamed(item *yaml.Node, name string) bool {
	item = Deref(item)
	if item.Kind != yaml.MappingNode {
		return false
	}
	n := Lookup(item, "name")
	return IsText(n) && n.Value == name
}

// stepInto is Step on a value that is yet to be written.
func stepInto(value any, key string) any {
	switch value := value.(type) {
	case Fields:
		if i := slices.IndexFunc(value, func(p Pair) bool { return p.Key == key }); i >= 0 {
			return value[i].Value
		}
	case []any:
		for _, item := range value {
			if _, ok := item.(Fields); ok && stepInto(item, "name") == key {
				return item
			}
		}
	}
	return nil
}

// wrap returns the value of path's first key that has v at the rest of the path.
func (sc *Schema) wrap(path []string, v any) any {
	for i := len(path) - 1; i > 0; i-- {
		if in, ok := v.(Fields); ok && slices.Contains(sc.InnerLists, path[i-1]) {
			v = []any{append(in, Pair{"name", path[i]})}
		} else {
			v = Fields{{path[i], v}}
		}
	}
	return v
}

// IsText reports whether n is a string.
func IsText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}

// IsNull reports whether n is null or missing.
func IsNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Deref follows an alias.
func Deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isMerge(key *yaml.Node) bool { return key.Tag == "!!merge" }

// mergeSources returns what a merge key draws from, the first with priority
// (https://yaml.org/type/merge.html).
func mergeSources(value *yaml.Node) []*yaml.Node {
	if v := Deref(value); v.Kind == yaml.SequenceNode {
		return v.Content
	}
	return []*yaml.Node{value}
}

// Lookup returns the value of a key, aliases and merge keys followed, or nil.
func Lookup(m *yaml.Node, key string) *yaml.Node {
	budget := maxMergesPerLookup
	return lookupMerged(m, key, &budget)
}

func lookupMerged(m *yaml.Node, key string, budget *int) *yaml.Node {
	if _, v := Child(m, key); v != nil {
		return Deref(v)
	}
	for i := 0; i < len(m.Content); i += 2 {
		if !isMerge(m.Content[i]) {
			continue
		}
		for _, source := range mergeSources(m.Content[i+1]) {
			if *budget--; *budget < 0 {
				return nil
			}
			if v := lookupMerged(Deref(source), key, budget); v != nil {
				return v
			}
		}
	}
	return nil
}

// Child returns the nodes of a key of m itself, or nil: of one that is there twice
// the last.
func Child(m *yaml.Node, key string) (k, v *yaml.Node) {
	for i := len(m.Content) - 2; i >= 0; i -= 2 {
		if k := Deref(m.Content[i]); k.Value == key && !isMerge(k) {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

// KindOf names a node's type for messages.
func KindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!str":
		return "a string"
	}
	return "of another type"
}
