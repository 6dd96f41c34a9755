package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// WritableError reports a file, or a directory above it, that decides whom a program
// trusts and that other users of the machine can write.
type WritableError struct {
	Path string
	// Group says that it is the group that can.
	Group bool
}

func (e *WritableError) Error() string {
	if e.Group {
		return e.Path + " can be written by its group; run chmod g-w"
	}
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

// ReadTrusted is [Read] for a file that decides whom a program trusts. The file, each
// directory above it and each symbolic link on the way must belong to the user or to
// root, and nobody else may be able to write them: not the world, and no group but
// root's and the user's own. In a directory with the sticky bit others can add files but
// not replace ours, and in one that is mounted read-only they can do nothing, as in a
// ConfigMap's in a pod. It fails with *WritableError or *NotPrivateError. Windows has no
// permission bits, and there it is Read.
func ReadTrusted(path string, limit int64) ([]byte, error) {
	if err := checkWay(path); err != nil {
		return nil, err
	}
	return readPath(path, limit, true, func(info fs.FileInfo) error { return checkTrusted(path, info) })
}

// CheckTrustedDir checks a directory, and those above it, as [ReadTrusted] does.
func CheckTrustedDir(path string) error {
	if err := checkWay(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return checkTrustedDir(path, info)
}

// checkTrusted checks a file. Nobody can write what is mounted read-only.
func checkTrusted(path string, info fs.FileInfo) error {
	switch {
	case !ownedByUs(info) && !ownedByRoot(info):
		return &NotPrivateError{Path: path, Reason: "belongs to another user; run chown"}
	case permissions(info)&0o002 != 0 && !readOnlyMount(path):
		return &WritableError{Path: path}
	case permissions(info)&0o020 != 0 && !ownGroup(info) && !readOnlyMount(path):
		return &WritableError{Path: path, Group: true}
	}
	return nil
}

func checkTrustedDir(path string, info fs.FileInfo) error {
	err := checkTrusted(path, info)
	if errors.As(err, new(*WritableError)) && info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	return err
}

// checkWay checks the directories and the symbolic links on the way to a file.
func checkWay(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	volume := filepath.VolumeName(abs)
	root := volume + string(filepath.Separator)
	dir, rest := root, split(abs[len(volume):])
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			dir = filepath.Dir(dir) // dir has no links
			continue
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if err := checkTrustedDir(dir, info); err != nil {
			return err
		}
		next := filepath.Join(dir, name)
		if info, err = os.Lstat(next); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			dir = next
			continue
		}
		if !ownedByUs(info) && !ownedByRoot(info) {
			return &NotPrivateError{Path: next, Reason: "is a symbolic link of another user"}
		}
		if links++; links > maxLinks {
			return fmt.Errorf("following %s: too many symbolic links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			dir = filepath.VolumeName(target) + string(filepath.Separator)
			target = target[len(filepath.VolumeName(target)):]
		}
		rest = append(split(target), rest...)
	}
	return nil
}

// split cuts a path into its elements, without empty ones and single dots.
func split(path string) []string {
	return slices.DeleteFunc(strings.Split(filepath.ToSlash(path), "/"), func(s string) bool { return s == "" || s == "." })
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
