package yamlsplice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Splice exchanges the bytes from start to end, offsets in the text behind its byte
// order mark.
type Splice struct {
	start, end int
	text       string
}

// splice returns the text with the splices made.
func (d *Document) splice(splices []Splice) ([]byte, error) {
	slices.SortStableFunc(splices, func(a, b Splice) int { return a.start - b.start })
	old := d.src.data
	out := slices.Clone(d.data[:d.bom])
	at := 0
	for _, s := range splices {
		if s.start < at || s.end < s.start || s.end > len(old) {
			return nil, &verifyError{d.name, "would have overlapping edits"}
		}
		out = append(out, old[at:s.start]...)
		out = append(out, s.text...)
		at = s.end
	}
	return append(out, old[at:]...), nil
}

// splices returns what turns the file into what was planned.
func (ed *Edit) splices() ([]Splice, error) {
	d := ed.doc
	var out []Splice
	var missing Fields // top-level keys to be added
	for _, list := range d.schema.Lists {
		for _, e := range ed.old[list] {
			if e.frag.text != e.before && !ed.removed[list][NameOf(d.Items(list)[e.index])] {
				out = append(out, Splice{e.start, e.end, e.frag.text})
			}
		}
		items := make([]any, len(ed.fresh[list]))
		for i, e := range ed.fresh[list] {
			items[i] = e.value
		}
		if len(ed.removed[list]) > 0 {
			cuts, err := ed.cutItems(list, items)
			if err != nil {
				return nil, err
			}
			out = append(out, cuts...)
			if all := d.Items(list); ed.removed[list][NameOf(all[len(all)-1])] {
				continue // they took its place
			}
		}
		if len(items) == 0 {
			continue
		}
		if d.root == nil || Lookup(d.root, list) == nil {
			missing = append(missing, Pair{list, items})
			continue
		}
		more, err := ed.appendItems(list, items)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	for _, t := range ed.tops {
		value := t.Value.(string)
		if value == d.top(t.Key) {
			continue
		}
		s, ok, err := ed.replaceTop(t.Key, value)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s)
		} else {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	s, err := ed.addTop(missing)
	return append(out, s...), err
}

// replaceTop replaces the value of a scalar of the top level. It says false where
// the document has no such key of its own.
func (ed *Edit) replaceTop(key, value string) (Splice, bool, error) {
	d := ed.doc
	if d.root == nil {
		return Splice{}, false, nil
	}
	k, v := Child(d.root, key)
	if v == nil {
		return Splice{}, false, nil
	}
	if d.anchors[v] > 0 {
		return Splice{}, false, ed.notEditable(v, "an anchor of "+key+" is used outside of it, so it cannot be changed alone")
	}
	start := d.src.begin(v)
	end, err := d.src.end(v)
	if err != nil || !d.src.hasColon(k, v) || isExplicitKey(d.src, d.root) {
		return Splice{}, false, ed.notEditable(k, key+" "+errLayout.Error())
	}
	text := ed.style().scalar(value, v.Style)
	if start == end && (start == 0 || d.src.data[start-1] == ':') {
		text = " " + text
	}
	return Splice{start, end, text}, true, nil
}

// appendItems adds items to a list that the file has.
func (ed *Edit) appendItems(list string, items []any) ([]Splice, error) {
	d, st, s := ed.doc, ed.style(), ed.doc.src
	seq, err := ed.ownList(list)
	if err != nil {
		return nil, err
	}
	k, _ := Child(d.root, list)
	fail := func() ([]Splice, error) { return nil, ed.notEditable(seq, list+" "+errLayout.Error()) }
	end, err := s.end(seq)
	if err != nil || !s.hasColon(k, seq) {
		return fail()
	}
	start := s.begin(seq)
	rootFlow := d.root.Style&yaml.FlowStyle != 0
	switch {
	case rootFlow && len(seq.Content) == 0: // null or []
		text := st.flow(items, ed.rootLayout())
		if start == end {
			text = " " + text
		}
		return []Splice{{start, end, text}}, nil
	case len(seq.Content) == 0:
		// "null" or "[]" goes, the list begins on the line behind.
		keyEnd, err := s.end(k)
		if err != nil || isExplicitKey(s, d.root) || !s.restIsBlank(end) ||
			bytes.ContainsAny(s.data[start:end], "#\r\n") {
			return fail()
		}
		if before := s.data[keyEnd:start]; bytes.HasPrefix(before, []byte(":")) && len(bytes.Trim(before[1:], " \t")) == 0 {
			start = keyEnd + 1
		}
		lines := st.blockItems(items, s.column(s.begin(k))+st.seqIndent)
		at := s.lineEnd(end)
		return []Splice{{start, end, ""}, {at, at, s.eol + strings.Join(lines, s.eol)}}, nil
	case seq.Style&yaml.FlowStyle != 0:
		return ed.appendFlow(seq, items)
	}
	if !s.restIsBlank(end) || ed.endsOpen(seq, end) {
		return fail()
	}
	lines := st.blockItems(items, s.column(s.content(seq)))
	at := s.lineEnd(end)
	return []Splice{{at, at, s.eol + strings.Join(lines, s.eol)}}, nil
}

// endsOpen reports whether n ends the file with a block scalar that lacks its
// last line break: a line behind it would give it one.
func (ed *Edit) endsOpen(n *yaml.Node, end int) bool {
	s := ed.doc.src
	if s.lineEnd(end) < len(s.data) {
		return false
	}
	for len(n.Content) > 0 && n.Style&yaml.FlowStyle == 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 && bytes.IndexByte(s.blockHeader(s.content(n)), '-') < 0
}

// rootLayout is that of a top-level value in flow style.
func (ed *Edit) rootLayout() layout {
	s, root := ed.doc.src, ed.doc.root
	l, _ := s.spread(s.begin(root.Content[0]), s.content(root))
	return l
}

// appendFlow adds items to a list in brackets that has some.
func (ed *Edit) appendFlow(seq *yaml.Node, items []any) ([]Splice, error) {
	last := seq.Content[len(seq.Content)-1]
	end, err := ed.doc.src.end(last)
	if err != nil {
		return nil, ed.notEditable(last, "the last entry "+errLayout.Error())
	}
	text, sep := ed.flowItems(seq, items)
	return []Splice{{end, end, sep + text}}, nil
}

// flowItems renders items as the last one of a list in brackets is written, and
// returns what separates them.
func (ed *Edit) flowItems(seq *yaml.Node, items []any) (text, sep string) {
	st, s := ed.style(), ed.doc.src
	last := seq.Content[len(seq.Content)-1]
	sep = ", "
	l, ok := s.spread(s.begin(last), s.content(seq))
	if ok {
		sep = "," + l.line()
		if end, err := s.end(last); err != nil || !bytes.Contains(s.data[s.begin(last):end], []byte("\n")) {
			l = flat // one entry a line
		}
	}
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = st.flow(item, l)
	}
	return strings.Join(parts, sep), sep
}

