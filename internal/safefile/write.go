package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write replaces the file that path leads to with data, or creates it. Symbolic
// links are followed, permission bits are kept, a new file gets 0600. The group is
// kept, and root keeps the owner too. The data is on disk before the old file is
// replaced; on an error the old file is untouched and nothing else is left.
//
// A process killed in Write leaves a temporary file in the same directory, which
// the next [Acquire] for the same path removes. So if several processes write one
// file, each must hold its lock.
func Write(path string, data []byte) error {
	target, err := Resolve(path)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	old, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return &NotRegularError{Path: target, Mode: old.Mode()}
	case old.Mode().Perm()&0o200 == 0:
		return &ReadOnlyError{Path: target}
	default:
		mode = old.Mode().Perm()
	}
	dir, base := filepath.Split(target)
	if err := replaceFile(pathDir(dir), base, data, true, func(f *os.File) error {
		if old != nil {
			if err := keepOwner(f, old); err != nil {
				return err
			}
		}
		return setMode(f, mode) // after keepOwner: a change of owner may clear bits
	}); err != nil {
		return err
	}
	return syncDir(filepath.Dir(target))
}

// WritePrivate replaces the file at path, or creates it, with mode 0600. A symbolic
// link at path is replaced, not followed. Nothing is forced to disk, so the file may
// be torn after a power cut: use it for what can be made again.
//
// A process killed in it leaves a temporary file; see [IsTemp].
func WritePrivate(path string, data []byte) error {
	dir, base := filepath.Split(path)
	return replaceFile(pathDir(dir), base, data, false, func(f *os.File) error {
		return setMode(f, 0o600) // the umask may have cleared the owner's bits
	})
}

// directory is an [os.Root], or a pathDir.
type directory interface {
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	Rename(from, to string) error
	Remove(name string) error
}

// pathDir is a directory that is looked up by its path for each operation.
type pathDir string

func (d pathDir) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(filepath.Join(string(d), name), flag, mode) // #nosec G304 -- the caller names the file
}

func (d pathDir) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d pathDir) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

// replaceFile writes data to a new file with mode 0600, once prepare has set its owner and
// mode, and renames it to base. On an error nothing is left.
func replaceFile(d directory, base string, data []byte, sync bool, prepare func(*os.File) error) error {
	tmp := TempName(base)
	f, err := d.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = prepare(f)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err == nil && sync {
		// Linux gives a file that was asked for its times finer ones for the next
		// change. By that a [Watcher] tells a replaced file from one written in place.
		_, err = f.Stat()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = rename(d, tmp, base)
	}
	if err != nil {
		return errors.Join(err, d.Remove(tmp))
	}
	return nil
}
