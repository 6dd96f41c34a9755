//go:build unix

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Whoever read the log has gone: nothing ends for that, and at the end nothing is
// left behind.
func TestNobodyReadsTheLog(t *testing.T) {
	for name, words := range map[string][]string{
		"kc":    {"proxy", "--cluster", "demo", "--port", "0", "--kubeconfig-out", "kc"},
		"ready": {"agent", "--cluster", "demo", "--token-file", "token", "--ready-file", "ready"},
	} {
		t.Run(words[0], func(t *testing.T) {
			c := newCanary(t)
			if err := os.Chmod(c.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_ = reader.Close()
			cmd := exec.CommandContext(t.Context(), "ekskey", append(words, "--log-level", "debug")...)
			cmd.Dir, cmd.Env, cmd.Stderr = c.dir, c.env, writer
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = writer.Close()
			file := filepath.Join(c.dir, name)
			wait(t, name, func() bool { _, err := os.Stat(file); return err == nil })
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error(name + " is still there")
			}
		})
	}
}
