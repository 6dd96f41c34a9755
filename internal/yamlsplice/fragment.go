package yamlsplice

import (
	"bytes"
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fragment is the text of one entry, edited on its own: each edit parses only
// these few lines, and so the next edit never sees stale positions.
type fragment struct {
	style
	schema *Schema
	indent int    // columns before the text's first line
	text   string // the first line without its indentation, the last without its break
	eol    string

	parsed *source // of text, nil until it is parsed
	node   *yaml.Node
}

var errShape = errors.New("is not built as an entry of its list should be")

func (fr *fragment) parse() (*source, *yaml.Node, error) {
	if fr.parsed != nil {
		return fr.parsed, fr.node, nil
	}
	data := []byte(spaces(fr.indent) + fr.text + fr.eol)
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, nil, errShape // not err, which may have words of the file
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil, errShape
	}
	fr.parsed, fr.node = newSource(data), doc.Content[0]
	return fr.parsed, fr.node, nil
}

// store takes the edited text back.
func (fr *fragment) store(data []byte) error {
	text, ok := strings.CutPrefix(string(data), spaces(fr.indent))
	if !ok || !strings.HasSuffix(text, fr.eol) {
		return errLayout
	}
	fr.text, fr.parsed = strings.TrimSuffix(text, fr.eol), nil
	return nil
}

func (fr *fragment) splice(s *source, start, end int, text string) error {
	if start > end {
		return errLayout
	}
	return fr.store(bytes.Join([][]byte{s.data[:start], []byte(text), s.data[end:]}, nil))
}

// errComment says that there is no place for a comment among new arguments.
var errComment = errors.New("has a comment inside a list that would be lost")

// change makes one setting.
func (fr *fragment) change(st Setting) error {
	if st.Value == nil {
		return fr.remove(st.Path)
	}
	if !st.KeepComments {
		return fr.set(st.Path, st.Value)
	}
	comments, err := fr.comments(st.Path)
	if err == nil {
		err = fr.set(st.Path, st.Value)
	}
	if err == nil {
		err = fr.putComments(st.Path, comments)
	}
	return err
}

// at returns the nodes at a path of mappings' own keys, nil where there are none.
func (fr *fragment) at(path []string) (s *source, k, v *yaml.Node, err error) {
	s, v, err = fr.parse()
	if err != nil {
		return nil, nil, nil, err
	}
	for _, key := range path {
		if v.Kind != yaml.MappingNode {
			return s, nil, nil, nil
		}
		if k, v = Child(v, key); v == nil {
			return s, nil, nil, nil
		}
	}
	return s, k, v, nil
}

// comments returns those between the items of the list at path, and refuses others
// inside of what is there.
func (fr *fragment) comments(path []string) ([]string, error) {
	s, k, list, err := fr.at(path)
	if err != nil || list == nil {
		return nil, err
	}
	at, err := s.end(k)
	if err != nil {
		return nil, err
	}
	var comments []string
	collect := func(end int) {
		for i := at; i < end; i++ {
			if s.data[i] == '#' && isSpace(s.data[i-1]) {
				stop := s.lineEnd(i)
				comments = append(comments, string(s.data[i:stop]))
				i = stop
			}
		}
	}
	inBlock := list.Kind == yaml.SequenceNode && list.Style&yaml.FlowStyle == 0
	if inBlock {
		for _, item := range list.Content {
			collect(s.begin(item))
			if at, err = s.end(item); err != nil {
				return nil, err
			}
		}
		return comments, nil
	}
	end, err := s.end(list)
	if collect(end); err == nil && len(comments) > 0 {
		err = errComment
	}
	return nil, err
}

