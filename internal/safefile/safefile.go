// Package safefile reads, locks and replaces small files that other programs
// and other processes use at the same moment.
//
// A reader of a file written by [Write] sees the old bytes or the new ones and
// never a part, also when the writer is killed or the disk is full. Two writers
// that both hold the file's [Lock] lose nothing of each other's. The lock is
// the one kubectl and every other user of client-go take: a file named
// <file>.lock that is made only where none exists.
package safefile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links Resolve follows, as Linux does
// (path_resolution(7)).
const maxLinks = 40

// NotRegularError says that a path leads to a folder, a pipe, a device or a
// socket where a file was expected.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s is not a regular file (%s)", e.Path, e.Mode.Type())
}

// TooLargeError says that a file has more bytes than the reader takes.
type TooLargeError struct {
	Path  string
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes", e.Path, e.Limit)
}

// ReadOnlyError says that the file may not be written by its own owner.
// Replacing it by a rename would succeed all the same, which is why Write asks.
type ReadOnlyError struct {
	Path string
}

func (e *ReadOnlyError) Error() string { return e.Path + " is read-only" }

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *ReadOnlyError) Unwrap() error { return fs.ErrPermission }

// Resolve follows the symbolic links of path to the file that a write must
// replace, so that the links themselves stay. The last element need not exist,
// be it path itself or what a dangling link points to; its folder must.
func Resolve(path string) (string, error) {
	for range maxLinks {
		given, base := filepath.Split(path)
		dir, err := realDir(given)
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, base)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = dir + string(filepath.Separator) + link
		}
		path = link
	}
	return "", fmt.Errorf("following %s: too many symbolic links", path)
}

// realDir resolves the folder part of a path. The part must not have been
// cleaned: x/../y is not y where x is a link.
func realDir(dir string) (string, error) {
	if dir == "" {
		dir = "."
	}
	return filepath.EvalSymlinks(dir)
}

// Read returns the bytes of a regular file of at most limit bytes. It never
// waits for a pipe. A missing file is fs.ErrNotExist.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, func(fs.FileInfo) error { return nil })
}

// read asks the open file, not the path, which may lead elsewhere by then.
func read(path string, limit int64, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := openForRead(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
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

// Write replaces the file that path leads to with data, or makes it. Symbolic
// links are followed, permission bits are kept, a new file gets 0600. Where the
// system has owners, the group is kept, and root keeps the owner too. The bytes
// are on disk before the old file goes; on an error the old file is untouched
// and nothing else is left.
//
// A process killed in Write leaves a temporary file in the same folder, which
// the next [Acquire] for the same path removes. So where several processes
// write one file, each must hold its lock.
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
	tmp := TempName(target)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the caller names the file
	if err != nil {
		return err
	}
	if err := fill(f, data, mode, old); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := replace(tmp, target); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(target))
}

// fill writes data and closes f, whatever happens.
func fill(f *os.File, data []byte, mode fs.FileMode, old fs.FileInfo) error {
	_, err := f.Write(data)
	if err == nil && old != nil {
		err = keepOwner(f, old)
	}
	if err == nil {
		err = setMode(f, mode) // after keepOwner: a change of owner may clear bits
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

const (
	tempInfix  = ".ekskey-"
	tempSuffix = ".tmp"
)

// TempName returns a fresh name beside target that [IsTemp] and the sweep after a kill
// will know again. It makes nothing.
func TempName(target string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	dir, base := filepath.Split(target)
	return filepath.Join(dir, "."+base+tempInfix+hex.EncodeToString(b[:])+tempSuffix)
}

// isTemp reports whether name is one that TempName gives for base.
func isTemp(name, base string) bool {
	id, ok := strings.CutPrefix(name, "."+base+tempInfix)
	if !ok {
		return false
	}
	id, ok = strings.CutSuffix(id, tempSuffix)
	if !ok || len(id) != 16 {
		return false
	}
	_, err := hex.DecodeString(id)
	return err == nil
}

// sweep removes what killed processes left beside target. The caller holds
// target's lock, so that no living process has a temporary file of target;
// those of the lock file itself are held by an OS lock while they live. Sweep
// is housekeeping: what it cannot remove does not stop the caller. A process
// killed in publish leaves its temporary file as a second name of the lock file
// that was taken over from it, where the caller's own OS lock is in the way.
func sweep(target string, lock *os.File) {
	dir, base := filepath.Split(target)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		switch {
		case isTemp(e.Name(), base):
			_ = os.Remove(path)
		case isTemp(e.Name(), base+lockSuffix):
			if isAt(lock, path) {
				_ = os.Remove(path)
			} else {
				sweepLockTemp(path)
			}
		}
	}
}

func sweepLockTemp(path string) {
	f, err := openLock(path)
	if err != nil {
		return
	}
	defer f.Close()
	if held, err := tryLock(f); err == nil && held {
		_ = os.Remove(path)
	}
}
