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

// HeldError reports that another process holds the operating system lock of a file.
type HeldError struct{ Path string }

func (e *HeldError) Error() string { return "another process holds the lock " + e.Path }

// OSLock is a held operating system lock on a private file of ours. It is for one
// goroutine. Unlike with a [Lock], the file stays when the lock is released, and the
// lock is free as soon as its holder dies.
type OSLock struct {
	path string
	file *os.File
}

// AcquireOS takes the operating system lock of the file at path, which is created
// with mode 0600 if it does not exist. A file of another user and a file that is not
// regular are errors.
//
// Errors: *HeldError if the lock did not come free within wait, the context's cause,
// errors.ErrUnsupported if the file system has no locks, *NotPrivateError,
// *NotRegularError, or a file system error.
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
		pause(ctx, delay)
	}
}

// pause waits for about delay, or until ctx ends.
func pause(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay/2 + rand.N(delay)) // #nosec G404 -- jitter, no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// TryOS is [AcquireOS] without waiting. Unless create is set, a missing file is
// fs.ErrNotExist.
func TryOS(path string, create bool) (*OSLock, error) {
	f, err := openLock(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		f, err = createLock(path)
		if errors.Is(err, fs.ErrExist) {
			return nil, &HeldError{Path: path} // another process created it: try again
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

// take locks the open file f if path still names it. Otherwise other processes lock
// the file that is there now, and this lock would exclude nobody.
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

// Remove deletes the file. A process that waits for its lock notices and creates a
// new one.
func (l *OSLock) Remove() error { return os.Remove(l.path) }

// Release releases the lock. A second call is an error and does no harm.
func (l *OSLock) Release() error { return l.file.Close() }