// putComments puts comments before the items of the list at path, a line each.
func (fr *fragment) putComments(path, comments []string) error {
	if len(comments) == 0 {
		return nil
	}
	s, _, list, err := fr.at(path)
	if err != nil {
		return err
	}
	if list == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 {
		return errComment
	}
	begin := s.begin(list)
	start := s.lineStart(begin)
	lead := string(s.data[start:begin])
	if strings.Trim(lead, " ") != "" {
		return errComment
	}
	var text strings.Builder
	for _, c := range comments {
		text.WriteString(lead + c + s.eol)
	}
	return fr.splice(s, start, start, text.String())
}

// set gives the value at path, as in user, exec, args; mappings on the way are
// made where they are missing. It changes no byte where the value is there.
func (fr *fragment) set(path []string, v any) error {
	s, m, err := fr.parse()
	if err != nil {
		return err
	}
	for len(path) > 1 {
		next := Step(m, path[0])
		if next == nil || IsNull(next) || len(next.Content) == 0 && next.Kind == yaml.MappingNode {
			break
		}
		m, path = next, path[1:]
	}
	if m.Kind != yaml.MappingNode {
		return errShape
	}
	v = fr.schema.wrap(path, v)
	k, old := Child(m, path[0])
	switch {
	case old == nil:
		return fr.add(s, m, Pair{path[0], v})
	case holds(old, v):
		return nil
	}
	return fr.replace(s, m, k, old, v)
}

// add puts a Pair behind the last one of m.
func (fr *fragment) add(s *source, m *yaml.Node, p Pair) error {
	at, text, err := pairInsertion(s, m, p, fr.style)
	if err != nil {
		return err
	}
	return fr.splice(s, at, at, text)
}

// pairInsertion returns the text that adds a Pair behind the last one of m, and
// where it goes.
func pairInsertion(s *source, m *yaml.Node, p Pair, st style) (at int, text string, err error) {
	if m.Style&yaml.FlowStyle != 0 {
		if len(m.Content) == 0 {
			return s.content(m) + 1, st.flowPair(p, flat), nil
		}
		at, err = s.end(m.Content[len(m.Content)-1])
		if err != nil {
			return 0, "", err
		}
		first := s.begin(m.Content[len(m.Content)-2])
		if l, ok := s.spread(first, s.content(m)); ok {
			return at, "," + l.line() + st.flowPair(p, l), nil
		}
		return at, ", " + st.flowPair(p, flat), nil
	}
	if len(m.Content) == 0 || isExplicitKey(s, m) {
		return 0, "", errLayout
	}
	end, err := s.end(m)
	if err != nil {
		return 0, "", err
	}
	if !s.restIsBlank(end) {
		return 0, "", errLayout
	}
	indent := s.column(s.content(m))
	lines := st.blockPair(p, indent)
	return s.lineEnd(end), s.eol + strings.Join(lines, s.eol), nil
}

// isExplicitKey reports whether a key of a block mapping is written "? key".
func isExplicitKey(s *source, m *yaml.Node) bool {
	if m.Style&yaml.FlowStyle != 0 {
		return false
	}
	column := s.column(s.content(m))
	for n := 0; n < len(m.Content); n += 2 {
		i := s.begin(m.Content[n]) - 1
		for i > 0 && isSpace(s.data[i]) {
			i--
		}
		if i >= 0 && s.data[i] == '?' && isSpace(s.data[i+1]) && s.column(i) == column {
			return true
		}
	}
	return false
}

// column returns how many characters precede offset i in its line.
func (s *source) column(i int) int {
	return len([]rune(string(s.data[s.lineStart(i):i])))
}

// spread returns the layout of a flow collection that gives each element its
// own line: one that begins at opener and has an element at first.
func (s *source) spread(first, opener int) (layout, bool) {
	start := s.lineStart(first)
	lead := s.data[start:first]
	if len(bytes.TrimLeft(lead, " ")) > 0 || start <= opener {
		return flat, false
	}
	outer := s.data[s.lineStart(opener):opener]
	unit := len(lead) - (len(outer) - len(bytes.TrimLeft(outer, " ")))
	if unit < 1 || unit > 8 {
		unit = 2
	}
	return layout{eol: s.eol, indent: len(lead), unit: unit}, true
}

