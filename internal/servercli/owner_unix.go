//go:build unix

package servercli

import (
	"fmt"
	"os"
	"syscall"
)

// checkDir refuses a state directory in which other users could replace the key:
// whoever has the serving key can impersonate everybody.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return &hintError{fmt.Errorf("%s can be written by other users", dir), "chmod go-w " + dir}
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return &hintError{fmt.Errorf("%s belongs to another user", dir), "chown it, or name another server.stateDir"}
	}
	return nil
}
