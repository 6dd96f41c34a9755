//go:build unix

package process

import "syscall"

func signalZero(pid int) bool { return syscall.Kill(pid, 0) == nil }
