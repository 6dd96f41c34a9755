//go:build unix

package safefile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openPrivate follows no link and waits for no pipe.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // #nosec G304 -- the caller names the file
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
		return nil, &NotRegularError{Path: path, Mode: fs.ModeSymlink}
	}
	return f, err
}

func owner(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}

func ownedByUs(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

func ownedByRoot(info fs.FileInfo) bool { return owner(info) == 0 }

func openToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
