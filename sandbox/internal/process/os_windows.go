package process

import (
	"os"
	"os/exec"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

const detachedProcess = 0x8 // DETACHED_PROCESS of the Windows API

func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// Detach makes cmd a process that closing the console does not reach.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}

// Windows knows no polite request that such a process would get.
func interrupt(p *os.Process) { _ = p.Kill() }
func kill(p *os.Process)      { _ = p.Kill() }
