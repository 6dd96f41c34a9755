package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultWait is how long [Acquire] waits for a lock that does not change hands.
const DefaultWait = 10 * time.Second

// lockSuffix is client-go's (k8s.io/client-go/tools/clientcmd, lockName).
const lockSuffix = ".lock"

const (
	markerMagic = "ekskey-lock "
	// markerSize is fixed, so that a taken-over lock is overwritten in place and
	// a writer killed half-way still leaves a marked one.
	markerSize = 384

	pollMin = 2 * time.Millisecond
	pollMax = 40 * time.Millisecond
)

// LockedError says that the lock of a file did not come free in time.
type LockedError struct {
	// Path is the lock file.
	Path string
	// PID and Host name the process of ours that holds it. Both are zero where
	// another program made the lock: if no such program is running, the lock
	// was left by one that was killed, and removing Path is the remedy.
	PID  int
	Host string
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("another program holds %s", e.Path)
	}
	return fmt.Sprintf("process %d on %s holds %s", e.PID, e.Host, e.Path)
}

// LockConfig says which file to lock.
type LockConfig struct {
	// Path is the file to be read and written; its folder must exist. The lock
	// file is Path + ".lock". Where Path is a symbolic link, the file it leads
	// to is locked as well, so that two names of one file exclude each other.
	Path string
	// Wait is how long one and the same holder is waited for. Zero is
	// DefaultWait. A lock that passes from hand to hand is making progress and
	// is waited for as long as the context lives.
	Wait time.Duration
}

// Lock is a held lock. It is for one goroutine.
type Lock struct {
	held []heldLock
}

type heldLock struct {
	path string
	file *os.File
}

// Acquire takes the lock of a file, against processes of ours and against
// programs built on client-go.
//
// Ours is marked with process id and host from the moment it exists, and held
// by a lock of the operating system. A marked lock file whose OS lock is free
// was left by a killed process and is taken over at once, unless another host
// made it: network file systems do not always carry OS locks, so such a one is
// taken over only after it has not changed for the whole wait. A lock without
// our mark is another program's and is never removed.
//
// Errors: *LockedError after the wait, the context's cause, or what the file
// system says.
func Acquire(ctx context.Context, cfg LockConfig) (*Lock, error) {
	wait := cfg.Wait
	if wait == 0 {
		wait = DefaultWait
	}
	target, err := Resolve(cfg.Path)
	if err != nil {
		return nil, err
	}
	// The name as given first, the real file last: every process takes them in
	// this order, and a real file is never a link, so there is no cycle.
	paths := []string{target + lockSuffix}
	dir, base := filepath.Split(cfg.Path)
	if dir, err = realDir(dir); err != nil {
		return nil, err
	}
	if given := filepath.Join(dir, base); given != target {
		paths = []string{given + lockSuffix, target + lockSuffix}
	}
	l := &Lock{}
	for _, p := range paths {
		f, err := acquireOne(ctx, p, wait)
		if err != nil {
			return nil, errors.Join(err, l.Release())
		}
		l.held = append(l.held, heldLock{path: p, file: f})
	}
	for _, h := range l.held {
		sweep(strings.TrimSuffix(h.path, lockSuffix), h.file)
	}
	return l, nil
}

// Release gives the lock up and removes its file. A second call does nothing.
func (l *Lock) Release() error {
	var errs []error
	for i := len(l.held) - 1; i >= 0; i-- {
		errs = append(errs, l.held[i].release())
	}
	l.held = nil
	return errors.Join(errs...)
}

// release unlinks before it unlocks: who waits on the OS lock finds another
// file, or none, at the path and starts again.
func (h heldLock) release() error {
	var err error
	if isAt(h.file, h.path) { // else someone removed our lock by hand
		err = os.Remove(h.path)
	}
	return errors.Join(err, h.file.Close())
}

// isAt reports whether path still names the open file.
func isAt(f *os.File, path string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	want, err := os.Lstat(path)
	return err == nil && os.SameFile(have, want)
}

func acquireOne(ctx context.Context, path string, wait time.Duration) (*os.File, error) {
	var last sighting
	var deadline time.Time
	delay := pollMin
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", path, err)
		}
		overdue := last.info != nil && !time.Now().Before(deadline)
		f, seen, err := attempt(path, overdue)
		if f != nil || err != nil {
			return f, err
		}
		passed := !seen.same(last)
		switch {
		case passed:
			last, deadline = seen, time.Now().Add(wait)
		case overdue:
			pid, host := parseMarker(seen.text)
			return nil, &LockedError{Path: path, PID: pid, Host: host}
		}
		delay = nextDelay(delay, passed)
		timer := time.NewTimer(delay/2 + rand.N(delay)) // #nosec G404 -- jitter, no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// nextDelay makes a wait longer, or shorter where the lock has passed to another.
