package mapping

import (
	"go.yaml.in/yaml/v3"
)

// SectionNames are the keys that ParseServer takes from the server's part of
// the configuration; the rest of the keys are its caller's.
func SectionNames() []string { return []string{mapRoles, mapUsers, mapAccounts} }

// ParseServer makes the file backend of the mapping node under "server:" in the
// server's configuration. Its keys are compared without case; keys other than
// SectionNames are passed over. A nil or null node gives an empty Set.
//
// It is strict: an unknown key in an entry, two entries for one principal, and
// anything that ParseAWSAuth would drop, fail it with *LoadError, which lists them
// all with their lines. What is only doubtful stands in Problems.
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
				b.note(k, BadShape, true, "%s stands twice, on lines %d and %d", section, lines[section], k.Line)
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
