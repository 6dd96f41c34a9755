//go:build unix

package safefile

import (
	"errors"
	"io/fs"
	"syscall"
)

// nonblock keeps a pipe from being waited for.
const nonblock = syscall.O_NONBLOCK

func linkCount(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Nlink) // #nosec G115 -- a count of names
	}
	return 0
}

func isMountPoint(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV)
}

// isPinned reports whether a file cannot be replaced, whoever tries again.
func isPinned(err error) bool {
	return isMountPoint(err) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EROFS)
}
