//go:build unix

package secretfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// dontWait has the opening of a pipe wait for nobody.
const dontWait = syscall.O_NONBLOCK

func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// checkFolder refuses a folder in which somebody else can write. Where the sticky
// bit is set others can add files, but not take or replace ours.
func checkFolder(info fs.FileInfo) error {
	if !ownedByUs(info) {
		return errors.New("belongs to another user")
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("can be written by other users (%v)", info.Mode().Perm())
	}
	return nil
}

// setMode is needed though the file is made with a mode: the umask may have taken
// the owner's bits.
func setMode(file *os.File, shared bool) error {
	if shared {
		return file.Chmod(0o640) // #nosec G302 -- a group that was named is to read it
	}
	return file.Chmod(0o600)
}
