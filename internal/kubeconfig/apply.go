package kubeconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// splice exchanges the bytes from start to end, offsets in the source's data.
type splice struct {
	start, end int
	text       string
}

// Apply makes changes to the file in memory. Bytes outside the entries touched
// stay as they are, and where an entry already is as wanted it is not touched.
// On an error the file is as it was.
//
// A user entry is never altered where a context other than the change's own
// would act as somebody else afterwards, nor where it holds credentials that
// would be lost: the change's user then gets another name, which the result
// tells, or with UserChosen the change is refused with a *ConflictError. Other
// errors are *NotEditableError and *OptionError.
func (f *File) Apply(changes ...Change) ([]Result, error) {
	p := newPlan(f)
	results := make([]Result, 0, len(changes))
	for _, c := range changes {
		r, err := p.add(c)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	if _, err := f.commit(p); err != nil {
		return nil, err
	}
	return results, nil
}

// commit makes what was planned of the file so, and gives the splices; none where
// it is so already. On an error the file is as before.
func (f *File) commit(p *plan) ([]splice, error) {
	splices, err := p.splices()
	if err != nil || len(splices) == 0 {
		return nil, err
	}
	data, err := f.splice(splices)
	if err != nil {
		return nil, err
	}
	g, err := Parse(f.name, data)
	if err != nil {
		return nil, &verifyError{f.name, "is not valid: " + err.Error()}
	}
	if err := verify(f, g, p); err != nil {
		return nil, err
	}
	*f = *g
	return splices, nil
}

// splice returns the file with the splices made.
func (f *File) splice(splices []splice) ([]byte, error) {
	slices.SortStableFunc(splices, func(a, b splice) int { return a.start - b.start })
	old := f.src.data
	out := slices.Clone(f.data[:f.bom])
	at := 0
	for _, s := range splices {
		if s.start < at || s.end < s.start || s.end > len(old) {
			return nil, &verifyError{f.name, "would have overlapping edits"}
		}
		out = append(out, old[at:s.start]...)
		out = append(out, s.text...)
		at = s.end
	}
	return append(out, old[at:]...), nil
}

// splices returns what turns the file into what was planned.
func (p *plan) splices() ([]splice, error) {
	f := p.file
	var out []splice
	var missing fields // top-level keys to be added
	for _, list := range []string{clusterList, contextList, userList} {
		for _, e := range p.old[list] {
			if e.frag.text != e.before && !p.removed[list][p.file.lists[list][e.index].name] {
				out = append(out, splice{e.start, e.end, e.frag.text})
			}
		}
		items := make([]any, len(p.fresh[list]))
		for i, e := range p.fresh[list] {
			items[i] = e.value
		}
		if len(p.removed[list]) > 0 {
			cuts, err := p.cutItems(list, items)
			if err != nil {
				return nil, err
			}
			out = append(out, cuts...)
			if all := f.lists[list]; p.removed[list][all[len(all)-1].name] {
				continue // they took its place
			}
		}
		if len(items) == 0 {
			continue
		}
		if f.root == nil || lookup(f.root, list) == nil {
			missing = append(missing, pair{list, items})
			continue
		}
		more, err := p.appendItems(list, items)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if p.current != f.current {
		s, ok, err := p.setCurrent()
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s)
		} else {
			missing = append(missing, pair{"current-context", p.current})
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	s, err := p.addTop(missing)
	return append(out, s...), err
}

// setCurrent replaces the value of current-context. It says false where the
// file has no such key of its own.
func (p *plan) setCurrent() (splice, bool, error) {
	f := p.file
	if f.root == nil {
		return splice{}, false, nil
	}
	k, v := child(f.root, "current-context")
	if v == nil {
		return splice{}, false, nil
	}
	if f.anchors[v] > 0 {
		return splice{}, false, p.notEditable(v, "an anchor of current-context is used elsewhere, so it cannot be changed alone")
	}
	start := f.src.begin(v)
	end, err := f.src.end(v)
	if err != nil || !f.src.hasColon(k, v) || isExplicitKey(f.src, f.root) {
		return splice{}, false, p.notEditable(k, "current-context "+errLayout.Error())
	}
	text := p.style().scalar(p.current, v.Style)
	if start == end && (start == 0 || f.src.data[start-1] == ':') {
		text = " " + text
	}
	return splice{start, end, text}, true, nil
}

// appendItems adds items to a list that the file has.
func (p *plan) appendItems(list string, items []any) ([]splice, error) {
	f, st, s := p.file, p.style(), p.file.src
	seq, err := p.ownList(list)
	if err != nil {
		return nil, err
	}
	k, _ := child(f.root, list)
	fail := func() ([]splice, error) { return nil, p.notEditable(seq, list+" "+errLayout.Error()) }
	end, err := s.end(seq)
	if err != nil || !s.hasColon(k, seq) {
		return fail()
	}
	start := s.begin(seq)
	rootFlow := f.root.Style&yaml.FlowStyle != 0
	switch {
	case rootFlow && len(seq.Content) == 0: // null or []
		text := st.flow(items, p.rootLayout())
		if start == end {
			text = " " + text
		}
		return []splice{{start, end, text}}, nil
	case len(seq.Content) == 0:
		// "null" or "[]" goes, the list begins on the line behind.
		keyEnd, err := s.end(k)
		if err != nil || isExplicitKey(s, f.root) || !s.restIsBlank(end) ||
			bytes.ContainsAny(s.data[start:end], "#\r\n") {
			return fail()
		}
		if before := s.data[keyEnd:start]; bytes.HasPrefix(before, []byte(":")) && len(bytes.Trim(before[1:], " \t")) == 0 {
			start = keyEnd + 1
		}
		lines := st.blockItems(items, s.column(s.begin(k))+st.seqIndent)
		at := s.lineEnd(end)
		return []splice{{start, end, ""}, {at, at, s.eol + strings.Join(lines, s.eol)}}, nil
	case seq.Style&yaml.FlowStyle != 0:
		return p.appendFlow(seq, items)
	}
	if !s.restIsBlank(end) || p.endsOpen(seq, end) {
		return fail()
	}
	lines := st.blockItems(items, s.column(s.content(seq)))
	at := s.lineEnd(end)
	return []splice{{at, at, s.eol + strings.Join(lines, s.eol)}}, nil
}

// endsOpen reports whether n ends the file with a block scalar that lacks its
// last line break: a line behind it would give it one.
func (p *plan) endsOpen(n *yaml.Node, end int) bool {
	s := p.file.src
	if s.lineEnd(end) < len(s.data) {
		return false
	}
	for len(n.Content) > 0 && n.Style&yaml.FlowStyle == 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 && bytes.IndexByte(s.blockHeader(s.content(n)), '-') < 0
}

// rootLayout is that of a top-level value in flow style.
func (p *plan) rootLayout() layout {
	s, root := p.file.src, p.file.root
	l, _ := s.spread(s.begin(root.Content[0]), s.content(root))
	return l
}

// appendFlow adds items to a list in brackets that has some.
func (p *plan) appendFlow(seq *yaml.Node, items []any) ([]splice, error) {
	last := seq.Content[len(seq.Content)-1]
	end, err := p.file.src.end(last)
	if err != nil {
		return nil, p.notEditable(last, "the last entry "+errLayout.Error())
	}
	text, sep := p.flowItems(seq, items)
	return []splice{{end, end, sep + text}}, nil
}

// flowItems renders items as the last one of a list in brackets is written, and
// returns what separates them.
func (p *plan) flowItems(seq *yaml.Node, items []any) (text, sep string) {
	st, s := p.style(), p.file.src
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
func (p *plan) addTop(missing fields) ([]splice, error) {
	f, st, s := p.file, p.style(), p.file.src
	if f.root == nil || len(f.root.Content) == 0 {
		missing = append(fields{{"apiVersion", "v1"}, {"kind", "Config"}}, missing...)
	}
	if f.root == nil {
		if hasDocumentMark(s.data) {
			return nil, &NotEditableError{File: f.name, Reason: "has an end of document or a directive and nothing else"}
		}
		text := strings.Join(st.blockFields(missing, 0), s.eol) + s.eol
		at := len(s.data)
		if at > 0 && s.lineStart(at) != at {
			text = s.eol + text
		}
		return []splice{{at, at, text}}, nil
	}
	if len(f.root.Content) == 0 {
		at := s.content(f.root) + 1
		inner := st.flow(missing, flat)
		return []splice{{at, at, inner[1 : len(inner)-1]}}, nil
	}
	var out []splice
	for _, m := range missing {
		at, text, err := pairInsertion(s, f.root, m, st)
		if err == nil && p.endsOpen(f.root, at) {
			err = errLayout
		}
		if err != nil {
			return nil, p.notEditable(f.root, fmt.Sprintf("the top level %v", err))
		}
		out = append(out, splice{at, at, text})
	}
	return out, nil
}
