package mapping

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// ParseServer parses the mapping node under "server:" of the server's configuration.
// Keys are not case-sensitive; keys other than SectionNames are ignored. A nil or null
// node returns an empty Set.
//
// It is strict: an unknown key in an entry, and anything that ParseAWSAuth would drop,
// fail it with *LoadError, which lists them all with their lines. What is only doubtful
// stands in Problems. Two entries for one principal are as Options.Ties says; say
// TieIsError, unless the configuration is aws-iam-authenticator's own.
func ParseServer(server *yaml.Node, o Options) (*Set, error) {
	o.Strict = true
	b := newBuilder(o.withDefaults("file"), true)
	if server != nil && server.Kind == yaml.DocumentNode && len(server.Content) == 1 {
		server = server.Content[0]
	}
	if yamlnode.IsNull(server) {
		return b.result()
	}
	b.readSections(server)
	return b.result()
}

func lineOf(n *yaml.Node) int { return n.Line }

// readSections reads the sections of a mapping whose keys are compared without case.
// It returns the keys that are no sections.
func (b *builder) readSections(n *yaml.Node) (rest []*yaml.Node) {
	b.line, b.lineOf = n.Line, lineOf
	if n.Kind != yaml.MappingNode {
		b.shape(n, "a mapping with "+strings.Join(SectionNames(), ", "))
		return nil
	}
	known := map[string]string{}
	for _, section := range SectionNames() {
		known[yamlnode.FoldASCII(section)] = section
	}
	fields, bad := yamlnode.Fields(n, true)
	for _, e := range bad {
		if section := known[yamlnode.FoldASCII(e.Node.Value)]; section != "" {
			b.at("", -1, n.Line)
			if e.Kind == yamlnode.Twice {
				b.note(e.Node.Line, BadShape, true, "duplicate key %s, on lines %d and %d", section, e.First.Line, e.Node.Line)
			} else {
				b.note(e.Node.Line, YAMLAlias, true, "%s %v", section, e)
			}
		}
	}
	values := map[string]*yaml.Node{}
	for _, f := range fields {
		if section := known[f.Name]; section != "" {
			values[section] = f.Value
		} else {
			rest = append(rest, f.Key)
		}
	}
	for _, section := range sectionOrder {
		if values[section] != nil {
			b.read(section, values[section], lineOf)
		}
	}
	return rest
}

// sectionOrder is the order in which sections are read: mapRoles comes after mapUsers
// because it counts before it where the last wins.
var sectionOrder = [...]string{mapUsers, mapRoles, mapAccounts}
