//go:build unix

package safefile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("SAFEFILE_TEST_ROLE"); role != "" {
		os.Exit(child(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// child is what this test binary does when it is started as another process.
func child(role string, args []string) int {
	ctx := context.Background()
	switch role {
	case "add":
		n, err := strconv.Atoi(args[1])
		for range n {
			if err == nil {
				err = add(ctx, args[0])
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "hold":
		if _, err := Acquire(ctx, LockConfig{Path: args[0]}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("held")
		time.Sleep(time.Hour)
	case "full":
		if err := limitFileSize(4096); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		if err := Write(args[0], make([]byte, 1<<20)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func start(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "SAFEFILE_TEST_ROLE="+role)
	return cmd
}

func TestManyProcesses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	const processes, additions = 12, 15
	var cmds []*exec.Cmd
	var errs [processes]strings.Builder
	for i := range processes {
		cmd := start(t, "add", path, strconv.Itoa(additions))
		cmd.Stderr = &errs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, errs[i].String())
		}
	}
	if got := get(t, path); got != strconv.Itoa(processes*additions) {
		t.Errorf("%s of %d additions", got, processes*additions)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"n"}) {
		t.Errorf("left behind: %v", got)
	}
}

func TestKilledHolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	cmd := start(t, "hold", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(t.Context(), LockConfig{Path: path, Wait: time.Millisecond})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("while it lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if pid, _ := parseMarker(get(t, path+".lock")); pid != cmd.Process.Pid {
		t.Fatal("the killed process has left no lock")
	}
	release(t, acquire(t, path))
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// Processes killed at any point leave a file that is whole and a lock that the
// next one takes.
func TestKilledAnywhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	for i := range 40 {
		cmd := start(t, "add", path, "1000000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+i) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if err := add(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); !slices.Equal(got, []string{"n"}) {
			t.Fatalf("left behind: %v", got)
		}
	}
}

// A disk that fills up half-way leaves the old file and nothing else.
func TestWriteOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	put(t, path, "old", 0o600)
	out, err := start(t, "full", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "file too large") {
		t.Fatalf("%v: %s", err, out)
	}
	if get(t, path) != "old" {
		t.Error("the old file is gone")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"config"}) {
		t.Errorf("left behind: %v", got)
	}
}
