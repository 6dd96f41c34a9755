package kubeconfig

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// others are the further files of KUBECONFIG, read only. kubectl takes each
// entry whole from the first file that has one of its name.
type others struct {
	files   []*File
	earlier int // how many of them come before the file to change
}

// find returns the place of an entry in a list.
func (f *File) find(list, name string) (int, bool) {
	i, ok := f.index[list][name]
	return i, ok
}

// elsewhere returns the other file whose entry kubectl would take if this file
// had none, or takes although it has one, and the entry's place; or nil.
func (p *plan) elsewhere(list, name string) (*File, int) {
	here := p.has(list, name)
	for n, f := range p.others.files {
		if here && n >= p.earlier {
			break
		}
		if i, ok := f.find(list, name); ok {
			return f, i
		}
	}
	return nil, 0
}

// has reports whether the file has an entry, or will have.
func (p *plan) has(list, name string) (ok bool) {
	switch list {
	case clusterList:
		_, ok = p.clusters[name]
	case contextList:
		_, ok = p.contexts[name]
	case userList:
		_, ok = p.users[name]
	}
	return ok
}

// context returns a context as kubectl sees it, zero where there is none.
func (p *plan) context(name string) Context {
	if f, i := p.elsewhere(contextList, name); f != nil {
		return f.contexts[i]
	}
	return p.contexts[name]
}

// user returns a user as kubectl sees it, zero where there is none.
func (p *plan) user(name string) User {
	if f, i := p.elsewhere(userList, name); f != nil {
		return f.users[i]
	}
	return p.users[name]
}

// seed returns what a new entry starts from: its name, and what the entry of
// another file says that it is going to hide, so that a namespace, extensions
// or impersonation survive.
func (p *plan) seed(list, name string) (fields, error) {
	value := fields{{"name", name}}
	f, i := p.elsewhere(list, name)
	if f == nil {
		return value, nil
	}
	item := f.lists[list][i].item
	body := lookup(deref(item), bodyKey[list])
	if isNull(body) {
		return value, nil
	}
	copied, ok := copyValue(body)
	if !ok {
		return nil, &NotEditableError{File: f.name, Line: item.Line,
			Reason: fmt.Sprintf("entry %q of %s has something that cannot be copied to %s", name, list, p.file.name)}
	}
	entry := copied.(fields)
	if list == clusterList {
		// A path is relative to its file, and an exception is not spread.
		entry = entry.withOne([]string{"certificate-authority"}, nil)
		entry = entry.withOne([]string{"insecure-skip-tls-verify"}, nil)
	}
	return append(value, pair{bodyKey[list], entry}), nil
}

// literal is a scalar that is written as it is: a number or null.
type literal string

// isOldWord reports whether a plain scalar is a string here and a boolean to
// kubectl's YAML reader, as in yes.
func isOldWord(n *yaml.Node) bool {
	return n.Style&^yaml.TaggedStyle == 0 && isWord(n.Value)
}

// copyValue returns a value to be written elsewhere, with aliases replaced by
// what they stand for. It says false for merge keys and for types that JSON has
// not.
func copyValue(n *yaml.Node) (any, bool) {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		fs := make(fields, 0, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			k := deref(n.Content[i])
			v, ok := copyValue(n.Content[i+1])
			if !ok || k.ShortTag() != "!!str" || isOldWord(k) {
				return nil, false
			}
			fs = append(fs, pair{k.Value, v})
		}
		return fs, true
	case yaml.SequenceNode:
		items := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, ok := copyValue(c)
			if !ok {
				return nil, false
			}
			items = append(items, v)
		}
		return items, true
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, !isOldWord(n)
	case "!!null":
		return literal("null"), true
	case "!!bool", "!!int", "!!float":
		return literal(n.Value), n.Style == 0 && json.Valid([]byte(n.Value))
	}
	return nil, false
}
