package mapping

import (
	"fmt"
	"strings"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

var quote = yamlnode.Quote

// Code names a kind of Problem. Codes are stable: logs and metrics may use them.
type Code string

// The codes. Those of the first group drop the entry or section, those of the second
// are advice about a used entry; unknown-key and duplicate can be either.
const (
	BadYAML     Code = "bad-yaml"     // the section is no YAML
	BadShape    Code = "bad-shape"    // a list, mapping or text was expected
	Misspelt    Code = "misspelt"     // a key looks like a section that is missing
	Misplaced   Code = "misplaced"    // a key that belongs under data, or into an entry
	NoUserID    Code = "no-userid"    // entries match by unique id, and this has none
	YAMLAlias   Code = "yaml-alias"   // aliases and merge keys are not followed
	BadARN      Code = "bad-arn"      // no ARN of a user, role, root or federated user
	BadSSO      Code = "bad-sso"      // no permission set, account or partition
	BadAccount  Code = "bad-account"  // not twelve digits
	BadTemplate Code = "bad-template" // an unknown placeholder, or characters that are not allowed in a name

	UnknownKey     Code = "unknown-key"     // an unknown key
	Duplicate      Code = "duplicate"       // two entries for one principal
	WrongSection   Code = "wrong-section"   // a user in mapRoles, or a role in mapUsers
	NoUsername     Code = "no-username"     // the default username is used
	SessionPrefix  Code = "session-prefix"  // the session name is the whole name
	NoEC2          Code = "no-ec2"          // needs EC2, which is not configured
	NeverRenders   Code = "never-renders"   // needs a session that the principal has not
	OtherPartition Code = "other-partition" // of a partition this server does not serve
	RolePath       Code = "role-path"       // EKS never matches a role's ARN with its path
	TooMany        Code = "too-many"        // more problems than are listed
)

// maxProblems bounds the recorded problems of a text, separately for those that dropped
// something and for the rest, so that a text full of problems cannot fill the memory or
// the log.
const maxProblems = 1000

// Problem is an error or a warning about entries. It is an error value.
type Problem struct {
	Backend string
	// Section is mapRoles, mapUsers or mapAccounts, or empty for the whole text.
	Section string
	// Index counts the section's entries from 0; -1 means the section itself.
	Index int
	// Line counts from 1 in the whole text. In a section whose text is quoted, and so
	// has no lines in the file, it is the section's line.
	Line int
	Code Code
	// Dropped is true if the entry or section is not used. The principal of an aws-auth
	// entry is then refused, with BrokenEntryError.
	Dropped bool
	// Message is for people. Text from the input is quoted and short.
	Message string
}

func (p Problem) Error() string {
	s := p.source() + ": " + p.Message
	if p.Dropped {
		s += " (dropped)"
	}
	return s
}

// Where is the backend, the section with the entry's index, and the line.
func (p Problem) Where() string { return p.source() }

func (p Problem) source() string { return sourceText(p.Backend, p.Section, p.Index, p.Line) }

func sourceText(backend, section string, index, line int) string {
	s := backend
	if section != "" {
		s += " " + section
	}
	if index >= 0 {
		s += fmt.Sprintf("[%d]", index)
	}
	return s + fmt.Sprintf(" line %d", line)
}

// LoadError reports why the server's own entries are refused: all reasons at once.
type LoadError struct{ Problems []Problem }

func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.source() + ": " + p.Message
	}
	return strings.Join(lines, "; ")
}

// TextError says why a text is not an aws-auth, or a dynamic file, at all. Nothing of
// it is in force.
type TextError struct {
	// What is what the text should be. Empty means an aws-auth.
	What string
	// Line counts from 1; 0 means no line in particular.
	Line   int
	Reason string
	// Err is the YAML parser's error, or nil.
	Err error
}

func (e *TextError) Error() string {
	what := e.What
	if what == "" {
		what = "aws-auth"
	}
	s := "reading " + what + ": "
	if e.Line > 0 {
		s += fmt.Sprintf("line %d: ", e.Line)
	}
	s += e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *TextError) Unwrap() error { return e.Err }
