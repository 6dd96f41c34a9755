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

// errNoLink says that the file system has no hard links.
var errNoLink = errors.New("no hard links here")

func openForRead(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // #nosec G304 -- the caller names the file
}

func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // #nosec G304 -- the caller names the file
}

func createLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the caller names the file
}

// tryLock takes the OS lock of f without waiting. The lock goes with the last
// descriptor of this open file, so a killed process has none. It is
// errors.ErrUnsupported where the file system has no locks.
func tryLock(f *os.File) (bool, error) { return flock(f, unix.LOCK_EX) }

// tryShare takes the OS lock together with others who do, in place of the one
// that f may have. For a moment f may have neither.
func tryShare(f *os.File) (bool, error) { return flock(f, unix.LOCK_SH) }

func flock(f *os.File, how int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
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

// publish gives tmp its final name, and fails with fs.ErrExist where that is
// taken.
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

func replace(tmp, target string) error { return os.Rename(tmp, target) }

func setMode(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }

// keepOwner gives f the owner and group of old. Only root can give files away:
// for others the file becomes their own, and a group they are not in is lost,
// which is refused where that group had access.
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
			return nil // a folder may be writable and not readable
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
