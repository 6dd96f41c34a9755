//go:build unix

package cli

import (
	"context"
	"os/exec"
	"syscall"
)

// shell runs a command line as the AWS SDK does a credential_process.
func shell(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", line) // #nosec G204 -- the user's own command
}

// killWithChildren has all that the command started killed when its context ends.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
