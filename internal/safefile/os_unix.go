//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNoLink reports a file system without hard links.
var errNoLink = errors.New("no hard links here")

// nonBlocking keeps the opening of a pipe from waiting for its other end.
const nonBlocking = unix.O_NONBLOCK

func openForRead(path string, followLinks bool) (*os.File, error) {
	flag := os.O_RDONLY | nonBlocking
	if !followLinks {
		flag |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flag, 0) // #nosec G304 -- the caller names the file
	if !followLinks && (errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK)) {
		return nil, &NotRegularError{Path: path, Mode: fs.ModeSymlink}
	}
	return f, err
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|nonBlocking, 0) // #nosec G304 -- the caller names the file
}

func createLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the caller names the file
}

// tryLock takes the OS lock of f without waiting. The lock goes with the last
// descriptor of this open file, so a killed process has none. It is
// errors.ErrUnsupported if the file system has no locks.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK):
			return false, fmt.Errorf("locking %s: %w", f.Name(), errors.ErrUnsupported)
		default:
			return false, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}

// publish gives tmp its final name, and fails with fs.ErrExist if that is taken.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil {
		return os.Remove(tmp)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return errNoLink
	}
	return err
}

func rename(d directory, from, to string) error { return d.Rename(from, to) }

func setMode(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }

// keepOwner gives f the owner and group of old. Only root can give files away:
// for other users the file becomes their own, and a group they are not in is lost,
// which is refused if that group had access.
func keepOwner(f *os.File, old fs.FileInfo) error {
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if have.Uid != want.Uid && os.Geteuid() == 0 {
		return f.Chown(int(want.Uid), int(want.Gid))
	}
	if have.Gid != want.Gid {
		err := f.Chown(-1, int(want.Gid))
		if err != nil && old.Mode().Perm()&0o070 != 0 {
			return fmt.Errorf("keeping the group of %s: %w", old.Name(), err)
		}
	}
	return nil
}

// syncDir makes a rename last through a power cut. Some file systems cannot.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the caller names the file
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil // a directory may be writable and not readable
		}
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
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

// ownGroup reports whether a file's group is root's or this process's.
func ownGroup(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Gid == 0 || int(st.Gid) == os.Getegid())
}

func permissions(info fs.FileInfo) fs.FileMode { return info.Mode().Perm() }
