package kubeconfig

import (
	"fmt"
	"slices"
	"strings"
)

// SyntaxError says that a file is not one YAML (or JSON) document with a
// mapping at its top, or is built to be costly to read. Line is 1-based and 0
// where there is none.
type SyntaxError struct {
	File   string
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return place(e.File, e.Line) + e.Reason }

// TypeError says that a value has another type than kubectl wants there.
type TypeError struct {
	File string
	Line int
	Path string // as in users[3].user.exec.args
	Want string // as in "a string"
	Got  string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("%s%s is %s, not %s", place(e.File, e.Line), e.Path, e.Got, e.Want)
}

// knownKeys may be repeated in a message. Another key may be a secret with its
// colon in the wrong place.
var knownKeys = slices.Concat(credentialKeys, impersonationKeys, []string{
	"apiVersion", "args", "certificate-authority", "certificate-authority-data", "cluster", "clusters", "command",
	"context", "contexts", "current-context", "env", "exec", "extension", "extensions", "insecure-skip-tls-verify", "installHint",
	"interactiveMode", "kind", "name", "namespace", "preferences", "provideClusterInfo", "proxy-url", "server",
	"tls-server-name", "user", "users", "value",
})

// DuplicateKeyError says that a mapping has one key twice. Which of the two
// counts differs from reader to reader, so neither is edited.
type DuplicateKeyError struct {
	File      string
	Key       string // in the message only where it is one of kubectl's
	Line      int    // of the second
	FirstLine int
}

func (e *DuplicateKeyError) Error() string {
	key := "this key"
	if slices.Contains(knownKeys, e.Key) {
		key = fmt.Sprintf("key %q", e.Key)
	}
	return fmt.Sprintf("%s%s is already on line %d", place(e.File, e.Line), key, e.FirstLine)
}

// DuplicateEntryError says that a list has two entries of one name.
type DuplicateEntryError struct {
	File      string
	List      string // clusters, contexts or users
	Name      string
	Line      int // of the second
	FirstLine int
}

func (e *DuplicateEntryError) Error() string {
	return fmt.Sprintf("%s%s has a second entry %q, the first is on line %d", place(e.File, e.Line), e.List, e.Name, e.FirstLine)
}

// NotEditableError says that a file is valid, but that what is to be changed is
// written in a way that cannot be changed without touching something else: an
// alias, an anchor used elsewhere, a merge key.
type NotEditableError struct {
	File   string
	Line   int
	Reason string
}

func (e *NotEditableError) Error() string { return place(e.File, e.Line) + e.Reason }

// ConflictError says that a change would alter what other contexts are: which
// cluster they lead to, or whom they act as. It would also come of an entry of
// that name holding credentials of its own, which a change would destroy.
type ConflictError struct {
	File     string
	Kind     string   // cluster or user
	Name     string   // of the entry
	Contexts []string // that use it, may be empty
}

func (e *ConflictError) Error() string {
	msg := fmt.Sprintf("%s%s %q belongs to something else", place(e.File, 0), e.Kind, e.Name)
	if len(e.Contexts) > 0 {
		quoted := make([]string, len(e.Contexts))
		for i, c := range e.Contexts {
			quoted[i] = fmt.Sprintf("%q", c)
		}
		msg += ", used by context " + strings.Join(quoted, ", ")
	}
	return msg
}

// OptionError says that a value cannot go into a kubeconfig.
type OptionError struct {
	Option string
	Reason string
}

func (e *OptionError) Error() string { return e.Option + " " + e.Reason }

// MissingError says that no file has what was named.
type MissingError struct {
	Kind string // context, user of context, or kubeconfig
	Name string
}

func (e *MissingError) Error() string { return fmt.Sprintf("there is no %s %q", e.Kind, e.Name) }

// ChangeError says which change of a batch cannot be made. Without it the others
// might be.
type ChangeError struct {
	Index int // its place in Batch.Changes, from 0
	Err   error
}

// Error says what Err does: the index means nothing to a person.
func (e *ChangeError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *ChangeError) Unwrap() error { return e.Err }

// PartialError says that of several files some had been written when writing
// another failed.
type PartialError struct {
	Written []string
	Err     error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%v (already written: %s)", e.Err, strings.Join(e.Written, ", "))
}

// Unwrap returns Err.
func (e *PartialError) Unwrap() error { return e.Err }

// verifyError is a bug of ours, found before anything was written.
type verifyError struct {
	file   string
	reason string
}

func (e *verifyError) Error() string {
	return fmt.Sprintf("%snothing written: internal error: the edited file %s", place(e.file, 0), e.reason)
}

func place(file string, line int) string {
	if file == "" {
		file = "kubeconfig"
	}
	if line > 0 {
		return fmt.Sprintf("%s:%d: ", file, line)
	}
	return file + ": "
}
