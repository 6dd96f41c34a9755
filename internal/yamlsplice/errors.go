package yamlsplice

import "fmt"

// SyntaxError says that a text is not one YAML (or JSON) document with a mapping at
// its top, or is built to be costly to read. Line is 1-based and 0 where there is
// none.
type SyntaxError struct {
	File   string
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return place(e.File, e.Line) + e.Reason }

// DuplicateKeyError says that a mapping has one key twice. Which of the two
// counts differs from reader to reader, so neither is edited.
type DuplicateKeyError struct {
	File      string
	Key       string // empty unless the schema says that it may be repeated
	Line      int    // of the second
	FirstLine int
}

func (e *DuplicateKeyError) Error() string {
	key := "this key"
	if e.Key != "" {
		key = fmt.Sprintf("key %q", e.Key)
	}
	return fmt.Sprintf("%s%s is already on line %d", place(e.File, e.Line), key, e.FirstLine)
}

// NotEditableError says that a text is valid, but that what is to be changed is
// written in a way that cannot be changed without touching something else: an
// alias, an anchor used elsewhere, a merge key.
type NotEditableError struct {
	File   string
	Line   int
	Reason string
}

func (e *NotEditableError) Error() string { return place(e.File, e.Line) + e.Reason }

// verifyError is a bug of ours, found before anything was written.
type verifyError struct {
	file   string
	reason string
}

func (e *verifyError) Error() string {
	return fmt.Sprintf("%snothing written: internal error: the edited file %s", place(e.file, 0), e.reason)
}

func place(file string, line int) string {
	switch {
	case file == "":
		return ""
	case line > 0:
		return fmt.Sprintf("%s:%d: ", file, line)
	}
	return file + ": "
}
