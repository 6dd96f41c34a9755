package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"time"
)

// Guard is what a process started as `guard PIDFILE GRACE PROGRAM ARG…` does:
// run the program until it ends, or until standard input or the guard itself
// is ended; then end the program and whatever it started. It returns the exit
// code.
func Guard(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) < 3 {
		fmt.Fprintln(stderr, "error: guard is for the sandbox's own use")
		return 2
	}
	grace, err := time.ParseDuration(args[1])
	if err != nil {
		fmt.Fprintln(stderr, "error: guard:", err)
		return 2
	}
	// The kernel ends the program when the thread that started it ends.
	runtime.LockOSThread()
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	ownGroup(cmd)
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 1
	}
	if pidFile := args[0]; pidFile != "" {
		if err := os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
			fmt.Fprintln(stderr, "error:", err)
			kill(cmd.Process)
			return 1
		}
		defer os.Remove(pidFile)
	}

	end := make(chan struct{})
	go func() {
		// Nobody writes: reading ends when the supervisor's end is closed.
		_, _ = io.Copy(io.Discard, stdin)
		close(end)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, terminate)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	select {
	case err := <-exited:
		kill(cmd.Process) // what it may have started
		return exitCode(err)
	case <-end:
	case <-signals:
	}
	interrupt(cmd.Process)
	select {
	case <-exited:
	case <-time.After(grace):
	}
	kill(cmd.Process)
	return 0
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	return 1
}
