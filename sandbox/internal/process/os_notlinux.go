//go:build !linux

package process

import "os/exec"

// dieWithParent has no like elsewhere: there the pipe alone must do.
func dieWithParent(*exec.Cmd) {}
