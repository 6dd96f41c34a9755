package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// DirError says why a directory is not fit to hold a secret.
type DirError struct {
	Path   string
	Reason string
	// Err is the file system's error, if there is one.
	Err error
}

func (e *DirError) Error() string { return "directory " + e.Path + " " + e.Reason }

// Unwrap returns the file system's error.
func (e *DirError) Unwrap() error { return e.Err }

// CheckDir checks that a directory belongs to the effective user and that nobody else
// can write in it. It fails with *DirError.
func CheckDir(dir string) error {
	root, err := openDir(dir)
	if err != nil {
		return err
	}
	return root.Close()
}

// openDir opens a directory and checks it as [CheckDir] does. While it is open,
// nobody can put another in its place.
func openDir(dir string) (*os.Root, error) {
	named, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &DirError{Path: dir, Reason: "does not exist", Err: err}
	case err != nil:
		return nil, &DirError{Path: dir, Reason: "cannot be read: " + reason(err), Err: err}
	case named.Mode()&fs.ModeSymlink != 0:
		return nil, &DirError{Path: dir, Reason: "is a symbolic link; name its target instead"}
	case !named.IsDir():
		return nil, &DirError{Path: dir, Reason: "is not a directory"}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &DirError{Path: dir, Reason: "cannot be opened: " + reason(err), Err: err}
	}
	info, err := root.Stat(".")
	if err == nil && !os.SameFile(info, named) {
		err = errors.New("was replaced while it was opened")
	}
	if err == nil {
		err = checkDir(info)
	}
	if err != nil {
		return nil, errors.Join(&DirError{Path: dir, Reason: reason(err), Err: err}, root.Close())
	}
	return root, nil
}

// checkDir refuses a directory in which other users can replace our files. With the
// sticky bit they can add files, but not remove or replace ours.
func checkDir(info fs.FileInfo) error {
	if !ownedByUs(info) {
		return errors.New("belongs to another user")
	}
	if permissions(info)&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("can be written by other users (%v)", info.Mode().Perm())
	}
	return nil
}

// reason leaves out the path, which the caller names.
func reason(err error) string { return cause(err).Error() }

func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// PrivateDir checks that path is a directory that belongs to the effective user
// and is closed to all others. One of ours that is too open is closed, if ours accepts
// the name of everything in it: another may be open for a reason. The last
// element may be a symbolic link if the link is ours too. With create set, a
// missing directory is created, and its missing parents, all with mode 0700; but not
// in somebody else's directory, or root who works with a user's HOME would leave
// there what the user cannot use.
//
// Errors: *NotPrivateError, or a file system error.
func PrivateDir(path string, create bool, ours func(name string) bool) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := createDirs(path); err != nil {
			return err
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if !ownedByUs(info) {
			return &NotPrivateError{Path: path, Reason: "is a symbolic link of another user"}
		}
		if info, err = os.Stat(path); err != nil {
			return err
		}
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", path)
	case !ownedByUs(info):
		return &NotPrivateError{Path: path, Reason: "belongs to another user"}
	case permissions(info)&0o077 != 0:
		return closeDir(path, info, ours)
	}
	return nil
}

func closeDir(path string, info fs.FileInfo, ours func(name string) bool) error {
	open := &NotPrivateError{Path: path, Reason: fmt.Sprintf("is open to other users (%v)", info.Mode())}
	if info.Mode()&fs.ModeSticky != 0 {
		return open
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return open
		}
	}
	return os.Chmod(path, 0o700) // #nosec G302 -- a directory
}

func createDirs(path string) error {
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if errors.Is(err, fs.ErrNotExist) && parent != filepath.Dir(parent) {
			continue
		}
		if err != nil {
			return err
		}
		if !ownedByUs(info) && !ownedByRoot(info) {
			return &NotPrivateError{Path: parent, Reason: "belongs to another user"}
		}
		return os.MkdirAll(path, 0o700)
	}
}