// replace exchanges the value of a key of m.
func (fr *fragment) replace(s *source, m, k, old *yaml.Node, v any) error {
	start := s.begin(old)
	end, err := s.end(old)
	if err != nil {
		return err
	}
	if !s.hasColon(k, old) {
		return errLayout
	}
	_, isList := v.([]any)
	_, isMap := v.(Fields)
	inFlow := m.Style&yaml.FlowStyle != 0
	switch {
	case inFlow || isList && old.Kind == yaml.SequenceNode && old.Style&yaml.FlowStyle != 0:
		l := flat
		if len(old.Content) > 0 {
			if in, ok := s.spread(s.begin(old.Content[0]), s.content(old)); ok {
				l = in
				l.indent -= l.unit
			}
		}
		text := fr.flow(v, l)
		if _, ok := v.(string); ok {
			text = fr.scalar(v, old.Style)
		}
		if start == end && start > 0 && !isSpace(s.data[start-1]) {
			text = " " + text
		}
		return fr.splice(s, start, end, text)
	case isList || isMap:
		// Block style begins on the line behind the key.
		keyEnd, err := s.end(k)
		if err != nil {
			return err
		}
		colon := s.skip(keyEnd, "")
		if isExplicitKey(s, m) || colon >= len(s.data) || s.data[colon] != ':' || !s.restIsBlank(end) {
			return errLayout
		}
		indent := s.column(s.content(m))
		if old.Kind == yaml.SequenceNode {
			indent = s.column(s.content(old)) - fr.seqIndent
		}
		lines := fr.blockPair(Pair{k.Value, v}, indent)
		if len(lines) == 1 { // empty
			return fr.splice(s, colon+1, end, lines[0][strings.LastIndexByte(lines[0], ' '):])
		}
		return fr.splice(s, colon+1, end, s.eol+strings.Join(lines[1:], s.eol))
	}
	if old.Kind != yaml.ScalarNode && old.Kind != yaml.AliasNode {
		return errShape
	}
	text := fr.scalar(v, old.Style)
	if start == end {
		text = " " + text
	}
	return fr.splice(s, start, end, text)
}

// remove deletes the Pair at path, where there is one.
func (fr *fragment) remove(path []string) error {
	s, m, err := fr.parse()
	if err != nil {
		return err
	}
	for ; len(path) > 1; path = path[1:] {
		_, next := Child(m, path[0])
		if next == nil || next.Kind != yaml.MappingNode {
			return nil
		}
		m = next
	}
	i := 0
	for ; i < len(m.Content); i += 2 {
		if m.Content[i].Value == path[0] {
			break
		}
	}
	if i >= len(m.Content) {
		return nil
	}
	if len(m.Content) == 2 || isExplicitKey(s, m) {
		return errLayout // nothing would be left to show the mapping's place
	}
	start := s.begin(m.Content[i])
	end, err := s.end(m.Content[i+1])
	if err != nil {
		return err
	}
	last := i+2 == len(m.Content)
	switch {
	case m.Style&yaml.FlowStyle != 0 && last:
		if start, err = s.end(m.Content[i-1]); err != nil {
			return err
		}
	case m.Style&yaml.FlowStyle != 0:
		end = s.begin(m.Content[i+2])
	case len(bytes.TrimLeft(s.data[s.lineStart(start):start], " ")) > 0:
		if last || !s.restIsBlank(end) {
			return errLayout
		}
		end = s.begin(m.Content[i+2]) // the Pair stands behind a dash
	case last:
		start, end = s.lineStart(start), s.lineEnd(end)
		if start == 0 {
			return errLayout
		}
		start = s.lineEnd(start - 1)
		if start > 0 && s.data[start] == '\n' && s.data[start-1] == '\r' {
			start--
		}
	default:
		start, end = s.lineStart(start), s.lineEnd(end)
		end += breakLen(s.data[end:])
	}
	return fr.splice(s, start, end, "")
}
