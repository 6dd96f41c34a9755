package yamlsplice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Redacted stands for what a diff does not show.
const Redacted = "REDACTED"

// Span is a range of offsets in the text behind its byte order mark.
type Span struct{ start, end int }

// Spans returns where a scalar stands that may be shown, none unless it is plainly
// written in one place: an anchor may be a secret's. The comment behind the header of
// a block scalar is no part of it.
func (d *Document) Spans(n *yaml.Node) []Span {
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return nil
	}
	var spans []Span
	start := d.src.content(n)
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		spans = append(spans, Span{start, start + len(bytes.TrimRight(d.src.blockHeader(start), " \t"))})
		start = d.src.lineEnd(start)
	}
	if end, err := d.src.end(n); err == nil && start < end {
		spans = append(spans, Span{start, end})
	}
	return spans
}

// block is a run of lines that are exchanged: those from was to wasEnd for those
// from now to nowEnd, counted from 0.
type block struct{ was, wasEnd, now, nowEnd int }

// around is how many lines are shown before and behind a change, as diff -u does.
const around = 3

// Diff returns splices of a document as a unified diff, for a person to read and not
// for patch: all but what is shown of the document before and after, in any order,
// is replaced by [Redacted], and what does not print by a question mark. Its first
// two lines name the file, as /dev/null before if it is yet to be made.
func Diff(name string, isNew bool, before, after *Document, splices []Splice, shownBefore, shownAfter []Span) string {
	oldText, newText := Redact(before, shownBefore), Redact(after, shownAfter)
	var b strings.Builder
	name = printable(name)
	from := name
	if isNew {
		from = "/dev/null"
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", from, name)
	blocks := blocksOf(before.src, after.src, splices)
	for len(blocks) > 0 {
		n := 1
		for n < len(blocks) && blocks[n].was-blocks[n-1].wasEnd <= 2*around {
			n++
		}
		first, last := blocks[0], blocks[n-1]
		lead := min(around, first.was)
		tail := min(around, before.src.count()-last.wasEnd)
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", hunkRange(first.was-lead, last.wasEnd+tail), hunkRange(first.now-lead, last.nowEnd+tail))
		at := first.was - lead
		for _, c := range blocks[:n] {
			writeLines(&b, ' ', before, oldText, at, c.was)
			writeLines(&b, '-', before, oldText, c.was, c.wasEnd)
			writeLines(&b, '+', after, newText, c.now, c.nowEnd)
			at = c.wasEnd
		}
		writeLines(&b, ' ', before, oldText, at, at+tail)
		blocks = blocks[n:]
	}
	return b.String()
}

// hunkRange is the place of lines as POSIX's diff -u writes it.
func hunkRange(start, end int) string {
	switch end - start {
	case 0:
		return fmt.Sprintf("%d,0", start)
	case 1:
		return fmt.Sprint(start + 1)
	}
	return fmt.Sprintf("%d,%d", start+1, end-start)
}

// blocksOf turns splices into lines, of which only those that differ are left.
func blocksOf(before, after *source, splices []Splice) []block {
	var out []block
	shift := 0 // how far what follows has moved
	for i := 0; i < len(splices); {
		b := block{was: before.lineAt(splices[i].start)}
		b.now = after.lineAt(before.offset(b.was) + shift)
		for more := true; more; {
			s := splices[i]
			b.wasEnd = min(before.lineAt(s.end)+1, before.count())
			shift += len(s.text) - (s.end - s.start)
			i++
			more = i < len(splices) && before.lineAt(splices[i].start) < b.wasEnd
		}
		b.nowEnd = after.count()
		if end := before.offset(b.wasEnd) + shift; end < len(after.data) {
			b.nowEnd = after.lineAt(end)
		}
		out = append(out, refine(before, after, b)...)
	}
	return out
}

// maxCells bounds the table of refine. Entries have some 20 lines.
const maxCells = 1 << 20

// refine leaves out of a block the lines that stay, by the longest common
// subsequence of what is left without its equal ends.
func refine(before, after *source, b block) []block {
	same := func(i, j int) bool { return bytes.Equal(before.line(i), after.line(j)) }
	for b.was < b.wasEnd && b.now < b.nowEnd && same(b.was, b.now) {
		b.was, b.now = b.was+1, b.now+1
	}
	for b.was < b.wasEnd && b.now < b.nowEnd && same(b.wasEnd-1, b.nowEnd-1) {
		b.wasEnd, b.nowEnd = b.wasEnd-1, b.nowEnd-1
	}
	n, m := b.wasEnd-b.was, b.nowEnd-b.now
	switch {
	case n == 0 && m == 0:
		return nil
	case n == 0 || m == 0 || n*m > maxCells:
		return []block{b}
	}
	// longest[i][j] is of the old lines from i and the new ones from j.
	longest := make([][]int, n+1)
	for i := range longest {
		longest[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if longest[i][j] = max(longest[i+1][j], longest[i][j+1]); same(b.was+i, b.now+j) {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	var out []block
	for i, j := 0, 0; i < n || j < m; {
		c := block{was: b.was + i, now: b.now + j}
		for i < n || j < m {
			if i < n && j < m && same(b.was+i, b.now+j) {
				break
			}
			if j == m || i < n && longest[i+1][j] >= longest[i][j+1] {
				i++
			} else {
				j++
			}
		}
		c.wasEnd, c.nowEnd = b.was+i, b.now+j
		out = append(out, c)
		for i < n && j < m && same(b.was+i, b.now+j) {
			i, j = i+1, j+1
		}
	}
	return out
}

// printable keeps what a file or its name says from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// redactor renders lines of a source, of which only the spans are shown.
type redactor struct {
	src   *source
	shown []Span // in order
}

// Redact returns all lines of a document, without their breaks, as [Diff] shows them.
func Redact(d *Document, shown []Span) []string {
	shown = slices.Clone(shown)
	slices.SortFunc(shown, func(a, b Span) int { return a.start - b.start })
	r := redactor{d.src, shown}
	lines := make([]string, d.src.count())
	for i := range lines {
		lines[i] = r.line(i)
	}
	return lines
}

// writeLines writes lines of a document, each behind a mark.
func writeLines(b *strings.Builder, mark byte, d *Document, lines []string, start, end int) {
	for i := start; i < end; i++ {
		b.WriteByte(mark)
		b.WriteString(lines[i])
		b.WriteByte('\n')
		if i+1 == len(lines) && len(lines) == len(d.src.lines) {
			b.WriteString("\\ No newline at end of file\n")
		}
	}
}

// line returns a line without its break.
func (r redactor) line(i int) string {
	start := r.src.offset(i)
	end := max(start, min(r.src.lineEnd(start), r.src.offset(i+1)))
	var b strings.Builder
	n, _ := slices.BinarySearchFunc(r.shown, start, func(s Span, at int) int { return s.end - at })
	for at := start; at < end; {
		for n < len(r.shown) && r.shown[n].end <= at {
			n++
		}
		gap := end
		if n < len(r.shown) {
			gap = min(max(r.shown[n].start, at), end)
		}
		b.WriteString(hide(string(r.src.data[at:gap])))
		if at = gap; at < end {
			at = min(r.shown[n].end, end)
			b.Write(r.src.data[gap:at])
		}
	}
	return printable(b.String())
}

// marks are what YAML is built of. A word of them is shown, if it is short, and
// all behind the first word of another kind is not.
const marks = "-:,[]{}"

func hide(gap string) string {
	at := 0
	for at < len(gap) {
		rest := gap[at:]
		word := strings.TrimLeft(rest, " \t")
		if word == "" {
			break
		}
		lead := len(rest) - len(word)
		if end := strings.IndexAny(word, " \t"); end >= 0 {
			word = word[:end]
		}
		if len(word) > 4 || strings.Trim(word, marks) != "" {
			shown := gap[:at+lead]
			if word[0] == '#' {
				shown += "# "
			}
			shown += Redacted
			if strings.HasSuffix(gap, " ") {
				shown += " "
			}
			return shown
		}
		at += lead + len(word)
	}
	return gap
}
