//go:build unix

package cli_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An open standard input that says nothing must not keep an interrupt waiting.
func TestInterruptWhileReading(t *testing.T) {
	c := newCanary(t)
	cmd := exec.CommandContext(t.Context(), "ekskey", "inspect", "--log-level", "debug", "-")
	cmd.Env = c.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "reading standard input") {
		t.Fatalf("%q %v", line, err)
	}
	// One signal: the second one would end anything.
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// If it does not end, standard input does, and with another message.
	late := time.AfterFunc(10*time.Second, func() { _ = stdin.Close() })
	defer late.Stop()
	rest, err := io.ReadAll(lines)
	if err != nil || string(rest) != "error: interrupted\n" {
		t.Errorf("%q %v", rest, err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Error(err)
	}
}

// Where nothing looks at the context, as in the SDK's reading of its files, the
// second interrupt ends the process.
func TestSecondInterrupt(t *testing.T) {
	c := newCanary(t)
	pipe := filepath.Join(c.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ekskey", "whoami")
	cmd.Env = append(c.env, "AWS_CONFIG_FILE="+pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for range 1000 {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
				t.Errorf("it ended with %v", cmd.ProcessState)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	t.Error("a thousand interrupts did not end it")
}

// timeout(1) sends a signal to the process and to its group, and a terminal that is
// closed sends SIGHUP: both leave nothing behind.
func TestEndsTidily(t *testing.T) {
	// Programs inherit what is ignored, as SIGHUP is under nohup, but not what is caught.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for name, signals := range map[string][]syscall.Signal{
		"the same twice":    {syscall.SIGTERM, syscall.SIGTERM},
		"a closed terminal": {syscall.SIGHUP},
	} {
		c := newCanary(t)
		dir := filepath.Join(c.dir, "tokens")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		ready := filepath.Join(dir, "ready")
		r := c.start(t, false, "agent", "--cluster", "demo", "--token-file", dir+"/demo", "--ready-file", ready)
		wait(t, "the ready file", func() bool { _, err := os.Stat(ready); return err == nil })
		for _, s := range signals {
			if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, r.stderr)
		}
		if _, err := os.Stat(ready); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the ready file: %v", name, err)
		}
	}
}
