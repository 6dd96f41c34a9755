// Package demo shows, on a sandbox of its own, how an IAM identity becomes a
// Kubernetes user, and how others do not. It is a test as much as a show: it
// fails unless each step gives exactly what it should.
package demo

import (
	"fmt"
	"io"
	"strings"
)

// width is where prose is broken.
const width = 88

// page writes the transcript.
type page struct {
	out    io.Writer
	colour bool
	steps  int
}

// Colours that both dark and light terminals show well.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (p *page) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// step begins a numbered step.
func (p *page) step(title string) {
	p.steps++
	text := fmt.Sprintf("%d. %s", p.steps, title)
	fmt.Fprintf(p.out, "\n%s\n%s\n", p.paint(bold, text), p.paint(dim, strings.Repeat("-", len(text))))
}

// say writes prose.
func (p *page) say(text string) {
	fmt.Fprintln(p.out)
	for _, line := range wrap(text, width-3) {
		fmt.Fprintln(p.out, "   "+line)
	}
}

// hops writes what each hop of a request did.
func (p *page) hops(hops ...string) {
	fmt.Fprintln(p.out)
	for _, hop := range hops {
		name, did, _ := strings.Cut(hop, ": ")
		for i, line := range wrap(did, width-21) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(p.out, "   %s %s\n", p.paint(cyan, fmt.Sprintf("%-16s", name)), line)
		}
	}
}

// command shows a command as typed.
func (p *page) command(typed string) {
	fmt.Fprintf(p.out, "\n   %s %s\n", p.paint(dim, "$"), p.paint(bold, typed))
}

// result shows what a command wrote.
func (p *page) result(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(p.out, "   | "+strings.TrimRight(line, "\r\n"))
	}
}

// ok says what was checked.
func (p *page) ok(what string) { fmt.Fprintf(p.out, "   %s %s\n", p.paint(green, "ok:"), what) }

func (p *page) wrong(what string) {
	fmt.Fprintf(p.out, "   %s %s\n", p.paint(red, "not as it should be:"), what)
}

// wrap breaks text at spaces into lines of at most n characters, where words
// are not longer.
func wrap(text string, n int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > n {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
