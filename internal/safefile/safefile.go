// Package safefile reads, locks and atomically replaces small files that other
// processes use at the same time, and files that hold secrets.
//
// Reads differ in whom they trust: [Read] anyone, [ReadTrusted] everybody but the
// world, [ReadOwn] the user and root, [ReadPrivate] the user alone.
//
// Every write is a temporary file that is renamed: a reader sees the old bytes or
// the new ones and never a part, even if the writer is killed or the disk is full.
// [Write] is for files the user shares with other programs (symbolic links, modes
// and owners are kept), [WritePrivate] for files of our own, and [SecretFile] for a
// secret in a directory that somebody else may have prepared.
//
// Locks are of two kinds. [Lock] is the one that kubectl and every other user of
// client-go take: a file named <file>.lock that is created only if none exists.
// [OSLock] is an operating system lock on a file of our own.
package safefile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links Resolve follows, as Linux does
// (path_resolution(7)).
const maxLinks = 40

// NotRegularError reports a directory, pipe, device or socket where a regular file
// was expected.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s is not a regular file (%s)", e.Path, e.Mode.Type())
}

// TooLargeError reports a file with more bytes than the reader accepts.
type TooLargeError struct {
	Path  string
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes", e.Path, e.Limit)
}

// ReadOnlyError reports a file that its owner may not write. Replacing it by a
// rename would succeed all the same, so [Write] checks.
type ReadOnlyError struct{ Path string }

func (e *ReadOnlyError) Error() string { return e.Path + " is read-only" }

// Unwrap makes errors.Is(err, fs.ErrPermission) true.
func (e *ReadOnlyError) Unwrap() error { return fs.ErrPermission }

// Resolve follows the symbolic links of path to the file that a write must
// replace, so that the links themselves stay. The file need not exist, whether it
// is path itself or the target of a dangling link; its directory must.
func Resolve(path string) (string, error) {
	for range maxLinks {
		parent, base := filepath.Split(path)
		dir, err := realDir(parent)
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

// realDir resolves the directory part of a path. The part must not have been
// cleaned: x/../y is not y if x is a link.
func realDir(dir string) (string, error) {
	if dir == "" {
		dir = "."
	}
	return filepath.EvalSymlinks(dir)
}

const (
	tempInfix  = ".ekskey-"
	tempSuffix = ".tmp"
)

// TempName returns a new temporary name in target's directory, which [IsTemp]
// recognises. It creates nothing.
func TempName(target string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	dir, base := filepath.Split(target)
	return filepath.Join(dir, "."+base+tempInfix+hex.EncodeToString(b[:])+tempSuffix)
}

// isTemp reports whether name is one that TempName returns for base.
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

// IsTemp reports whether name, without its directory, is that of a temporary file,
// and of which file. A process that is killed in a write leaves one.
func IsTemp(name string) (base string, ok bool) {
	const tail = len(tempInfix) + 16 + len(tempSuffix)
	if len(name) <= 1+tail {
		return "", false
	}
	base = name[1 : len(name)-tail]
	return base, isTemp(name, base)
}
