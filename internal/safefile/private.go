package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// NotPrivateError says that a file or folder that must be ours alone is
// somebody else's, or that others can read or write it.
type NotPrivateError struct {
	Path   string
	Reason string
}

func (e *NotPrivateError) Error() string { return e.Path + " " + e.Reason }

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *NotPrivateError) Unwrap() error { return fs.ErrPermission }

// ReadPrivate returns the bytes of a file that holds a secret of ours: a
// regular file, never a symbolic link, owned by the effective user and without
// any permission for group and others. Windows has neither the owners nor the
// bits; there the folder's access list is what protects.
//
// Errors: *NotPrivateError, *NotRegularError, *TooLargeError, or what the file
// system says.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	f, err := openPrivate(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &TooLargeError{Path: path, Limit: limit}
	}
	// One byte more than there should be, to see the end without growing.
	buf := make([]byte, info.Size()+1)
	n, err := io.ReadFull(f, buf)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s grew while it was read", path)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	}
	return buf[:n], nil
}

func checkPrivate(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &NotRegularError{Path: path, Mode: info.Mode()}
	}
	if !ownedByUs(info) {
		return &NotPrivateError{Path: path, Reason: "belongs to another user"}
	}
	if openToOthers(info) {
		return &NotPrivateError{Path: path, Reason: fmt.Sprintf("is open to other users (%v)", info.Mode().Perm())}
	}
	return nil
}

// WritePrivate replaces what is at path, or makes it, with a file of mode 0600.
// A symbolic link at path is replaced, not followed. A reader sees the old file
// or the new one; but nothing is forced to disk, so after a power cut the file
// may be torn, and it is for what can be made anew.
//
// A process killed in it leaves a temporary file, for which see [IsTemp].
func WritePrivate(path string, data []byte) error {
	tmp := TempName(path)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the caller names the file
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = setMode(f, 0o600) // the umask may have taken even the owner's bits
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = replace(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// IsTemp reports whether name, without its folder, is one of a temporary file
// of [Write] or [WritePrivate], and of which file.
func IsTemp(name string) (base string, ok bool) {
	const tail = len(tempInfix) + 16 + len(tempSuffix)
	if len(name) <= 1+tail {
		return "", false
	}
	base = name[1 : len(name)-tail]
	return base, isTemp(name, base)
}

// PrivateDir checks that path is a folder that belongs to the effective user
// and is closed to all others. One of ours that is too open is closed, if all that
// is in it has a name that ours accepts: another may be open for a reason. The last
// element may be a symbolic link if the link is ours too. With make set, a
// missing folder is made, and its missing parents, all with mode 0700; but not
// in somebody else's folder, or root who works with a user's HOME would leave
// there what the user cannot use.
//
// Errors: *NotPrivateError, or what the file system says.
func PrivateDir(path string, make bool, ours func(name string) bool) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err := mkdirs(path); err != nil {
			return err
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if !ownedByUs(info) {
			return &NotPrivateError{Path: path, Reason: "is a link of another user"}
		}
		if info, err = os.Stat(path); err != nil {
			return err
		}
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", path)
	case !ownedByUs(info):
		return &NotPrivateError{Path: path, Reason: "belongs to another user"}
	case openToOthers(info):
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
	return os.Chmod(path, 0o700) // #nosec G302 -- a folder
}

func mkdirs(path string) error {
	for above := filepath.Dir(path); ; above = filepath.Dir(above) {
		info, err := os.Stat(above)
		if errors.Is(err, fs.ErrNotExist) && above != filepath.Dir(above) {
			continue
		}
		if err != nil {
			return err
		}
		if !ownedByUs(info) && !ownedByRoot(info) {
			return &NotPrivateError{Path: above, Reason: "belongs to another user"}
		}
		return os.MkdirAll(path, 0o700)
	}
}
