package mapping

import (
	"go.yaml.in/yaml/v3"
)

// SectionNames are the keys that ParseServer reads; other keys of the server's
// configuration are for its caller.
func SectionNames() []string { return []string{mapRoles, mapUsers, mapAccounts} }

// ParseServer parses the mapping node under "server:" of the server's configuration.
// Keys are not case-sensitive; keys other than SectionNames are ignored. A nil or null
// node returns an empty Set.
//
// It is strict: an unknown key in an entry, two entries for one principal, and
// everything that ParseAWSAuth would drop fail with *LoadError, which lists all errors
// with their lines. Warnings are in Problems.
func ParseServer(server *yaml.Node, o Options) (*Set, error) {
	b := newBuilder(o.withDefaults("file"), true)
	lineOf := func(n *yaml.Node) int { return n.Line }
	if server != nil && server.Kind == yaml.DocumentNode && len(server.Content) == 1 {
		server = server.Content[0]
	}
	if isNull(server) {
		return b.finish(), nil
	}
	b.line, b.lineOf = server.Line, lineOf
	if server.Kind != yaml.MappingNode {
		b.note(server, shapeCode(server), true, "expected a mapping with %s, %s, %s, found %s", mapRoles, mapUsers, mapAccounts, describe(server))
	}
	lines := map[string]int{}
	for i := 0; server.Kind == yaml.MappingNode && i+1 < len(server.Content); i += 2 {
		k := server.Content[i]
		for _, section := range SectionNames() {
			if lowerASCII(k.Value) != lowerASCII(section) {
				continue
			}
			if lines[section] != 0 {
				b.section, b.index = "", -1
				b.note(k, BadShape, true, "duplicate key %s, on lines %d and %d", section, lines[section], k.Line)
				continue
			}
			lines[section] = k.Line
			b.read(section, server.Content[i+1], lineOf)
		}
	}
	set := b.finish()
	var bad []Problem
	for _, p := range set.problems {
		if p.Dropped {
			bad = append(bad, p)
		}
	}
	if bad != nil {
		return nil, &LoadError{Problems: bad}
	}
	return set, nil
}
