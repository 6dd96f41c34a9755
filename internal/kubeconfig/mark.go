package kubeconfig

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlsplice"
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
	value := fields{{Key: "cluster", Value: m.cluster}}
	if m.entry != "" {
		value = append(value, yamlsplice.Pair{Key: "entry", Value: m.entry})
	}
	return set(value, "context", extensionsKey, markName, "extension")
}

// mark reads our extension. What is in those of others is theirs.
func (r *reader) mark(body *yaml.Node, path string) mark {
	var found mark
	for i, n := range r.list(body, path, extensionsKey) {
		m := yamlsplice.Deref(n)
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
		if yamlsplice.IsText(cluster) && (entry == nil || yamlsplice.IsText(entry)) {
			found.cluster = cluster.Value
			if entry != nil {
				found.entry = entry.Value
			}
		}
	}
	return found
}
