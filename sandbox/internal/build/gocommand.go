package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/process"
)

// run runs the go command under a guard and hands each line it writes to
// onLine. A failure carries its last lines.
func (b *Builder) run(ctx context.Context, dir string, onLine func(string), args ...string) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return &NoGoError{Cause: err}
	}
	r, w := io.Pipe()
	child, err := process.Start(b.Self, process.Spec{
		Name: "go " + args[0], Path: goCommand, Args: args, Env: goEnv(), Dir: dir, Output: w, Grace: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	var last []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			onLine(lines.Text())
			if last = append(last, lines.Text()); len(last) > 6 {
				last = last[1:]
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	select {
	case <-child.Done():
	case <-ctx.Done():
		child.Stop()
	}
	w.Close()
	<-read
	if err := ctx.Err(); err != nil {
		return err
	}
	if child.Err() != nil {
		return fmt.Errorf("go %s failed: %s", args[0], strings.Join(last, "\n  "))
	}
	return nil
}

func (b *Builder) output(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, goEnv()
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", &NoGoError{Cause: err}
	}
	if err != nil {
		return "", fmt.Errorf("running go %s: %w", args[0], err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// goEnv is this environment, made to compile for this machine and to need no C
// compiler, whatever else it is set up for.
func goEnv() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=on", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}

// copyProgram copies an executable file, or overwrites it.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying a program: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700) // #nosec G302 -- to be run
	if err != nil {
		return fmt.Errorf("copying a program: %w", err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying a program: %w", err)
	}
	return nil
}

func runs(ctx context.Context, path string, args ...string) bool {
	return exec.CommandContext(ctx, path, args...).Run() == nil
}
