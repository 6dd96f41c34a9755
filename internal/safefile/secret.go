package safefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSecret is the most that is read of a file that may be replaced, in bytes.
	maxSecret = 1 << 20
	// staleTemp is the age at which a temporary file is one that a killed process left.
	staleTemp = time.Minute
)

// ForeignError reports a file whose content is not ours, so that it is not replaced.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return e.Path + " was not written by ekskey and is not overwritten"
}

// GroupError reports a file whose group cannot be set.
type GroupError struct {
	Path  string
	Group int
	// Err is the file system's error.
	Err error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s cannot be assigned to group %d, which must be one of this process's own: %v", e.Path, e.Group, e.Err)
}

// Unwrap returns the file system's error.
func (e *GroupError) Unwrap() error { return e.Err }

// SecretFile is a file that hands a secret to another program, such as a token or a
// kubeconfig with a bearer token, and that is rewritten again and again.
//
// Its directory must exist, must be ours, and nobody else may write in it: who can,
// could plant a link or a file of their own. The directory is held open while the
// file is written, so that it cannot be replaced after it was checked.
//
// Path is required. Methods are safe for concurrent use by processes; a SecretFile is
// for one goroutine at a time.
type SecretFile struct {
	// Path is the file.
	Path string
	// Group may read the file if Shared is set. It is a group number, which must be
	// one of the process's own unless it runs as root.
	Group  int
	Shared bool
	// Ours reports whether a file with this content may be replaced. Nil means that
	// only an empty one may be.
	Ours func([]byte) bool
	// MakeDir creates a missing directory, whose parent must exist: 0700, or 0750
	// with the group if Shared is set.
	MakeDir bool
}

// open opens and checks the directory.
func (f *SecretFile) open() (root *os.Root, base string, err error) {
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return nil, "", err
	}
	dir, base := filepath.Split(path)
	if base == "" || strings.HasSuffix(f.Path, string(filepath.Separator)) {
		return nil, "", &DirError{Path: f.Path, Reason: "was named instead of a file"}
	}
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) && f.MakeDir {
		err := f.makeDir(dir)
		var group *GroupError
		switch {
		case errors.As(err, &group):
			return nil, "", err
		case err != nil:
			return nil, "", &DirError{Path: dir, Reason: "cannot be created: " + reason(err), Err: err}
		}
	}
	root, err = openDir(dir)
	return root, base, err
}

func (f *SecretFile) makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil || !f.Shared {
		return err
	}
	err := os.Chown(dir, -1, f.Group)
	if err != nil {
		err = &GroupError{Path: dir, Group: f.Group, Err: cause(err)}
	} else {
		err = os.Chmod(dir, 0o750) // #nosec G302 -- a directory that its group may read
	}
	if err != nil {
		_ = os.Remove(dir) // or the next start would use it, without its group
	}
	return err
}

// Check checks that the file could be written, and removes temporary files that a
// killed process left beside it. It fails with *DirError, *ForeignError, *GroupError
// or *NotRegularError.
func (f *SecretFile) Check() error {
	root, base, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := f.mayReplace(root, base); err != nil {
		return err
	}
	if err := f.probe(root, base); err != nil {
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil // only the housekeeping needs it
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(-1)
	for _, e := range entries {
		if of, ok := IsTemp(e.Name()); ok && of == base {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
				_ = root.Remove(e.Name())
			}
		}
	}
	return nil
}

// probe creates a file as Write does, and removes it: the mode of a directory does
// not say whether its file system is read-only or whether we are in the group.
// No other error counts: a disk that is full now may have space later.
func (f *SecretFile) probe(root *os.Root, base string) error {
	tmp := TempName(base)
	file, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.prepare(file)
		_ = file.Close()
		_ = root.Remove(tmp)
	}
	var group *GroupError
	switch {
	case errors.As(err, &group):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &DirError{Path: root.Name(), Reason: "is not writable: " + reason(err), Err: err}
	}
	return nil
}

// prepare sets the group and then the mode of a new file. The file was made with a
// mode, but the umask may have cleared the owner's bits.
func (f *SecretFile) prepare(file *os.File) error {
	if !f.Shared {
		return setMode(file, 0o600)
	}
	if err := file.Chown(-1, f.Group); err != nil {
		return &GroupError{Path: f.Path, Group: f.Group, Err: cause(err)}
	}
	return setMode(file, 0o640)
}

func (f *SecretFile) mayReplace(root *os.Root, base string) error {
	data, _, err := readIn(root, base)
	var large *TooLargeError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && !errors.As(err, &large):
		return err
	case err == nil && (len(data) == 0 || f.Ours != nil && f.Ours(data)):
		return nil
	}
	return &ForeignError{Path: f.Path}
}

// readIn returns the content of a regular file that is not a link, and whether it
// belongs to us.
func readIn(root *os.Root, base string) (data []byte, own bool, err error) {
	path := filepath.Join(root.Name(), base)
	named, err := root.Lstat(base)
	if err != nil {
		return nil, false, err
	}
	if !named.Mode().IsRegular() {
		return nil, false, &NotRegularError{Path: path, Mode: named.Mode()}
	}
	file, err := root.OpenFile(base, os.O_RDONLY|nonBlocking, 0) // by now it may be a pipe
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	data, err = readOpen(file, path, maxSecret, func(info fs.FileInfo) error {
		if !os.SameFile(info, named) {
			return fmt.Errorf("%s was replaced while it was opened", path)
		}
		return nil
	})
	return data, ownedByUs(named), err
}

// Read returns the content of the file. In a directory with the sticky bit it may
// belong to another user, who could pretend that we wrote it: that fails with
// *NotPrivateError.
func (f *SecretFile) Read() ([]byte, error) {
	root, base, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	data, own, err := readIn(root, base)
	if err == nil && !own {
		err = &NotPrivateError{Path: f.Path, Reason: "belongs to another user"}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Write replaces the content of the file. The file has mode 0600, or 0640 and the
// group if Shared is set, and at no moment a wider one. It fails with *DirError,
// *ForeignError, *GroupError, *NotRegularError or a file system error, and then the
// old file is untouched.
func (f *SecretFile) Write(data []byte) error {
	root, base, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := f.mayReplace(root, base); err != nil {
		return err
	}
	return replaceFile(root, base, data, false, f.prepare)
}

// Remove removes the file if its content is still data or, with nil, if it is Ours.
// A missing file is not an error.
func (f *SecretFile) Remove(data []byte) error {
	root, base, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	now, _, err := readIn(root, base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if data != nil && !bytes.Equal(data, now) || data == nil && (f.Ours == nil || !f.Ours(now)) {
		return &ForeignError{Path: f.Path}
	}
	return root.Remove(base)
}
