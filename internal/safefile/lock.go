package safefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	// markerSize is fixed, so that a lock that is taken over is overwritten in place
	// and a writer killed half-way still leaves a marked one.
	markerSize = 384

	pollMin = 2 * time.Millisecond
	pollMax = 40 * time.Millisecond
)

// LockedError reports that the lock of a file did not come free in time.
type LockedError struct {
	// Path is the lock file.
	Path string
	// PID and Host name the ekskey process that holds it. Both are zero if another
	// program created the lock. If no such program is running, it was killed and
	// left the lock behind, and removing Path is the remedy.
	PID  int
	Host string
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("another program holds the lock %s", e.Path)
	}
	return fmt.Sprintf("process %d on %s holds the lock %s", e.PID, e.Host, e.Path)
}

// LockConfig says which file to lock.
type LockConfig struct {
	// Path is the file to be read and written; its directory must exist. The lock
	// file is Path + ".lock". If Path is a symbolic link, its target is locked as
	// well, so that two names of one file exclude each other.
	Path string
	// Wait is how long to wait for one and the same holder. Zero is DefaultWait.
	// While the lock passes from holder to holder, the wait goes on until the
	// context ends.
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
// by an operating system lock. A marked lock file whose OS lock is free is stale,
// left by a killed process, and is taken over at once, unless another host
// created it: network file systems do not always carry OS locks, so such a one is
// taken over only after it has not changed for the whole wait. A lock without
// our mark belongs to another program and is never removed.
//
// Errors: *LockedError after the wait, the context's cause, or a file system error.
func Acquire(ctx context.Context, cfg LockConfig) (*Lock, error) {
	wait := cfg.Wait
	if wait == 0 {
		wait = DefaultWait
	}
	target, err := Resolve(cfg.Path)
	if err != nil {
		return nil, err
	}
	// The link first, its target last: every process takes them in this order, and
	// a target is never a link, so there is no cycle.
	paths := []string{target + lockSuffix}
	dir, base := filepath.Split(cfg.Path)
	if dir, err = realDir(dir); err != nil {
		return nil, err
	}
	if link := filepath.Join(dir, base); link != target {
		paths = []string{link + lockSuffix, target + lockSuffix}
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

// Clock is the time by the clock of the file system, as the lock file tells it. It
// may be some milliseconds behind.
func (l *Lock) Clock() func() time.Time {
	start, made := time.Now(), time.Now()
	if n := len(l.held); n > 0 {
		if info, err := l.held[n-1].file.Stat(); err == nil {
			made = info.ModTime()
		}
	}
	return func() time.Time { return made.Add(time.Since(start)) }
}

// Release releases the lock and removes its file. A second call does nothing.
func (l *Lock) Release() error {
	var errs []error
	for i := len(l.held) - 1; i >= 0; i-- {
		errs = append(errs, l.held[i].release())
	}
	l.held = nil
	return errors.Join(errs...)
}

// release unlinks before it unlocks: a process that waits for the OS lock finds
// another file, or none, at the path and tries again.
func (h heldLock) release() error {
	var err error
	if isAt(h.file, h.path) { // else somebody removed our lock by hand
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
	var last lockState
	var deadline time.Time
	delay := pollMin
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", path, err)
		}
		overdue := last.info != nil && !time.Now().Before(deadline)
		f, now, err := attempt(path, overdue)
		if f != nil || err != nil {
			return f, err
		}
		passed := !now.same(last)
		switch {
		case passed:
			last, deadline = now, time.Now().Add(wait)
		case overdue:
			pid, host := parseMarker(now.text)
			return nil, &LockedError{Path: path, PID: pid, Host: host}
		}
		delay = nextDelay(delay, passed)
		pause(ctx, delay)
	}
}

// nextDelay is a back-off that shrinks a little when the lock has passed to another
// holder. It does not restart at pollMin then: many waiters would poll so often that
// the holder had little time left.
func nextDelay(delay time.Duration, passed bool) time.Duration {
	if passed {
		delay = max(delay/2, pollMin)
	}
	return min(delay*3/2, pollMax)
}

// lockState is what was at the lock's path when it could not be taken.
type lockState struct {
	info fs.FileInfo
	text string
}

func (s lockState) same(o lockState) bool {
	return s.info != nil && o.info != nil && os.SameFile(s.info, o.info) &&
		s.info.ModTime().Equal(o.info.ModTime()) && s.text == o.text
}

// attempt returns the lock, or what is at its path. A zero lockState means that
// something changed meanwhile and the next attempt may succeed.
func attempt(path string, overdue bool) (*os.File, lockState, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err := create(path)
		return f, lockState{}, err
	}
	if err != nil {
		return nil, lockState{}, err
	}
	state := lockState{info: info}
	if !info.Mode().IsRegular() {
		return nil, state, nil // never opened: a pipe could block, a link lead anywhere
	}
	f, err := openLock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, lockState{}, nil
	}
	if err != nil {
		return nil, state, nil // client-go's have mode 0
	}
	buf, _ := io.ReadAll(io.LimitReader(f, markerSize+1))
	state.text = string(buf)
	pid, host := parseMarker(state.text)
	if pid == 0 {
		return nil, state, f.Close()
	}
	held, err := tryLock(f)
	if err != nil || !held || (host != hostname() && !overdue) {
		return nil, state, f.Close()
	}
	// Two processes may find the same stale lock. Only one gets its OS lock; by
	// the time the other does, the file is off the path.
	if !isAt(f, path) {
		return nil, lockState{}, f.Close()
	}
	if _, err := f.WriteAt(marker(), 0); err != nil {
		return nil, lockState{}, errors.Join(err, f.Close())
	}
	return f, lockState{}, nil
}

// create creates the lock file so that it is marked and OS-locked before it is
// at its path: a process killed at any point leaves either no lock or one that
// is recognised as stale. It returns nil without an error if another process
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
// OS locks leaves the file as the only lock: it excludes other processes, but if its
// holder is killed it is not recognised as stale.
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
	// A host name has at most 253 bytes (RFC 1035), so that it fits in a marker.
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

// parseMarker returns a zero pid for a text that is not one of our markers.
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

// sweep removes the temporary files that killed processes left beside target. The
// caller holds target's lock, so no living process has a temporary file of target;
// those of the lock file itself are OS-locked while their process lives. A process
// killed in publish leaves its temporary file as a second name of the lock file that
// the caller took over and holds the OS lock of. Errors are ignored: sweep is
// housekeeping.
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
