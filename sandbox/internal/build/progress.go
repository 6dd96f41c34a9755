package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress shows what is being compiled and for how long. On a terminal it rewrites one
// line; otherwise it writes a line from time to time. Out is required; the zero values
// of the other fields work.
type Progress struct {
	Out io.Writer
	// Terminal says that Out is one.
	Terminal bool
	// Every is the time between two plain lines; zero means ten seconds.
	Every time.Duration
	// Quiet is how long a task may take without a word; zero means two seconds.
	Quiet time.Duration
}

// Line writes one line.
func (p *Progress) Line(text string) { fmt.Fprintln(p.Out, text) }

// Task is one long operation. Its methods may be called from several goroutines;
// nothing is written after End.
type Task struct {
	p       *Progress
	what    string
	begun   time.Time
	stop    chan struct{}
	stopped chan struct{}

	mu     sync.Mutex
	detail string
	spoke  bool
}

// Begin starts showing a task. Every task must be ended.
func (p *Progress) Begin(what string) *Task {
	t := &Task{p: p, what: what, begun: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go t.tell()
	return t
}

// Say sets the current step.
func (t *Task) Say(detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detail = detail
}

// End ends a task. A short task is never shown.
func (t *Task) End(err error) {
	close(t.stop)
	<-t.stopped
	if !t.spoke {
		return
	}
	how := "done: "
	switch {
	case errors.Is(err, context.Canceled):
		how = "stopped: "
	case err != nil:
		how = "failed: "
	}
	t.write(fmt.Sprintf("%s%s (%s)", how, t.what, t.elapsed()))
	if t.p.Terminal {
		fmt.Fprintln(t.p.Out)
	}
}

func (t *Task) tell() {
	defer close(t.stopped)
	every, quiet := t.p.Every, t.p.Quiet
	if every == 0 {
		every = 10 * time.Second
	}
	if t.p.Terminal {
		every = min(every, 200*time.Millisecond)
	}
	if quiet == 0 {
		quiet = 2 * time.Second
	}
	for wait := quiet; ; wait = every {
		select {
		case <-t.stop:
			return
		case <-time.After(wait):
		}
		t.mu.Lock()
		detail := t.detail
		t.mu.Unlock()
		line := fmt.Sprintf("%s, %s", t.what, t.elapsed())
		if detail != "" {
			line += ": " + detail
		}
		t.write(line)
		t.spoke = true
	}
}

func (t *Task) elapsed() time.Duration { return time.Since(t.begun).Truncate(time.Second) }

const eraseLine = "\r\x1b[2K"

func (t *Task) write(line string) {
	if !t.p.Terminal {
		fmt.Fprintln(t.p.Out, line)
		return
	}
	const width = 110 // a line that wraps cannot be rewritten
	if r := []rune(line); len(r) > width {
		line = string(r[:width-1]) + "…"
	}
	fmt.Fprint(t.p.Out, eraseLine+line)
}
