package safefile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// NotPrivateError reports a file or directory that belongs to another user, or that
// other users can read or write.
type NotPrivateError struct {
	Path   string
	Reason string
}

func (e *NotPrivateError) Error() string { return e.Path + " " + e.Reason }

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *NotPrivateError) Unwrap() error { return fs.ErrPermission }

// WritableError reports a file that decides whom a program trusts and that every
// user of the machine can write.
type WritableError struct{ Path string }

func (e *WritableError) Error() string {
	return e.Path + " can be written by every user of this machine; run chmod o-w"
}

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *WritableError) Unwrap() error { return fs.ErrPermission }

// Read returns the content of a regular file of at most limit bytes. It follows
// symbolic links and never blocks on a pipe. A missing file is fs.ErrNotExist.
//
// Errors: *NotRegularError, *TooLargeError, or a file system error.
func Read(path string, limit int64) ([]byte, error) {
	return readPath(path, limit, true, func(fs.FileInfo) error { return nil })
}

// ReadTrusted is [Read] for a file that decides whom a program trusts: one that
// every user of the machine can write is refused with *WritableError. Windows has no
// permission bits, and there it is Read.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	return readPath(path, limit, true, func(info fs.FileInfo) error {
		if permissions(info)&0o002 != 0 {
			return &WritableError{Path: path}
		}
		return nil
	})
}

// ReadOwn is [Read] for a file that says what to do in the user's name: it must
// belong to the user or to root, and neither its group nor others may write it, else
// it is refused with *NotPrivateError. The directories above it are not checked: a
// file that another user puts in its place belongs to that user.
func ReadOwn(path string, limit int64) ([]byte, error) {
	return readPath(path, limit, true, func(info fs.FileInfo) error {
		switch {
		case !ownedByUs(info) && !ownedByRoot(info):
			return &NotPrivateError{Path: path, Reason: "belongs to another user; run chown"}
		case permissions(info)&0o022 != 0:
			return &NotPrivateError{Path: path, Reason: "can be written by other users; run chmod go-w"}
		}
		return nil
	})
}

// ReadPrivate is [Read] for a file that holds a secret of ours: no symbolic link,
// owned by the effective user, and without permissions for group and others, else it
// is refused with *NotPrivateError. Windows has neither owners nor bits; there the
// access list of the directory protects the file.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	return readPath(path, limit, false, func(info fs.FileInfo) error { return checkPrivate(path, info) })
}

func checkPrivate(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &NotRegularError{Path: path, Mode: info.Mode()}
	}
	if !ownedByUs(info) {
		return &NotPrivateError{Path: path, Reason: "belongs to another user"}
	}
	if permissions(info)&0o077 != 0 {
		return &NotPrivateError{Path: path, Reason: fmt.Sprintf("is open to other users (%v)", info.Mode().Perm())}
	}
	return nil
}

func readPath(path string, limit int64, followLinks bool, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := openForRead(path, followLinks)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpen(f, path, limit, check)
}

// readOpen checks the open file and not the path, which may name another file by now.
func readOpen(f *os.File, path string, limit int64, check func(fs.FileInfo) error) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &NotRegularError{Path: path, Mode: info.Mode()}
	}
	if err := check(info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &TooLargeError{Path: path, Limit: limit}
	}
	return data, nil
}
