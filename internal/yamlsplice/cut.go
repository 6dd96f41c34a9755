package yamlsplice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// separable refuses what the rest of the file has an alias of.
func (ed *Edit) separable(n *yaml.Node) error {
	refs := referencesIn(n)
	for _, a := range refs.anchored {
		if ed.doc.anchors[a] != refs.inside[a] {
			return ed.notEditable(a, "an anchor is used in another item, so its item cannot be removed")
		}
	}
	return nil
}

// cutItems returns what takes the removed entries out of a list. The comments
// between entries stay. Where the last entry goes, the items take its place.
func (ed *Edit) cutItems(list string, items []any) ([]Splice, error) {
	seq, err := ed.ownList(list)
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(seq.Content))
	for i, item := range seq.Content {
		gone[i] = ed.removed[list][NameOf(item)]
	}
	var out []Splice
	if seq.Style&yaml.FlowStyle != 0 {
		out, err = ed.cutFlow(seq, gone, items)
	} else {
		out, err = ed.cutBlock(list, seq, gone, items)
	}
	if err != nil {
		return nil, ed.notEditable(seq, fmt.Sprintf("%s %v", list, err))
	}
	return out, nil
}

// itemLines returns where the lines of an item of a block list begin, with its dash, and
// where they end, with the last one's break.
func (s *source) itemLines(seq, item *yaml.Node) (start, end int, err error) {
	end, err = s.end(item)
	if err != nil || !s.restIsBlank(end) {
		return 0, 0, errLayout
	}
	first := s.content(seq)
	column := s.column(first)
	for line := s.lineAt(s.begin(item)); line >= s.lineAt(first); line-- {
		text := s.line(line)
		rest := bytes.TrimLeft(text, " ")
		if len(text)-len(rest) == column && len(rest) > 0 && rest[0] == '-' && (len(rest) == 1 || isSpace(rest[1]) || breakLen(rest[1:]) > 0) {
			return s.offset(line), s.offset(s.lineAt(end) + 1), nil
		}
	}
	return 0, 0, errLayout
}

func (ed *Edit) cutBlock(list string, seq *yaml.Node, gone []bool, items []any) ([]Splice, error) {
	s := ed.doc.src
	n := len(seq.Content)
	starts, ends := make([]int, n+1), make([]int, n)
	for i, item := range seq.Content {
		var err error
		if starts[i], ends[i], err = s.itemLines(seq, item); err != nil || i > 0 && starts[i] < ends[i-1] {
			return nil, errLayout
		}
	}
	starts[n] = s.lineStart(s.skip(ends[n-1], ""))
	var out []Splice
	kept := -1
	for i := range n {
		if !gone[i] {
			kept = i
			continue
		}
		if kept >= 0 && s.swallows(seq.Content[kept], s.data[ends[i]:max(starts[i+1], ends[i])], s.column(s.content(seq))) {
			return nil, errLayout
		}
		cut := Splice{start: starts[i], end: ends[i]}
		if i == n-1 && len(items) > 0 {
			lines := ed.style().blockItems(items, s.column(s.content(seq)))
			cut.text = strings.Join(lines, s.eol)
			if s.lineStart(ends[i]) == ends[i] {
				cut.text += s.eol
			}
		}
		out = append(out, cut)
	}
	if kept >= 0 || len(items) > 0 {
		return out, nil
	}
	at, err := ed.behindKey(list, seq)
	return append([]Splice{{at, at, " []"}}, out...), err
}

// behindKey returns where the value of a top-level key may begin in the key's line,
// behind the value's anchor or tag if it has one.
func (ed *Edit) behindKey(key string, value *yaml.Node) (int, error) {
	s := ed.doc.src
	k, _ := Child(ed.doc.root, key)
	end, err := s.end(k)
	if err != nil || isExplicitKey(s, ed.doc.root) || !s.hasColon(k, value) {
		return 0, errLayout
	}
	at := s.skip(end, "") + 1
	for i := s.begin(value); i < s.content(value); i = s.skip(at, "") {
		for at = i; at < len(s.data) && !isSpace(s.data[at]); {
			at++
		}
	}
	return at, nil
}

// swallows reports whether the lines of gap, comments and blank ones, would become
// part of the block scalar that n ends with, if nothing stood between them.
func (s *source) swallows(n *yaml.Node, gap []byte, column int) bool {
	for n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		return false
	}
	keep := bytes.IndexByte(s.blockHeader(s.content(n)), '+') >= 0
	for len(gap) > 0 {
		lead := len(gap) - len(bytes.TrimLeft(gap, " "))
		rest := gap[lead:]
		width := breakLen(rest)
		if keep && (width > 0 || len(rest) == 0) || lead > column || len(rest) > 0 && width == 0 && rest[0] != '#' {
			return true
		}
		next := bytes.IndexByte(rest, '\n')
		if next < 0 {
			return false
		}
		gap = rest[next+1:]
	}
	return false
}

func (ed *Edit) cutFlow(seq *yaml.Node, gone []bool, items []any) ([]Splice, error) {
	s := ed.doc.src
	n := len(seq.Content)
	type place struct {
		start, end int
		comma      int // -1 where the last has none
	}
	at := make([]place, n)
	for i, item := range seq.Content {
		end, err := s.end(item)
		if err != nil {
			return nil, err
		}
		comma := s.skip(end, "")
		if comma >= len(s.data) || s.data[comma] != ',' {
			if comma = -1; i < n-1 {
				return nil, errLayout
			}
		}
		at[i] = place{s.begin(item), end, comma}
	}
	var out []Splice
	kept := -1
	for i := range n {
		if !gone[i] {
			kept = i
		}
	}
	if gone[n-1] && len(items) > 0 {
		text, _ := ed.flowItems(seq, items)
		out = append(out, Splice{at[n-1].start, at[n-1].end, text})
		gone, kept = slices.Clone(gone), n-1
		gone[n-1] = false
	}
	if kept < 0 {
		end, err := s.end(seq)
		if err != nil {
			return nil, err
		}
		start := s.content(seq) + 1
		if between := s.data[start:at[0].start]; bytes.IndexByte(between, '#') < 0 {
			at[0].start = start
		}
		if bytes.IndexByte(s.data[at[n-1].end:end-1], '#') < 0 {
			at[n-1].end, at[n-1].comma = end-1, -1
		}
	}
	for i := range n {
		if !gone[i] {
			continue
		}
		switch comma := at[i].comma; {
		case comma >= 0 && i < n-1 && i < kept || kept < 0 && i < n-1:
			// With the comma behind it, up to the next.
			if bytes.IndexByte(s.data[at[i].end:at[i+1].start], '#') < 0 {
				out = append(out, Splice{at[i].start, at[i+1].start, ""})
			} else {
				out = append(out, Splice{at[i].start, at[i].end, ""}, Splice{comma, comma + 1, ""})
			}
		case kept < 0:
			out = append(out, Splice{at[i].start, at[i].end, ""})
			if comma >= 0 {
				out = append(out, Splice{comma, comma + 1, ""})
			}
		default:
			// With the comma before it; one behind the last stays.
			before := at[i-1]
			if bytes.IndexByte(s.data[before.end:at[i].start], '#') < 0 {
				out = append(out, Splice{before.end, at[i].end, ""})
			} else {
				out = append(out, Splice{before.comma, before.comma + 1, ""}, Splice{at[i].start, at[i].end, ""})
			}
		}
	}
	return out, nil
}
