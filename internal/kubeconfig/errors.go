package kubeconfig

import (
	"fmt"
	"strings"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// What [yamlsplice] finds.
type (
	SyntaxError       = yamlsplice.SyntaxError
	DuplicateKeyError = yamlsplice.DuplicateKeyError
	NotEditableError  = yamlsplice.NotEditableError
)

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

// PrincipalError says that a change would have a context authenticate as another principal.
type PrincipalError struct {
	File    string
	Context string
	Reason  string // how it authenticates now
}

func (e *PrincipalError) Error() string {
	return fmt.Sprintf("%scontext %q would authenticate as another principal: %s", place(e.File, 0), e.Context, e.Reason)
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

func place(file string, line int) string {
	if file == "" {
		file = "kubeconfig"
	}
	if line > 0 {
		return fmt.Sprintf("%s:%d: ", file, line)
	}
	return file + ": "
}
