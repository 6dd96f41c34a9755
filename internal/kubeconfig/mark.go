package kubeconfig

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// markName is the extension of the contexts that were made here
// (k8s.io/client-go/tools/clientcmd/api/v1, NamedExtension).
const (
	markName      = "ekskey"
	extensionsKey = "extensions"
)

// mark is what that extension says. The zero value is that of a context without.
type mark struct {
	there   bool
	cluster string // ARN
	entry   string // of clusters, where its name is not the ARN
}

// markFor is that of a context made for a cluster and led to an entry.
func markFor(arn, entry string) mark {
	if entry == arn {
		entry = ""
	}
	return mark{there: true, cluster: arn, entry: entry}
}

// madeFor returns the ARN, or nothing where the context has been led to another
// entry since: then it is no longer what was made here.
func (m mark) madeFor(entry string) string {
	if entry != firstOf(m.entry, m.cluster) {
		return ""
	}
	return m.cluster
}

func (m mark) setting() setting {
	value := fields{{"cluster", m.cluster}}
	if m.entry != "" {
		value = append(value, pair{"entry", m.entry})
	}
	return setting{[]string{"context", extensionsKey, markName, "extension"}, value}
}

// mark reads our extension. What is in those of others is theirs.
func (r *reader) mark(body *yaml.Node, path string) mark {
	var found mark
	for i, n := range r.list(body, path, extensionsKey) {
		m := deref(n)
		at := fmt.Sprintf("%s.%s[%d]", path, extensionsKey, i)
		if m.Kind != yaml.MappingNode {
			r.fail(m, at, "a mapping")
			break
		}
		if r.text(m, at, "name") != markName || found.there {
			continue
		}
		found.there = true
		e := field(m, "extension")
		if e == nil || e.Kind != yaml.MappingNode {
			continue
		}
		cluster, entry := field(e, "cluster"), field(e, "entry")
		if isText(cluster) && (entry == nil || isText(entry)) {
			found.cluster = cluster.Value
			if entry != nil {
				found.entry = entry.Value
			}
		}
	}
	return found
}

func isText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}

// step returns the node at one step of a setting's path, or nil: the value of a
// mapping's own key, or a list's item of that name.
func step(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		_, v := child(n, key)
		return v
	case yaml.SequenceNode:
		if i := slices.IndexFunc(n.Content, func(item *yaml.Node) bool { return isNamed(item, key) }); i >= 0 {
			return n.Content[i]
		}
	}
	return nil
}

func isNamed(item *yaml.Node, name string) bool {
	item = deref(item)
	if item.Kind != yaml.MappingNode {
		return false
	}
	n := lookup(item, "name")
	return isText(n) && n.Value == name
}

// stepInto is step on a value that is yet to be written.
func stepInto(value any, key string) any {
	switch value := value.(type) {
	case fields:
		if i := slices.IndexFunc(value, func(p pair) bool { return p.key == key }); i >= 0 {
			return value[i].value
		}
	case []any:
		for _, item := range value {
			if _, ok := item.(fields); ok && stepInto(item, "name") == key {
				return item
			}
		}
	}
	return nil
}

// wrap returns the value of path's first key that has v at the rest of the path.
func wrap(path []string, v any) any {
	for i := len(path) - 1; i > 0; i-- {
		if in, ok := v.(fields); ok && path[i-1] == extensionsKey {
			v = []any{append(in, pair{"name", path[i]})}
		} else {
			v = fields{{path[i], v}}
		}
	}
	return v
}
