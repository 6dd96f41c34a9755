package safefile

import (
	"io/fs"
	"runtime"
)

// WritableError says that every user of the machine can write a file
// that decides whom a program trusts.
type WritableError struct{ Path string }

func (e *WritableError) Error() string {
	return e.Path + " can be written by every user of this machine; run chmod o-w"
}

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *WritableError) Unwrap() error { return fs.ErrPermission }

// ReadTrusted is Read for a file that decides whom a program trusts: one that
// every user of the machine can write is refused with *WritableError. Windows
// has no such bits, and there it is Read.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	return read(path, limit, func(info fs.FileInfo) error {
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
			return &WritableError{Path: path}
		}
		return nil
	})
}

// ReadOwn is ReadTrusted for a file that says what to do in our name: it must belong
// to us or to root, and neither its group nor others may write it, else it is refused
// with *NotPrivateError. What somebody else puts in its place is theirs, so its
// folders need no look. Symbolic links are followed.
func ReadOwn(path string, limit int64) ([]byte, error) {
	return read(path, limit, func(info fs.FileInfo) error {
		switch {
		case !ownedByUs(info) && !ownedByRoot(info):
			return &NotPrivateError{Path: path, Reason: "belongs to another user; run chown"}
		case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
			return &NotPrivateError{Path: path, Reason: "can be written by other users; run chmod go-w"}
		}
		return nil
	})
}
