package kubeconfig

import (
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// find returns the place of an entry in a list.
func (f *File) find(list, name string) (int, bool) {
	i, ok := f.index[list][name]
	return i, ok
}

// elsewhere returns the other file whose entry kubectl would take if this file
// had none, or takes although it has one; or nil.
func (p *plan) elsewhere(list, name string) *plan {
	here := p.has(list, name)
	for n, q := range p.all {
		if n == p.place {
			if here {
				break
			}
			continue
		}
		if q.has(list, name) {
			return q
		}
	}
	return nil
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
	if q := p.elsewhere(contextList, name); q != nil {
		return q.contexts[name]
	}
	return p.contexts[name]
}

// user returns a user as kubectl sees it, zero where there is none.
func (p *plan) user(name string) User {
	if q := p.elsewhere(userList, name); q != nil {
		return q.users[name]
	}
	return p.users[name]
}

// seed returns what a new entry starts from: its name, and what the entry of
// another file says that it is going to hide, so that a namespace, extensions
// or impersonation survive.
func (p *plan) seed(list, name string) (fields, error) {
	value := fields{{"name", name}}
	q := p.elsewhere(list, name)
	if q == nil {
		return value, nil
	}
	entry, err := q.body(list, name, p.file.name)
	if err != nil || entry == nil {
		return value, err
	}
	if list == clusterList {
		// A path is relative to its file, and an exception is not spread.
		entry = entry.withOne([]string{"certificate-authority"}, nil)
		entry = entry.withOne([]string{"insecure-skip-tls-verify"}, nil)
	}
	return append(value, pair{bodyKey[list], entry}), nil
}

// body returns what an entry says, to be written into the file called to; nil
// where it says nothing. What is planned for the entry is part of it.
func (p *plan) body(list, name, to string) (fields, error) {
	if e := p.freshAt[named{list, name}]; e != nil {
		i := slices.IndexFunc(e.value, func(f pair) bool { return f.key == bodyKey[list] })
		if i < 0 {
			return nil, nil
		}
		body, _ := e.value[i].value.(fields)
		return body.clone(), nil
	}
	i, _ := p.file.find(list, name)
	item := p.file.lists[list][i].item
	entry := deref(item)
	if e := p.old[list][name]; e != nil && e.frag.text != e.before {
		var err error
		if _, entry, err = e.frag.parse(); err != nil {
			return nil, p.notEditable(item, err.Error())
		}
	}
	body := lookup(entry, bodyKey[list])
	if isNull(body) {
		return nil, nil
	}
	copied, ok := copyValue(body)
	if !ok {
		return nil, p.notEditable(item, fmt.Sprintf("entry %q of %s has something that cannot be copied to %s", name, list, to))
	}
	return copied.(fields), nil
}

// clone copies the mappings, which are altered in place; all else is not.
func (fs fields) clone() fields {
	fs = slices.Clone(fs)
	for i, p := range fs {
		if in, ok := p.value.(fields); ok {
			fs[i].value = in.clone()
		}
	}
	return fs
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
