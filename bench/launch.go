package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// launchFlag, the first argument, makes this program a launcher of another.
const launchFlag = "-launch"

// launch runs a program once and writes how long that took, in nanoseconds.
func launch(ctx context.Context, out, stderr io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 G702 -- what bench says is to be measured
	cmd.Stderr = stderr
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return fmt.Errorf("running %s: %w", filepath.Base(name), err)
	}
	_, err = fmt.Fprintln(out, took.Nanoseconds())
	return err
}

// time gives a function that runs a program once and takes its time. Each run has
// a launcher of its own for a parent, on both sides of a ratio: a process that
// asks ekskey again is taken for one whose token was refused, and gets nothing out
// of the cache.
func (p *programs) time(ctx context.Context, env []string, name string, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, p.self, append([]string{launchFlag, name}, args...)...) // #nosec G204 -- this program
		cmd.Env = env
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("running %s: %w\n%s", filepath.Base(name), err, stderr.String())
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the launcher's answer: %w", err)
		}
		return time.Duration(n), nil
	}
}
