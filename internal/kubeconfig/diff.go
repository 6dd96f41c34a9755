package kubeconfig

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"unicode"
)

// Edit is what a change would do to one file, see [Plan].
type Edit struct {
	Path string
	// Created says that there is no such file yet.
	Created bool

	before, after *File
	splices       []splice // in order, in the source's data of before
	commands      []string // plugins that the changes name
}

func (e Edit) changed() bool { return !bytes.Equal(e.before.data, e.after.data) }

// block is a run of lines that are exchanged: those from was to wasEnd for those
// from now to nowEnd, counted from 0.
type block struct{ was, wasEnd, now, nowEnd int }

// around is how many lines are shown before and behind a change, as diff -u does.
const around = 3

// Diff returns the edit as a unified diff, for a person to read and not for
// patch: what may be a secret, and each comment, is shown as REDACTED, and what
// does not print as a question mark. Its first two lines name the file.
func (e Edit) Diff() string {
	before, after := e.before.src, e.after.src
	oldText := redactor{before, e.before.visible(e.commands)}
	newText := redactor{after, e.after.visible(e.commands)}
	var b strings.Builder
	name := printable(e.Path)
	if e.Created {
		fmt.Fprintf(&b, "--- /dev/null\n+++ %s\n", name)
	} else {
		fmt.Fprintf(&b, "--- %s\n+++ %s\n", name, name)
	}
	blocks := e.blocks()
	for len(blocks) > 0 {
		n := 1
		for n < len(blocks) && blocks[n].was-blocks[n-1].wasEnd <= 2*around {
			n++
		}
		first, last := blocks[0], blocks[n-1]
		lead := min(around, first.was)
		tail := min(around, before.count()-last.wasEnd)
		fmt.Fprintf(&b, "@@ -%s +%s @@\n", hunkRange(first.was-lead, last.wasEnd+tail), hunkRange(first.now-lead, last.nowEnd+tail))
		at := first.was - lead
		for _, c := range blocks[:n] {
			oldText.lines(&b, ' ', at, c.was)
			oldText.lines(&b, '-', c.was, c.wasEnd)
			newText.lines(&b, '+', c.now, c.nowEnd)
			at = c.wasEnd
		}
		oldText.lines(&b, ' ', at, at+tail)
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

// blocks turns the splices into lines, of which only those that differ are left.
func (e Edit) blocks() []block {
	before, after := e.before.src, e.after.src
	var out []block
	shift := 0 // how far what follows has moved
	for i := 0; i < len(e.splices); {
		b := block{was: before.lineAt(e.splices[i].start)}
		b.now = after.lineAt(before.offset(b.was) + shift)
		for more := true; more; {
			s := e.splices[i]
			b.wasEnd = min(before.lineAt(s.end)+1, before.count())
			shift += len(s.text) - (s.end - s.start)
			i++
			more = i < len(e.splices) && before.lineAt(e.splices[i].start) < b.wasEnd
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

// printable keeps what a file or its name says from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// lineAt returns the line that offset i is in, counted from 0.
func (s *source) lineAt(i int) int { return sort.SearchInts(s.lines, i+1) - 1 }
