package yamlsplice

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Fields is a mapping with an order. Its values are strings, bools, []any and Fields.
type Fields []Pair

// Pair is a key of a mapping and its value.
type Pair struct {
	Key   string
	Value any
}

// style is how a piece of a file is written.
type style struct {
	quote     bool // every string in double quotes, as JSON wants
	seqIndent int  // of a list in a mapping: 0 as kubectl writes it, or 2
}

// words are plain scalars that some reader takes for a boolean, a null or a number.
var words = [...]string{"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity", "-inf"}

func isWord(s string) bool {
	return slices.ContainsFunc(words[:], func(word string) bool { return strings.EqualFold(word, s) })
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// plain is what may follow the first letter of a string without quotes.
	plain = letters + "0123456789_./:@~+=-"
)

// isPlainSafe reports whether every YAML reader takes s for the same string
// without quotes, in block and in flow style. It is narrower than YAML's rule:
// nothing here can be a number, a date, an indicator or a comment. It is no
// regular expression, as that would be compiled at each start of the client.
func isPlainSafe(s string) bool {
	bare := strings.TrimLeft(s, "-")
	dashes := len(s) - len(bare)
	if bare == "" || dashes > 2 || isWord(s) || strings.HasSuffix(s, ":") {
		return false
	}
	begins := strings.IndexByte(letters, bare[0]) >= 0 || dashes == 0 && bare[0] == '/'
	return begins && strings.Trim(bare[1:], plain) == ""
}

// scalar renders a string or a boolean. The style of what it replaces is kept
// where it can be: a plain scalar stays plain, a quoted one keeps its quotes.
func (st style) scalar(v any, old yaml.Style) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprint(v)
	}
	switch {
	case st.quote, old&yaml.DoubleQuotedStyle != 0:
		return doubleQuote(s)
	case old&yaml.SingleQuotedStyle != 0 && isSingleSafe(s):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	case isPlainSafe(s):
		return s
	}
	return doubleQuote(s)
}

func isSingleSafe(s string) bool {
	for _, r := range s {
		if mustEscape(r) {
			return false
		}
	}
	return true
}

// mustEscape reports whether r may not stand for itself in a quoted scalar:
// control characters, and what YAML 1.1 takes for a line break or a byte order
// mark.
func mustEscape(r rune) bool {
	return r < ' ' || r >= 0x7F && r <= 0xA0 || r == 0x2028 || r == 0x2029 || r == 0xFEFF || r == 0xFFFE || r == 0xFFFF
}

// doubleQuote returns a string that is the same to YAML and to JSON.
func doubleQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case mustEscape(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// clone copies the mappings, which are altered in place; all else is not.
func (fs Fields) clone() Fields {
	fs = slices.Clone(fs)
	for i, p := range fs {
		if in, ok := p.Value.(Fields); ok {
			fs[i].Value = in.clone()
		}
	}
	return fs
}

func spaces(n int) string { return strings.Repeat(" ", max(n, 0)) }

// blockPair renders "key: value" as lines that are indented by indent.
func (st style) blockPair(p Pair, indent int) []string {
	head := spaces(indent) + st.scalar(p.Key, 0) + ":"
	switch v := p.Value.(type) {
	case Fields:
		if len(v) == 0 {
			return []string{head + " {}"}
		}
		return append([]string{head}, st.blockFields(v, indent+2)...)
	case []any:
		if len(v) == 0 {
			return []string{head + " []"}
		}
		return append([]string{head}, st.blockItems(v, indent+st.seqIndent)...)
	}
	return []string{head + " " + st.scalar(p.Value, 0)}
}

func (st style) blockFields(fs Fields, indent int) []string {
	var lines []string
	for _, p := range fs {
		lines = append(lines, st.blockPair(p, indent)...)
	}
	return lines
}

// blockItems renders list items whose dashes are indented by indent.
func (st style) blockItems(items []any, indent int) []string {
	var lines []string
	for _, item := range items {
		if fs, ok := item.(Fields); ok && len(fs) > 0 {
			sub := st.blockFields(fs, indent+2)
			sub[0] = spaces(indent) + "- " + sub[0][indent+2:]
			lines = append(lines, sub...)
			continue
		}
		lines = append(lines, spaces(indent)+"- "+st.flow(item, flat))
	}
	return lines
}

// layout says how a flow collection is spread over lines.
type layout struct {
	eol    string // empty: all in one line
	indent int    // of the line that the collection begins on
	unit   int
}

var flat = layout{}

func (l layout) deeper() layout {
	l.indent += l.unit
	return l
}

func (l layout) line() string {
	if l.eol == "" {
		return ""
	}
	return l.eol + spaces(l.indent)
}

// flow renders a value in brackets.
func (st style) flow(v any, l layout) string {
	var open, closing string
	var parts []string
	in := l.deeper()
	switch v := v.(type) {
	case Fields:
		open, closing = "{", "}"
		for _, p := range v {
			parts = append(parts, st.flowPair(p, in))
		}
	case []any:
		open, closing = "[", "]"
		for _, item := range v {
			parts = append(parts, st.flow(item, in))
		}
	default:
		return st.scalar(v, 0)
	}
	if len(parts) == 0 {
		return open + closing
	}
	sep := ", "
	if l.eol != "" {
		sep = "," + in.line()
	}
	return open + in.line() + strings.Join(parts, sep) + l.line() + closing
}

func (st style) flowPair(p Pair, l layout) string {
	return st.scalar(p.Key, 0) + ": " + st.flow(p.Value, l)
}

// holds reports whether a node already is the value.
func holds(n *yaml.Node, v any) bool {
	n = Deref(n)
	switch v := v.(type) {
	case string:
		return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == v
	case bool:
		return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && n.Value == fmt.Sprint(v)
	case []any:
		if n.Kind != yaml.SequenceNode || len(n.Content) != len(v) {
			return false
		}
		for i, item := range v {
			if !holds(n.Content[i], item) {
				return false
			}
		}
		return true
	case Fields:
		if n.Kind != yaml.MappingNode || len(n.Content) != 2*len(v) {
			return false
		}
		for _, p := range v {
			if _, c := Child(n, p.Key); c == nil || !holds(c, p.Value) {
				return false
			}
		}
		return true
	}
	return false
}
