package kubeconfig

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// verify compares the file before and after: what was wanted is there, and all
// else is what it was. It is the last thing before bytes leave this package.
func verify(before, after *File, p *plan) error {
	fail := func(format string, args ...any) error {
		return &verifyError{before.name, fmt.Sprintf(format, args...)}
	}
	if before.json && !after.json {
		return fail("would no longer be JSON")
	}
	replay := newPlan(after, nil)
	replay.current = p.current
	touched := map[string]map[string][]setting{}
	for _, o := range p.ops {
		if _, err := replay.edit(o.list, o.name, o.settings); err != nil {
			return fail("cannot be read again: %v", err)
		}
		if touched[o.list] == nil {
			touched[o.list] = map[string][]setting{}
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
			return fail("has another key for %q", k.Value)
		}
		key := deref(k).Value
		if _, isList := bodyKey[key]; !isList && key != "current-context" && !sameNode(v, after.root.Content[i+1]) {
			return fail("has another value of %q", key)
		}
	}
	if before.current != after.current && before.current == p.current {
		return fail("has another current-context")
	}
	for list := range bodyKey {
		if len(after.lists[list]) != len(before.lists[list])+len(p.fresh[list]) {
			return fail("has %d %s", len(after.lists[list]), list)
		}
		for i, e := range before.lists[list] {
			now := after.lists[list][i]
			same := sameNode(e.item, now.item)
			if settings, ok := touched[list][e.name]; ok {
				paths := make([][]string, len(settings))
				for j, s := range settings {
					paths[j] = s.path
				}
				same = e.item.Anchor == now.item.Anchor && sameExcept(e.item, now.item, paths)
			}
			if !same {
				return fail("has altered entry %q of %s", e.name, list)
			}
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
	keys := map[string]bool{}
	for _, m := range []*yaml.Node{a, b} {
		for i := 0; i < len(mapContent(m)); i += 2 {
			keys[deref(m.Content[i]).Value] = true
		}
	}
	for key := range keys {
		if skip[key] {
			continue
		}
		x, y := childOf(a, key), childOf(b, key)
		if below, ok := inner[key]; ok {
			if !sameExcept(x, y, below) {
				return false
			}
		} else if x == nil || y == nil || !sameNode(x, y) {
			return false
		}
	}
	return true
}

func mapContent(m *yaml.Node) []*yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	return m.Content
}

func childOf(m *yaml.Node, key string) *yaml.Node {
	if mapContent(m) == nil {
		return nil
	}
	_, v := child(m, key)
	return v
}
