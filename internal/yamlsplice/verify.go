package yamlsplice

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// verify compares the file before and after: what was wanted is there, and all
// else is what it was. It is the last thing before bytes leave this package.
func verify(before, after *Document, ed *Edit) error {
	fail := func(format string, args ...any) error {
		return &verifyError{before.name, fmt.Sprintf(format, args...)}
	}
	if before.json && !after.json {
		return fail("would no longer be JSON")
	}
	replay := newEdit(after)
	replay.tops = ed.tops
	touched := map[string]map[string][]Setting{}
	for _, o := range ed.ops {
		i, ok := after.find(o.list, o.name)
		if !ok || replay.old[o.list][o.name] != nil || !holdsAll(after.Items(o.list)[i], o.settings) {
			// Not there, or wanted otherwise by another change.
			if _, err := replay.Set(o.list, o.name, o.settings); err != nil {
				return fail("cannot be read again: %v", err)
			}
		}
		if touched[o.list] == nil {
			touched[o.list] = map[string][]Setting{}
		}
		touched[o.list][o.name] = append(touched[o.list][o.name], o.settings...)
	}
	if again, err := replay.splices(); err != nil || len(again) > 0 {
		return fail("is not as wanted")
	}
	if before.root == nil {
		return nil
	}
	n := len(before.root.Content)
	if len(after.root.Content) < n {
		return fail("has lost keys")
	}
	for i := 0; i < n; i += 2 {
		k, v := before.root.Content[i], before.root.Content[i+1]
		if !sameNode(k, after.root.Content[i]) {
			return fail("has another key on line %d", k.Line)
		}
		key := Deref(k).Value
		isTop := slices.ContainsFunc(ed.tops, func(t Pair) bool { return t.Key == key })
		if !slices.Contains(before.schema.Lists, key) && !isTop && !sameNode(v, after.root.Content[i+1]) {
			return fail("has another value on line %d", v.Line)
		}
	}
	for _, list := range before.schema.Lists {
		now, was := after.Items(list), before.Items(list)
		if len(now) != len(was)-len(ed.removed[list])+len(ed.fresh[list]) {
			return fail("has %d %s", len(now), list)
		}
		i := 0
		for _, item := range was {
			name := NameOf(item)
			if ed.removed[list][name] {
				if _, still := after.find(list, name); still {
					return fail("still has entry %q of %s", name, list)
				}
				continue
			}
			same := sameNode(item, now[i])
			if settings, ok := touched[list][name]; ok {
				paths := make([][]string, len(settings))
				for j, s := range settings {
					paths[j] = s.Path
				}
				same = item.Anchor == now[i].Anchor && sameExcept(item, now[i], paths)
			}
			if !same {
				return fail("has altered entry %q of %s", name, list)
			}
			i++
		}
	}
	return nil
}

// sameNode compares all but places and comments.
func sameNode(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Style != b.Style || a.Tag != b.Tag || a.Value != b.Value ||
		a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameNode(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// sameExcept compares two mappings but for what is at the paths. A missing
// mapping is an empty one.
func sameExcept(a, b *yaml.Node, paths [][]string) bool {
	inner := map[string][][]string{}
	skip := map[string]bool{}
	for _, p := range paths {
		if len(p) == 1 {
			skip[p[0]] = true
			continue
		}
		inner[p[0]] = append(inner[p[0]], p[1:])
	}
	if a != nil && a.Kind == yaml.SequenceNode || b != nil && b.Kind == yaml.SequenceNode {
		return sameItems(a, b, inner)
	}
	was, now := values(a), values(b)
	for key, x := range was {
		if skip[key] {
			continue
		}
		y := now[key]
		if below, ok := inner[key]; ok {
			if !sameExcept(x, y, below) {
				return false
			}
		} else if y == nil || !sameNode(x, y) {
			return false
		}
	}
	for key, y := range now {
		if was[key] != nil || skip[key] {
			continue
		}
		if below, ok := inner[key]; !ok || !sameExcept(nil, y, below) {
			return false
		}
	}
	return true
}

// sameItems compares two lists but for what is at the paths inside items, by the
// items' names.
func sameItems(a, b *yaml.Node, inner map[string][][]string) bool {
	if a == nil || b == nil || a.Kind != b.Kind || a.Style != b.Style || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return false
	}
	for i, x := range a.Content {
		y, same := b.Content[i], false
		for name, below := range inner {
			same = same || isNamed(x, name) && isNamed(y, name) && x.Kind == y.Kind && sameExcept(x, y, below)
		}
		if !same && !sameNode(x, y) {
			return false
		}
	}
	return true
}

// values returns a mapping's own values by key, none for what is no mapping.
func values(m *yaml.Node) map[string]*yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	byKey := make(map[string]*yaml.Node, len(m.Content)/2)
	for i := 0; i < len(m.Content); i += 2 {
		byKey[Deref(m.Content[i]).Value] = m.Content[i+1]
	}
	return byKey
}
