package yamlsplice

import (
	"bytes"
	"errors"
	"sort"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source finds the bytes of YAML nodes. The YAML library tells where a node
// begins, as line and column, and not where it ends.
type source struct {
	data  []byte
	lines []int // offset of the first byte of each line
	eol   string
}

// errLayout says that a node's bytes could not be told for certain.
var errLayout = errors.New("is written in a way that cannot be edited in place")

func newSource(data []byte) *source {
	s := &source{data: data, lines: make([]int, 1, 2+bytes.Count(data, []byte("\n")))}
	for i := 0; i < len(data); {
		n := 0
		if c := data[i]; c == '\n' || c == '\r' || c >= 0xC2 { // most bytes are none
			n = breakLen(data[i:])
		}
		if n == 0 {
			i++
			continue
		}
		if s.eol == "" && n <= 2 && data[i] <= '\r' {
			s.eol = string(data[i : i+n])
		}
		i += n
		s.lines = append(s.lines, i)
	}
	if s.eol == "" {
		s.eol = "\n"
	}
	return s
}

// breakLen returns the length of the line break that b begins with, or 0. These
// are YAML 1.1's (section 4.2), which the library counts lines by.
func breakLen(b []byte) int {
	switch {
	case len(b) == 0 || b[0] != '\n' && b[0] != '\r' && b[0] != 0xC2 && b[0] != 0xE2:
		return 0
	case b[0] == '\n':
		return 1
	case b[0] == '\r':
		if len(b) > 1 && b[1] == '\n' {
			return 2
		}
		return 1
	case bytes.HasPrefix(b, []byte("\u0085")):
		return 2
	case bytes.HasPrefix(b, []byte("\u2028")), bytes.HasPrefix(b, []byte("\u2029")):
		return 3
	}
	return 0
}

// begin returns where n begins: at its anchor or tag where it has one.
func (s *source) begin(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(s.lines) {
		return len(s.data)
	}
	i := s.lines[n.Line-1]
	for c := 1; c < n.Column && i < len(s.data); c++ {
		_, w := utf8.DecodeRune(s.data[i:])
		i += w
	}
	return i
}

// content returns where n begins behind its anchor and tag.
func (s *source) content(n *yaml.Node) int {
	i := s.begin(n)
	if n.Kind == yaml.MappingNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 {
		return i // an anchor here is its first key's
	}
	for i < len(s.data) && (s.data[i] == '&' || s.data[i] == '!') {
		for i < len(s.data) && !isSpace(s.data[i]) {
			i++
		}
		if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style&^yaml.TaggedStyle == 0 {
			return i
		}
		i = s.skip(i, "")
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skip passes over white space, comments and the bytes in also.
func (s *source) skip(i int, also string) int {
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case isSpace(c), also != "" && bytes.IndexByte([]byte(also), c) >= 0:
			i++
		case c == '#' && (i == 0 || isSpace(s.data[i-1]) || also != ""):
			i = s.lineEnd(i)
		default:
			return i
		}
	}
	return i
}

// lineEnd returns where the line of offset i ends, before its line break.
func (s *source) lineEnd(i int) int {
	next := sort.SearchInts(s.lines, i+1)
	if next == len(s.lines) {
		return len(s.data)
	}
	end := s.lines[next]
	switch {
	case bytes.HasSuffix(s.data[:end], []byte("\r\n")), s.data[end-1] == 0x85:
		end -= 2
	case s.data[end-1] == '\n', s.data[end-1] == '\r':
		end--
	default:
		end -= 3
	}
	return max(end, i)
}

// lineStart returns where the line of offset i begins.
func (s *source) lineStart(i int) int {
	return s.lines[sort.SearchInts(s.lines, i+1)-1]
}

// restIsBlank reports whether only white space and a comment follow i in its line.
func (s *source) restIsBlank(i int) bool {
	rest := s.data[i:s.lineEnd(i)]
	trimmed := bytes.TrimLeft(rest, " \t")
	return len(trimmed) == 0 || trimmed[0] == '#' && len(trimmed) < len(rest)
}

// hasColon reports whether a colon stands between a key and its value: the
// place of a missing value is known only then.
func (s *source) hasColon(k, v *yaml.Node) bool {
	end, err := s.end(k)
	if err != nil {
		return false
	}
	colon := s.skip(end, "")
	return colon < s.begin(v) && s.data[colon] == ':'
}

// end returns where n ends: behind its last byte that is no comment or white
// space.
func (s *source) end(n *yaml.Node) (int, error) {
	i := s.content(n)
	switch n.Kind {
	case yaml.AliasNode:
		return i + 1 + len(n.Value), nil
	case yaml.ScalarNode:
		return s.scalarEnd(n, i)
	}
	var err error
	last := i
	if len(n.Content) > 0 {
		if n.Style&yaml.FlowStyle != 0 {
			// An empty last value may be placed at the token behind it.
			for _, c := range n.Content[max(0, len(n.Content)-2):] {
				if last, err = s.end(c); err != nil {
					return 0, err
				}
			}
		} else if last, err = s.end(n.Content[len(n.Content)-1]); err != nil {
			return 0, err
		}
	}
	if n.Style&yaml.FlowStyle == 0 {
		return last, nil
	}
	closer := byte('}')
	if n.Kind == yaml.SequenceNode {
		closer = ']'
	}
	if len(n.Content) == 0 {
		last++
	}
	last = s.skip(last, ",:?")
	if last >= len(s.data) || s.data[last] != closer {
		return 0, errLayout
	}
	return last + 1, nil
}

func (s *source) scalarEnd(n *yaml.Node, i int) (int, error) {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return s.quotedEnd(i, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return s.quotedEnd(i, '\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s.blockScalarEnd(n, i)
	case n.Value == "":
		return i, nil
	}
	return s.plainEnd(n.Value, i)
}

func (s *source) quotedEnd(i int, quote byte) (int, error) {
	if i >= len(s.data) || s.data[i] != quote {
		return 0, errLayout
	}
	for i++; i < len(s.data); i++ {
		switch {
		case quote == '"' && s.data[i] == '\\':
			i++
		case s.data[i] != quote:
		case quote == '\'' && i+1 < len(s.data) && s.data[i+1] == quote:
			i++
		default:
			return i + 1, nil
		}
	}
	return 0, errLayout
}

// plainEnd walks an unquoted scalar along its value. One line break in the
// source is a space in the value, n breaks are n-1 (YAML 1.1, section 4.2.2).
func (s *source) plainEnd(value string, i int) (int, error) {
	for len(value) > 0 {
		start, breaks := i, 0
		for i < len(s.data) {
			if n := breakLen(s.data[i:]); n > 0 {
				breaks, i = breaks+1, i+n
			} else if s.data[i] == ' ' || s.data[i] == '\t' {
				i++
			} else {
				break
			}
		}
		var want string
		switch {
		case i == len(s.data):
			return 0, errLayout
		case breaks == 0:
			want = string(s.data[start : i+1])
			i++
		case breaks == 1:
			want = " "
		default:
			want = string(bytes.Repeat([]byte("\n"), breaks-1))
		}
		if len(value) < len(want) || value[:len(want)] != want {
			return 0, errLayout
		}
		value = value[len(want):]
	}
	return i, nil
}

// blockScalarEnd returns the end of the last line of a | or > scalar. Blank
// lines behind it belong to it only where it keeps them (+).
func (s *source) blockScalarEnd(n *yaml.Node, i int) (int, error) {
	end := s.lineEnd(i)
	header := s.blockHeader(i)
	keep := bytes.IndexByte(header, '+') >= 0
	indent := -1
	for line := sort.SearchInts(s.lines, i+1); line < len(s.lines) && s.lines[line] < len(s.data); line++ {
		start := s.lines[line]
		stop := s.lineEnd(start)
		text := bytes.TrimLeft(s.data[start:stop], " ")
		if len(text) == 0 {
			if keep {
				end = stop
			}
			continue
		}
		have := stop - start - len(text)
		if indent < 0 {
			indent = have
			if bytes.ContainsAny(header, "123456789") {
				indent -= leadingSpaces(n.Value)
			}
			if len(bytes.TrimLeft([]byte(n.Value), "\n ")) == 0 {
				return end, nil // it has no text of its own
			}
		}
		if have < indent {
			break
		}
		end = stop
	}
	return end, nil
}

// blockHeader returns the indicators of the | or > scalar at i.
func (s *source) blockHeader(i int) []byte {
	header, _, _ := bytes.Cut(s.data[i:s.lineEnd(i)], []byte("#"))
	return header
}

// leadingSpaces counts the spaces before the first text of a block scalar.
func leadingSpaces(value string) int {
	value = string(bytes.TrimLeft([]byte(value), "\n"))
	return len(value) - len(bytes.TrimLeft([]byte(value), " "))
}

// count returns how many lines there are: behind the last line break is none.
func (s *source) count() int {
	if s.lines[len(s.lines)-1] == len(s.data) {
		return len(s.lines) - 1
	}
	return len(s.lines)
}

// offset returns where a line begins, or where the file ends.
func (s *source) offset(line int) int {
	if line >= len(s.lines) {
		return len(s.data)
	}
	return s.lines[line]
}

// line returns a line with its line break.
func (s *source) line(i int) []byte { return s.data[s.offset(i):s.offset(i+1)] }

// lineAt returns the line that offset i is in, counted from 0.
func (s *source) lineAt(i int) int { return sort.SearchInts(s.lines, i+1) - 1 }

// Extent returns where a node stands in the text behind its byte order mark, with its
// anchor and tag, and without white space and comments at its end.
func (d *Document) Extent(n *yaml.Node) (start, end int, err error) {
	end, err = d.src.end(n)
	return d.src.begin(n), end, err
}
