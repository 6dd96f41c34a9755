// Package process runs programs that must not outlive whoever started them.
//
// Each program runs under a guard: this same binary, started as `guard`, in a
// process group of its own so that a Ctrl-C on the terminal reaches the
// supervisor alone. The guard holds the reading end of a pipe as its standard
// input. When the supervisor stops, or dies by whatever signal, the pipe ends
// and the guard ends its program. That works on every system; on Linux the
// kernel also ends the program should the guard itself be killed.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// GuardCommand is the word after which a binary that uses this package hands
// its arguments to [Guard].
const GuardCommand = "guard"

// Spec says what to run. Name, Path and one of Log and Output are required.
type Spec struct {
	// Name is how messages call the program.
	Name string
	Path string
	Args []string
	// Env is the whole environment; nil means this process's own.
	Env []string
	// Dir is where it runs; empty means this process's own directory.
	Dir string
	// Log is a file that gets what the program writes, appended.
	Log string
	// Output gets it instead, where Log is empty.
	Output io.Writer
	// PIDFile is a file that holds the program's process id while it runs.
	// Empty means none.
	PIDFile string
	// Grace is how long the program may take to end before it is killed.
	Grace time.Duration
}

// Child is a running program. Make one with [Start]. Its methods may be called
// from several goroutines.
type Child struct {
	spec Spec
	pipe io.Closer
	done chan struct{}
	err  error
}

// Start runs a program under the guard that the binary self provides.
func Start(self string, spec Spec) (*Child, error) {
	output := spec.Output
	if spec.Log != "" {
		log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the log of %s: %w", spec.Name, err)
		}
		defer log.Close() // the guard has its own handle
		output = log
	}
	args := append([]string{GuardCommand, spec.PIDFile, spec.Grace.String(), spec.Path}, spec.Args...)
	cmd := exec.Command(self, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Env, spec.Dir, output, output
	ownGroup(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making the pipe of %s: %w", spec.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	c := &Child{spec: spec, pipe: pipe, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// Name is the name given in the Spec.
func (c *Child) Name() string { return c.spec.Name }

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err is nil where the program ended with exit code 0. It is meaningful once
// Done is closed.
func (c *Child) Err() error { return c.err }

// How says how the program ended. It is meaningful once Done is closed.
func (c *Child) How() string {
	if c.err == nil {
		return "exited"
	}
	return strings.Replace(c.err.Error(), "exit status", "exited with", 1)
}

// Exit says how a program that has a log ended, with the log's last line. It
// is meaningful once Done is closed.
func (c *Child) Exit() error {
	how := c.How()
	if last := lastLine(c.spec.Log); last != "" {
		return fmt.Errorf("%s %s: %s (log: %s)", c.spec.Name, how, last, c.spec.Log)
	}
	return fmt.Errorf("%s %s (log: %s)", c.spec.Name, how, c.spec.Log)
}

// Stop ends the program and waits until it has ended. It may be called more
// than once.
func (c *Child) Stop() {
	c.pipe.Close()
	<-c.done
}

// PID reads the process id of a running program from its PIDFile.
func PID(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("reading a process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("reading a process id: %s holds none", file)
	}
	return pid, nil
}

// lastLine is the last complaint of a log, else its last line, cut to what a terminal can bear.
func lastLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	const tail = 4096
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > tail {
		_, err = f.Seek(-tail, io.SeekEnd)
		if err != nil {
			return ""
		}
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		return ""
	}
	b, err := io.ReadAll(f)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := lines[len(lines)-1]
	for _, line := range lines {
		if complaint.MatchString(line) {
			last = line
		}
	}
	last = strings.TrimSpace(last)
	if r := []rune(last); len(r) > 300 {
		last = string(r[:300]) + "…"
	}
	return last
}

// complaint matches the lines that say why a program ended, rather than what it
// did meanwhile: those of plain programs, of klog and of zap.
var complaint = regexp.MustCompile(`^(error:|Error:|panic:|fatal error:|[EF][0-9]{4} )|"level":"(error|fatal|panic)"`)
