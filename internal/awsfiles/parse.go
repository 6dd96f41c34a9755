package awsfiles

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError says which line of a file is not understood, or means two things.
type SyntaxError struct {
	Path string
	// Line counts from 1. It is 0 for what is wrong with the file as a whole.
	Line int
	// Reason quotes nothing of the file.
	Reason string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Path + " " + e.Reason
	}
	return fmt.Sprintf("line %d of %s %s", e.Line, e.Path, e.Reason)
}

// Setting is one key with its value.
type Setting struct {
	Key   string // in lower case
	Value string // as the AWS CLI reads it: comments behind it and quotes are part of it
	// Nested are the settings that stand indented below an empty value, as of s3.
	Nested map[string]string
	File   *File
	Line   int
}

// Section is what stands below one header.
type Section struct {
	// Header is what stands between the brackets.
	Header string
	File   *File
	Line   int

	settings map[string]*Setting
}

// get is a section's setting. A nil section has none.
func (s *Section) get(key string) (Setting, bool) {
	if s == nil || s.settings[key] == nil {
		return Setting{}, false
	}
	return *s.settings[key], true
}

// parser goes over one file. It follows Python's configparser in what a
// continuation is: a line that is indented deeper than its setting.
type parser struct {
	file     *File
	sections []*Section
	byHeader map[string]*Section

	line    int
	section *Section
	setting *Setting // that a continuation belongs to
	indent  int      // of it
	blanks  int      // blank lines since
	nested  map[string]int
}

func parse(f *File) ([]*Section, error) {
	p := &parser{file: f, byHeader: map[string]*Section{}}
	data, err := p.text()
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(data, "\n") {
		p.line++
		if err := p.read(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, err
		}
	}
	return p.sections, nil
}

// text is the file as UTF-8 without a byte order mark.
func (p *parser) text() (string, error) {
	data := bytes.TrimPrefix(p.file.data, []byte("\ufeff"))
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return "", p.whole("is in UTF-16: save it as UTF-8")
		}
	}
	if head := data[:min(len(data), 4)]; bytes.IndexByte(head, 0) >= 0 {
		return "", p.whole("is in UTF-16 or another encoding with zero bytes: save it as UTF-8")
	}
	if !utf8.Valid(data) {
		return "", p.whole("is not in UTF-8: save it as UTF-8")
	}
	return string(data), nil
}

func (p *parser) whole(reason string) error { return &SyntaxError{Path: p.file.Path, Reason: reason} }

func (p *parser) wrong(format string, args ...any) error {
	return &SyntaxError{Path: p.file.Path, Line: p.line, Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) read(line string) error {
	if strings.Contains(line, "\r") { // to Python a line break, to others none
		return p.wrong("has a carriage return in it")
	}
	text := strings.Trim(line, " \t")
	if text == "" {
		p.blanks++
		return nil
	}
	if text[0] == '#' || text[0] == ';' {
		return nil
	}
	if strings.ContainsFunc(line, steers) {
		return p.wrong("has a control character in it")
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	if p.setting != nil && indent > p.indent {
		return p.continued(text)
	}
	p.indent = indent
	if text[0] == '[' {
		return p.header(text)
	}
	key, value, ok := cutSetting(text)
	switch {
	case !ok:
		return p.wrong("is neither a [section] nor a setting (key = value)")
	case key == "":
		return p.wrong("is a setting without a key")
	case strings.ContainsFunc(key, invisible) || edged(value):
		return p.wrong("has an invisible character in it, such as a no-break space")
	case p.section == nil:
		return p.wrong("is a setting above the first [section]")
	}
	return p.add(key, value)
}

// cutSetting splits a line at the first = or :, whichever comes first.
func cutSetting(text string) (key, value string, ok bool) {
	at := strings.IndexAny(text, "=:")
	if at < 0 {
		return "", "", false
	}
	return strings.ToLower(strings.Trim(text[:at], " \t")), strings.Trim(text[at+1:], " \t"), true
}

func (p *parser) add(key, value string) error {
	if before := p.section.settings[key]; before != nil {
		return p.wrong("sets a key again that line %d sets in the same section", before.Line)
	}
	p.setting = &Setting{Key: key, Value: value, File: p.file, Line: p.line}
	p.section.settings[key] = p.setting
	p.blanks, p.nested = 0, map[string]int{}
	return nil
}

// header reads a line that begins with a bracket.
func (p *parser) header(text string) error {
	name, behind, ok := strings.Cut(text[1:], "]")
	behind = strings.Trim(behind, " \t")
	switch {
	case !ok:
		return p.wrong("is a section header without its closing bracket")
	case strings.Trim(name, " \t") == "":
		return p.wrong("is a section header without a name")
	case strings.Contains(behind, "]"): // to the AWS CLI the name goes up to the last one
		return p.wrong("is a section header with a second closing bracket")
	case behind != "" && behind[0] != '#' && behind[0] != ';' && strings.ContainsAny(behind, "=:"):
		return p.wrong("is a section header with a setting behind it: write that on a line of its own")
	case strings.ContainsFunc(name, invisible):
		return p.wrong("has an invisible character in it, such as a no-break space")
	case name == "DEFAULT":
		return p.wrong("is the section DEFAULT, whose settings the AWS CLI gives to every profile: write default in lower case")
	case name != strings.Trim(name, " \t") && !strings.HasPrefix(name, profileWord) && !strings.HasPrefix(name, ssoWord) && !strings.HasPrefix(name, servicesWord):
		return p.wrong("is a section header with blanks beside a bracket, which the AWS CLI takes as part of the name")
	}
	if before := p.byHeader[name]; before != nil {
		return p.wrong("begins a section again that line %d begins", before.Line)
	}
	p.section = &Section{Header: name, File: p.file, Line: p.line, settings: map[string]*Setting{}}
	p.byHeader[name], p.setting = p.section, nil
	p.sections = append(p.sections, p.section)
	return nil
}

// continued reads a line that belongs to the setting above it.
func (p *parser) continued(text string) error {
	s := p.setting
	if text[0] == '[' { // to the AWS CLI it is part of the value, to the SDKs a section
		return p.wrong("is an indented section header below the setting of line %d", s.Line)
	}
	if s.Value != "" {
		s.Value += strings.Repeat("\n", p.blanks+1) + text
		p.blanks = 0
		return nil
	}
	key, value, ok := strings.Cut(text, "=")
	key, value = strings.Trim(key, " \t"), strings.Trim(value, " \t")
	switch {
	case !ok || key == "":
		return p.wrong("is indented below the setting of line %d and is not a setting itself (key = value)", s.Line)
	case strings.ContainsFunc(key, invisible) || edged(value):
		return p.wrong("has an invisible character in it, such as a no-break space")
	case p.nested[key] != 0:
		return p.wrong("sets a key again that line %d sets for the same setting", p.nested[key])
	}
	if s.Nested == nil {
		s.Nested = map[string]string{}
	}
	s.Nested[key], p.nested[key] = value, p.line
	return nil
}

// steers reports whether a character is none that belongs on a line.
func steers(r rune) bool {
	return unicode.IsControl(r) && r != '\t' || r == '\u2028' || r == '\u2029'
}

// invisible reports whether a character looks like a blank, or like nothing, and is
// another: some readers treat it as a blank and others as part of a word.
func invisible(r rune) bool {
	return r > unicode.MaxASCII && (unicode.IsSpace(r) || unicode.Is(unicode.Cf, r))
}

// edged reports whether a value begins or ends with such a character.
func edged(value string) bool { return value != strings.TrimFunc(value, invisible) }
