package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// errNoLink is never returned here: publish needs no hard links.
var errNoLink = errors.New("no hard links here")

// nonBlocking is zero: directories hold no pipes here.
const nonBlocking = 0

func openForRead(path string, followLinks bool) (*os.File, error) {
	if followLinks {
		return os.Open(path) // #nosec G304 -- the caller names the file
	}
	return openShared(path, windows.GENERIC_READ, windows.OPEN_EXISTING)
}

// openShared opens a file, and no link's target, so that it can be removed and
// renamed while it is open, which os.OpenFile does not.
func openShared(path string, access, disposition uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, access,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, disposition,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

const lockAccess = windows.GENERIC_READ | windows.GENERIC_WRITE | windows.DELETE

func openLock(path string) (*os.File, error) {
	return openShared(path, lockAccess, windows.OPEN_EXISTING)
}

func createLock(path string) (*os.File, error) {
	return openShared(path, lockAccess, windows.CREATE_NEW)
}

// tryLock takes the OS lock of f without waiting. Windows' locks are mandatory,
// so a byte far behind the marker is locked and the marker stays readable.
func tryLock(f *os.File) (bool, error) {
	const far = 1 << 30 // the byte that is locked
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: far})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	case errors.Is(err, windows.ERROR_NOT_SUPPORTED), errors.Is(err, windows.ERROR_INVALID_FUNCTION):
		return false, fmt.Errorf("locking %s: %w", f.Name(), errors.ErrUnsupported)
	default:
		return false, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
}

// publish gives tmp its final name, and fails with fs.ErrExist if that is taken: MoveFileEx without MOVEFILE_REPLACE_EXISTING.
func publish(tmp, path string) error {
	from, err := windows.UTF16PtrFromString(tmp)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	err = windows.MoveFileEx(from, to, 0)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: tmp, New: path, Err: err}
	}
	return nil
}

// rename replaces the file at to. A reader that has it open without
// FILE_SHARE_DELETE, or a virus scanner, makes that fail for a moment.
func rename(d directory, from, to string) error {
	var err error
	for delay := time.Millisecond; delay < time.Second; delay *= 2 {
		err = d.Rename(from, to)
		if !errors.Is(err, windows.ERROR_ACCESS_DENIED) && !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			return err
		}
		time.Sleep(delay)
	}
	return err
}

// setMode does nothing: a new file inherits the directory's access list, and Go's
// mode bits mean only read-only here.
func setMode(*os.File, fs.FileMode) error { return nil }

func keepOwner(*os.File, fs.FileInfo) error { return nil }

// syncDir does nothing: Windows has no such call.
func syncDir(string) error { return nil }

// Owners and modes mean nothing here: a new file inherits the access list of its
// directory, and the user's own directories are closed to other users.
func ownedByUs(fs.FileInfo) bool { return true }

func ownedByRoot(fs.FileInfo) bool { return true }

func ownGroup(fs.FileInfo) bool { return true }

func permissions(fs.FileInfo) fs.FileMode { return 0 }
