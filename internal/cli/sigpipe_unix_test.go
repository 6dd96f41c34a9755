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

// What a process ignores its children ignore: a credential_process whose pipe ends early
// would go on writing for ever.
func TestProgramsMeetBrokenPipes(t *testing.T) {
	c := newCanary(t)
	config := filepath.Join(c.dir, "pipes")
	program := `sh -c '(kill -PIPE $(exec sh -c "echo \$PPID"); touch lived); echo "{\"Version\":1,\"AccessKeyId\":\"AKIAIOSFODNN7EXAMPLE\",\"SecretAccessKey\":\"s\"}"'`
	if err := os.WriteFile(config, []byte("[profile pipes]\ncredential_process = "+program+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.dir, "tokens")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "AWS_CONFIG_FILE="+config, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=")
	r := c.start(t, false, "agent", "--cluster", "demo", "--profile", "pipes", "--token-file", dir+"/demo")
	wait(t, "the token", func() bool { _, err := os.Stat(dir + "/demo"); return err == nil })
	r.end(t)
	if _, err := os.Stat(filepath.Join(c.dir, "lived")); err == nil {
		t.Error("a program of the agent outlives a broken pipe")
	}
}
