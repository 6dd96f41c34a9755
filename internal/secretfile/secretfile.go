// Package secretfile writes files that hand a secret to another program: a token
// for whatever reads a token file, a kubeconfig with the bearer of a proxy.
//
// Readers see the old bytes or the new ones. The folder must be there, must be
// ours, and nobody else may write in it: who can, could put a link or a file of
// their own in the way. The folder is held open while a file is written, so that
// it cannot be exchanged for another after it was looked at.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// maxRead is the most that is read of a file that may be replaced, in bytes.
const maxRead = 1 << 20

// staleTemp is the age at which a temporary file is one that a killed process left.
const staleTemp = time.Minute

// FolderError says why secrets are not written into a folder.
type FolderError struct {
	Path   string
	Reason string
	// Err is what the file system says, if that is why.
	Err error
}

func (e *FolderError) Error() string { return "folder " + e.Path + " " + e.Reason }

// Unwrap gives what the file system says.
func (e *FolderError) Unwrap() error { return e.Err }

// ForeignError says that what is in a file was not written by us, so that it is
// not replaced.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return e.Path + " holds something else, and is not overwritten"
}

// GroupError says that a file cannot be given to its group.
type GroupError struct {
	Path  string
	Group int
	// Err is what the file system says.
	Err error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s cannot be given to group %d, which must be one of this process's own: %v", e.Path, e.Group, e.Err)
}

// Unwrap gives what the file system says.
func (e *GroupError) Unwrap() error { return e.Err }

// File is a file that is written again and again. Path is needed. Its methods are
// safe for concurrent use by processes; one File is for one goroutine at a time.
type File struct {
	// Path is the file.
	Path string
	// Group may read the file if Shared is set. It is a group's number, which must
	// be one of ours unless we are root.
	Group  int
	Shared bool
	// Ours reports whether what is in the file may be replaced. Nil means that only
	// an empty one may be.
	Ours func([]byte) bool
	// MakeFolder makes a missing folder, whose own folder must be there: 0700, or
	// 0750 of the group if Shared is set.
	MakeFolder bool
}

// open opens and checks the folder.
func (f *File) open() (*os.Root, string, error) {
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return nil, "", err
	}
	dir, base := filepath.Split(path)
	if base == "" || strings.HasSuffix(f.Path, string(filepath.Separator)) {
		return nil, "", &FolderError{Path: f.Path, Reason: "is no file"}
	}
	dir = filepath.Clean(dir)
	named, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) && f.MakeFolder {
		err = f.makeFolder(dir)
		var group *GroupError
		switch {
		case errors.As(err, &group):
			return nil, "", err
		case err != nil:
			return nil, "", &FolderError{Path: dir, Reason: "cannot be made: " + reason(err), Err: err}
		}
		named, err = os.Lstat(dir)
	}
	root, err := openFolder(dir, named, err)
	return root, base, err
}

// CheckFolder finds out whether a folder is ours and nobody else can write in it. It
// fails with *FolderError.
func CheckFolder(dir string) error {
	named, err := os.Lstat(dir)
	root, err := openFolder(dir, named, err)
	if err != nil {
		return err
	}
	return root.Close()
}

// openFolder opens and checks a folder, given what Lstat says of it.
func openFolder(dir string, named fs.FileInfo, err error) (*os.Root, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &FolderError{Path: dir, Reason: "is not there", Err: err}
	case err != nil:
		return nil, &FolderError{Path: dir, Reason: "cannot be seen: " + reason(err), Err: err}
	case named.Mode()&fs.ModeSymlink != 0:
		return nil, &FolderError{Path: dir, Reason: "is a symbolic link; name what it leads to"}
	case !named.IsDir():
		return nil, &FolderError{Path: dir, Reason: "is no folder"}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &FolderError{Path: dir, Reason: "cannot be opened: " + reason(err), Err: err}
	}
	info, err := root.Stat(".")
	if err == nil && !os.SameFile(info, named) {
		err = errors.New("has just been exchanged")
	}
	if err == nil {
		err = checkFolder(info)
	}
	if err != nil {
		return nil, errors.Join(&FolderError{Path: dir, Reason: reason(err), Err: err}, root.Close())
	}
	return root, nil
}