// hasDocumentMark reports whether a line begins with one of the marks that text
// cannot be put behind, or only with another mark.
func hasDocumentMark(data []byte) bool {
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(line, []byte("...")) || bytes.HasPrefix(line, []byte("%")) {
			return true
		}
	}
	return false
}

// addTop adds top-level keys, and to a file without any those that say what it is.
func (ed *Edit) addTop(missing Fields) ([]Splice, error) {
	d, st, s := ed.doc, ed.style(), ed.doc.src
	if d.root == nil || len(d.root.Content) == 0 {
		missing = append(slices.Clone(d.schema.Head), missing...)
	}
	if d.root == nil {
		if hasDocumentMark(s.data) {
			return nil, &NotEditableError{File: d.name, Reason: "has an end of document or a directive and nothing else"}
		}
		text := strings.Join(st.blockFields(missing, 0), s.eol) + s.eol
		at := len(s.data)
		if at > 0 && s.lineStart(at) != at {
			text = s.eol + text
		}
		return []Splice{{at, at, text}}, nil
	}
	if len(d.root.Content) == 0 {
		at := s.content(d.root) + 1
		inner := st.flow(missing, flat)
		return []Splice{{at, at, inner[1 : len(inner)-1]}}, nil
	}
	var out []Splice
	for _, m := range missing {
		at, text, err := pairInsertion(s, d.root, m, st)
		if err == nil && ed.endsOpen(d.root, at) {
			err = errLayout
		}
		if err != nil {
			return nil, ed.notEditable(d.root, fmt.Sprintf("the top level %v", err))
		}
		out = append(out, Splice{at, at, text})
	}
	return out, nil
}
