//go:build unix

package process

import (
	"os"
	"os/exec"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// Detach makes cmd a process that no terminal's hang-up reaches.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// The programs lead their groups, so that what they start is signalled too.
func interrupt(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }
func kill(p *os.Process)      { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
