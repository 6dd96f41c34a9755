package safefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"
)

// HeldError says that another process holds the operating system's lock of a
// file.
type HeldError struct{ Path string }

func (e *HeldError) Error() string { return "another process holds " + e.Path }

// OSLock is a held lock of the operating system on a private file of ours. It
// is for one goroutine. Unlike a [Lock] its file stays when it is released, so
// that nobody need wait for a file to go: when its holder dies, it is free.
type OSLock struct {
	path string
	file *os.File
}

// AcquireOS takes the operating system's lock of the file at path, which is
// made, with mode 0600, where there is none. A file of another user, or what is
// no regular file, is an error.
//
// Errors: *HeldError when it was not to be had within wait, the context's
// cause, errors.ErrUnsupported where the file system has no locks,
// *NotPrivateError, *NotRegularError, or what the file system says.
func AcquireOS(ctx context.Context, path string, wait time.Duration) (*OSLock, error) {
	deadline := time.Now().Add(wait)
	for delay := pollMin; ; delay = min(delay*3/2, pollMax) {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", path, err)
		}
		l, err := TryOS(path, true)
		var held *HeldError
		if !errors.As(err, &held) || !time.Now().Before(deadline) {
			return l, err
		}
		timer := time.NewTimer(delay/2 + rand.N(delay)) // #nosec G404 -- jitter, no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// TryOS is [AcquireOS] without waiting. Without make, a missing file is
// fs.ErrNotExist.
func TryOS(path string, make bool) (*OSLock, error) {
	f, err := openLock(path)
	if make && errors.Is(err, fs.ErrNotExist) {
		f, err = createLock(path)
		if errors.Is(err, fs.ErrExist) {
			return nil, &HeldError{Path: path} // another was faster: ask again
		}
	}
	if err != nil {
		return nil, err
	}
	if err := take(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &OSLock{path: path, file: f}, nil
}

// take locks the open file f, if that is what path still names: else there is
// another file by now, whose lock others take, and this one's excludes nobody.
func take(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &NotRegularError{Path: path, Mode: info.Mode()}
	}
	if !ownedByUs(info) {
		return &NotPrivateError{Path: path, Reason: "belongs to another user"}
	}
	held, err := tryLock(f)
	if err == nil && (!held || !isAt(f, path)) {
		err = &HeldError{Path: path}
	}
	return err
}

// File is the locked file, open for reading and writing.
func (l *OSLock) File() *os.File { return l.file }

// Remove takes the file away. Whoever waits for its lock will find that it is
// gone, and make another.
func (l *OSLock) Remove() error { return os.Remove(l.path) }

// Release gives the lock up. A second call is an error and does no harm.
func (l *OSLock) Release() error { return l.file.Close() }