func (f *File) makeFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil || !f.Shared {
		return err
	}
	err := os.Chown(dir, -1, f.Group)
	if err != nil {
		err = &GroupError{Path: dir, Group: f.Group, Err: cause(err)}
	} else {
		err = os.Chmod(dir, 0o750) // #nosec G302 -- a folder, and a group that may read in it
	}
	if err != nil {
		_ = os.Remove(dir) // or the next start would take it, without its group
	}
	return err
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

// Check finds out whether the file could be written, and removes what a killed
// process left beside it. It fails with *FolderError, *ForeignError or *GroupError.
func (f *File) Check() error {
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
	folder, err := root.Open(".")
	if err != nil {
		return nil // it may be writable and not readable; then nothing is tidied up
	}
	defer folder.Close()
	entries, _ := folder.ReadDir(-1) // housekeeping: what is not seen stays
	for _, e := range entries {
		if of, ok := safefile.IsTemp(e.Name()); ok && of == base {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
				_ = root.Remove(e.Name())
			}
		}
	}
	return nil
}

// probe makes a file as Write does, and takes it away: what the mode of a folder does
// not say is whether its file system is read-only, and whether we are in the group.
// Nothing else is a reason here: a disk that is full now may have room when it counts.
func (f *File) probe(root *os.Root, base string) error {
	tmp := safefile.TempName(base)
	file, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		if f.Shared {
			err = f.give(file)
		}
		_ = file.Close()
		_ = root.Remove(tmp)
	}
	var group *GroupError
	switch {
	case errors.As(err, &group):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &FolderError{Path: root.Name(), Reason: "cannot be written in: " + reason(err), Err: err}
	}
	return nil
}

// give hands an open file to the group.
func (f *File) give(file *os.File) error {
	if err := file.Chown(-1, f.Group); err != nil {
		return &GroupError{Path: f.Path, Group: f.Group, Err: cause(err)}
	}
	return nil
}

func (f *File) mayReplace(root *os.Root, base string) error {
	data, _, err := read(root, base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(data) == 0 || f.Ours != nil && f.Ours(data):
		return nil
	}
	return &ForeignError{Path: f.Path}
}

// read gives the bytes of what must be a regular file and no link, and whether it is
// ours.
func read(root *os.Root, base string) (data []byte, own bool, err error) {
	info, err := root.Lstat(base)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, &safefile.NotRegularError{Path: filepath.Join(root.Name(), base), Mode: info.Mode()}
	}
	// Somebody may put a pipe there in this moment.
	file, err := root.OpenFile(base, os.O_RDONLY|dontWait, 0)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	if now, err := file.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, false, fmt.Errorf("%s has just been exchanged", base)
	}
	data, err = io.ReadAll(io.LimitReader(file, maxRead))
	return data, ownedByUs(info), err
}

// Read gives what is in the file. In a folder with the sticky bit it may be somebody
// else's, which fails with *safefile.NotPrivateError: he could make believe that it was
// written by us.
func (f *File) Read() ([]byte, error) {
	root, base, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	data, own, err := read(root, base)
	if err == nil && !own {
		err = &safefile.NotPrivateError{Path: f.Path, Reason: "belongs to another user"}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Write puts data in place of what is there. The file has mode 0600, or 0640 and
// the group if Shared is set, and never another, not even for a moment. It fails
// with *FolderError, *ForeignError, *GroupError or what the file system says, and then the old
// file is untouched.
func (f *File) Write(data []byte) error {
	root, base, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := f.mayReplace(root, base); err != nil {
		return err
	}
	tmp := safefile.TempName(base)
	file, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = f.fill(file, data); err == nil {
		err = root.Rename(tmp, base)
	}
	if err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

// fill writes data and closes file, whatever happens. The group is given before it
// may read.
func (f *File) fill(file *os.File, data []byte) error {
	var err error
	if f.Shared {
		err = f.give(file)
	}
	if err == nil {
		err = setMode(file, f.Shared)
	}
	if err == nil {
		_, err = file.Write(data)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

// Remove takes the file away if what is in it is still data; with nil, if it is
// Ours. One that is not there is as good.
func (f *File) Remove(data []byte) error {
	root, base, err := f.open()
	if err != nil {
		return err
	}
	defer root.Close()
	now, _, err := read(root, base)
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
