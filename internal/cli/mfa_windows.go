package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// shell runs a command line as the AWS SDK does a credential_process. cmd has its
// own rules for quotes: with /S it takes off the outer ones and nothing else.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /S /C "` + line + `"`}
	return cmd
}

// killWithChildren has all that the command started killed when its context ends.
func killWithChildren(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		// The context has ended already, and this takes but a moment.
		taskkill := exec.Command(filepath.Join(os.Getenv("SystemRoot"), "System32", "taskkill.exe"), "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)) // #nosec G204 -- a number
		if taskkill.Run() == nil {
			return nil
		}
		return cmd.Process.Kill()
	}
}