// It does not begin anew then: where many wait, each would ask so often that the
// holder had little time left.
func nextDelay(delay time.Duration, passed bool) time.Duration {
	if passed {
		delay = max(delay/2, pollMin)
	}
	return min(delay*3/2, pollMax)
}

// sighting is what was at the lock's path when it could not be had.
type sighting struct {
	info fs.FileInfo
	text string
}

func (s sighting) same(o sighting) bool {
	return s.info != nil && o.info != nil && os.SameFile(s.info, o.info) &&
		s.info.ModTime().Equal(o.info.ModTime()) && s.text == o.text
}

// attempt returns the lock, or what stands in its way. A zero sighting means
// that something changed meanwhile and the next attempt may succeed.
func attempt(path string, overdue bool) (*os.File, sighting, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err := create(path)
		return f, sighting{}, err
	}
	if err != nil {
		return nil, sighting{}, err
	}
	seen := sighting{info: info}
	if !info.Mode().IsRegular() {
		return nil, seen, nil // never opened: a pipe could block, a link lead anywhere
	}
	f, err := openLock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sighting{}, nil
	}
	if err != nil {
		return nil, seen, nil // client-go's have mode 0
	}
	buf, _ := io.ReadAll(io.LimitReader(f, markerSize+1))
	seen.text = string(buf)
	pid, host := parseMarker(seen.text)
	if pid == 0 {
		return nil, seen, f.Close()
	}
	held, err := tryLock(f)
	if err != nil || !held || (host != hostname() && !overdue) {
		return nil, seen, f.Close()
	}
	// Two processes may find the same stale lock. Only one gets its OS lock; by
	// the time the other does, the file is off the path.
	if !isAt(f, path) {
		return nil, sighting{}, f.Close()
	}
	if _, err := f.WriteAt(marker(), 0); err != nil {
		return nil, sighting{}, errors.Join(err, f.Close())
	}
	return f, sighting{}, nil
}

// create makes the lock file so that it is marked and OS-locked before it is
// at its path: a process killed at any point leaves either no lock or one that
// is seen to be stale. It returns nil without an error where another process
// was faster.
func create(path string) (*os.File, error) {
	tmp := TempName(path)
	f, err := createLock(tmp)
	if err != nil {
		return nil, err
	}
	held, err := markHeld(f)
	if err == nil && held {
		err = publish(tmp, path)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, errNoLink) {
			err = errors.Join(f.Close(), os.Remove(tmp))
			if err != nil {
				return nil, err
			}
			return createInPlace(path)
		}
	}
	_ = os.Remove(tmp) // gone already where a sweep was faster than tryLock
	cerr := f.Close()
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil, cerr
	}
	return nil, err
}

// createInPlace is for file systems without hard links (FAT).
func createInPlace(path string) (*os.File, error) {
	f, err := createLock(path)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	held, err := markHeld(f)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path), f.Close())
	}
	if !held {
		return nil, f.Close()
	}
	return f, nil
}

// markHeld takes the OS lock and writes the marker. A file system that has no
// OS locks leaves the file as the only lock: it excludes, but when its holder
// is killed it is not seen to be stale.
func markHeld(f *os.File) (bool, error) {
	held, err := tryLock(f)
	if err == nil && !held {
		return false, nil
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return false, err
	}
	_, err = f.WriteAt(marker(), 0)
	return true, err
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	// Host names have at most 253 bytes (RFC 1035); a marker has room for one.
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, name)
	return name[:min(len(name), 253)]
}

// marker is "ekskey-lock pid=N host=H", padded with spaces to its fixed size.
func marker() []byte {
	text := fmt.Sprintf("%spid=%d host=%s", markerMagic, os.Getpid(), hostname())
	return []byte(text + strings.Repeat(" ", max(0, markerSize-1-len(text))) + "\n")
}

// parseMarker returns a zero pid for what is not ours.
func parseMarker(text string) (pid int, host string) {
	if len(text) != markerSize {
		return 0, ""
	}
	rest, ok := strings.CutPrefix(text, markerMagic)
	if !ok {
		return 0, ""
	}
	if _, err := fmt.Sscanf(rest, "pid=%d host=%s", &pid, &host); err != nil || pid < 1 {
		return 0, ""
	}
	return pid, host
}
