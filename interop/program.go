package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// startWithin is for a JVM among others on two cores.
const startWithin = 3 * time.Minute

// events collects what clients tell.
type events struct {
	mu     sync.Mutex
	all    []event
	listed chan struct{} // closed at the first list
}

func newEvents() *events { return &events{listed: make(chan struct{})} }

func (e *events) add(ev event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := ev.kind == "listed" && !slices.ContainsFunc(e.all, func(old event) bool { return old.kind == "listed" })
	e.all = append(e.all, ev)
	if first {
		close(e.listed)
	}
}

func (e *events) get() []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// program is a client, or a command of ekskey's, that runs until it is stopped.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// start runs a program that hands each line of its standard output to line.
func start(dir, name string, env []string, line func(string), path string, args ...string) (*program, error) {
	log := filepath.Join(dir, name+".log")
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // #nosec G304 -- the runner's own
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	p := &program{cmd: exec.Command(path, args...), ended: make(chan struct{}), log: log} // #nosec G204 -- a client
	p.cmd.Env, p.cmd.Dir, p.cmd.Stderr = env, dir, file
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), file.Close())
	}
	go func() {
		defer close(p.ended)
		for r := bufio.NewReader(out); ; {
			text, err := r.ReadString('\n')
			if text != "" {
				line(text)
			}
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait()
		_ = file.Close()
	}()
	return p, nil
}

func (p *program) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second): // or where there are no interrupts
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// said is the end of what it wrote to standard error, on one line, without the
// places in code that a Java exception ends with.
func (p *program) said() string {
	text, _ := os.ReadFile(p.log)
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return strings.HasPrefix(line, "at ") || strings.HasPrefix(line, "... ") || strings.HasPrefix(line, "SLF4J")
	})
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// watch starts a program whose lines are events.
func (s *session) watch(e *events, name, path string, args ...string) (*program, error) {
	return start(s.dir, name, s.environ, func(line string) {
		if ev, ok := parseEvent(line, time.Now()); ok {
			e.add(ev)
		}
	}, path, args...)
}

// hold keeps the programs running past two ages of a token, cuts their
// connections once in between if told so, and judges what they told.
func (s *session) hold(ctx context.Context, e *events, cut bool, programs ...*program) (string, error) {
	alive := func() error {
		for _, p := range programs {
			select {
			case <-p.ended:
				return fmt.Errorf("%s ended: %s: %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.said())
			default:
			}
		}
		return nil
	}
	wait := func(until <-chan time.Time, other <-chan struct{}) error {
		poll := time.NewTicker(200 * time.Millisecond)
		defer poll.Stop()
		for {
			select {
			case <-until:
				return nil
			case <-other:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			case <-poll.C:
				if err := alive(); err != nil {
					return err
				}
			}
		}
	}
	if err := wait(time.After(startWithin), e.listed); err != nil {
		return "", err
	}
	c := course{began: time.Now()}
	c.expired = c.began.Add(s.age + kept)
	if err := wait(time.After(time.Until(c.expired)), nil); err != nil {
		return "", err
	}
	if cut {
		c.cut = time.Now()
		s.relay.cut()
	}
	if err := wait(time.After(time.Until(c.began.Add(2*(s.age+kept)))), nil); err != nil {
		return "", err
	}
	c.ended, c.ticks = time.Now(), s.made()
	detail, err := judge(c, e.get())
	if err != nil {
		var said []string
		for _, p := range programs {
			if text := p.said(); text != "" {
				said = append(said, text)
			}
		}
		if len(said) > 0 {
			err = fmt.Errorf("%w (it said: %s)", err, strings.Join(said, " | "))
		}
	}
	return detail, err
}

// command runs a program to its end.
func (s *session) command(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...) // #nosec G204 -- a client
	var out, said bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.environ, s.dir, &out, io.MultiWriter(&said)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
