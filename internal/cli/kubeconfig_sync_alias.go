package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ekskey/ekskey/internal/discovery"
)

// defaultAlias is the pattern of contexts' names. No two clusters have one account,
// region and name.
const defaultAlias = "{account}-{region}-{name}"

const aliasHint = "its fields are {account}, {region}, {name}, {profile}, {partition}, {arn} and {role}"

var aliasFields = []string{"account", "region", "name", "profile", "partition", "arn", "role"}

// alias is a parsed pattern: plain text and, at every second index, fields.
type alias []string

// parseAlias parses a pattern. A brace always belongs to a field.
func parseAlias(pattern string) (alias, error) {
	fail := func(reason string) (alias, error) {
		return nil, &usageError{reason: fmt.Sprintf("--alias %q %s", pattern, reason), hint: aliasHint}
	}
	if pattern == "" {
		return fail("is empty")
	}
	if strings.ContainsFunc(pattern, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fail("has a character that does not print")
	}
	var parsed alias
	for rest := pattern; ; {
		text, after, more := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return fail("has a } without a {")
		}
		parsed = append(parsed, text)
		if !more {
			return parsed, nil
		}
		field, after, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(field, "{") {
			return fail("has a { without a }")
		}
		if !slices.Contains(aliasFields, field) {
			return fail(fmt.Sprintf("has a field {%s} that is not known", field))
		}
		parsed, rest = append(parsed, field), after
	}
}

func (p alias) has(field string) bool {
	for i := 1; i < len(p); i += 2 {
		if p[i] == field {
			return true
		}
	}
	return false
}

// name is the context's name for a cluster. The role is an ARN, of which the last
// part is taken.
func (p alias) name(c discovery.Cluster, profile, role string) string {
	values := map[string]string{
		"account": c.Account, "region": c.Region, "name": c.Name, "partition": c.Partition, "arn": c.ARN,
		"profile": profile, "role": role[strings.LastIndexByte(role, '/')+1:],
	}
	var b strings.Builder
	for i, part := range p {
		if i%2 == 1 {
			part = values[part]
		}
		b.WriteString(part)
	}
	return b.String()
}
