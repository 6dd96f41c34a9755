package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

// Layout has the paths in a state directory, locked or not.
type Layout struct{ Root string }

// Path joins names to the directory.
func (l Layout) Path(elem ...string) string {
	return filepath.Join(append([]string{l.Root}, elem...)...)
}

// Log is the log file of a program of this name.
func (l Layout) Log(name string) string { return l.Path("logs", name+".log") }

// PIDFile contains the process ID of a program of this name while it runs.
func (l Layout) PIDFile(name string) string { return l.Path("run", name+".pid") }

// Kubeconfig is the file that the sandbox's `env` sets KUBECONFIG to.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// AdminKubeconfig has a client certificate of system:masters, which bypasses ekskey.
func (l Layout) AdminKubeconfig() string { return l.Path("admin.kubeconfig") }

// CABundle is the CA certificate for clients of the embedded AWS.
func (l Layout) CABundle() string { return l.Path("aws", "ca.pem") }

// AWSConfig and AWSCredentials are AWS configuration files with a profile for each
// identity.
func (l Layout) AWSConfig() string { return l.Path("aws", "config") }

// AWSCredentials has the keys of [Layout.AWSConfig]'s profiles.
func (l Layout) AWSCredentials() string { return l.Path("aws", "credentials") }

// HeldError reports that a sandbox uses the directory.
type HeldError struct {
	Dir string
	// PID is the supervising process, 0 if unknown.
	PID int
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("a sandbox is already starting in %s", e.Dir)
	}
	return fmt.Sprintf("a sandbox is already running in %s (process %d)", e.Dir, e.PID)
}

// Hint says what to do about it.
func (e *HeldError) Hint() string {
	return "use it (ekskey-sandbox env), stop it (ekskey-sandbox down), or name another directory with --state"
}

// ForeignError reports a directory that does not belong to a sandbox.
type ForeignError struct{ Dir, Reason string }

func (e *ForeignError) Error() string { return fmt.Sprintf("%s %s", e.Dir, e.Reason) }

// Hint says what to do about it.
func (e *ForeignError) Hint() string {
	return "name an empty or new directory with --state"
}

// NotRunningError reports that no sandbox runs in the directory.
type NotRunningError struct{ Dir string }

func (e *NotRunningError) Error() string { return "no sandbox is running in " + e.Dir }

// Hint says what to do about it.
func (e *NotRunningError) Hint() string { return "start one with ekskey-sandbox up" }

// Read reads the record of the sandbox that runs in the directory. It fails with
// *NotRunningError if none is running and ready.
func Read(root string) (Record, Layout, error) {
	l := Layout{Root: root}
	root, err := filepath.Abs(root)
	if err != nil {
		return Record{}, l, fmt.Errorf("finding the state directory: %w", err)
	}
	l.Root = root
	if !l.isHeld() {
		return Record{}, l, &NotRunningError{Dir: root}
	}
	r, err := l.record()
	if err != nil || !r.Ready {
		return Record{}, l, &NotRunningError{Dir: root}
	}
	return r, l, nil
}

// Down stops the sandbox that runs in the directory, if any, and removes the directory.
// It reports whether there was anything to remove.
func Down(ctx context.Context, root string) (bool, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return false, fmt.Errorf("finding the state directory: %w", err)
	}
	l := Layout{Root: root}
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := l.check(); err != nil {
		return false, err
	}
	for {
		lock, err := l.take()
		var held *HeldError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return true, nil // the sandbox removed its directory as it stopped
		case err == nil:
			return true, (&Dir{Layout: l, lock: lock}).Remove()
		case !errors.As(err, &held):
			return true, err
		}
		err = os.WriteFile(l.Path(stopName), nil, 0o600)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("stopping the sandbox: %w", err)
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("waiting for the sandbox to stop: process %d still holds %s", held.PID, root)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// check requires the directory to be ours and a sandbox's, or empty.
func (l Layout) check() error {
	info, err := os.Lstat(l.Root)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return &ForeignError{Dir: l.Root, Reason: "is a symbolic link"}
	case !info.IsDir():
		return &ForeignError{Dir: l.Root, Reason: "is not a directory"}
	case !ownedByUs(info):
		return &ForeignError{Dir: l.Root, Reason: "belongs to another user"}
	}
	entries, err := os.ReadDir(l.Root)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	mark, err := os.Lstat(l.Path(lockName))
	if len(entries) > 0 && (err != nil || !mark.Mode().IsRegular()) {
		return &ForeignError{Dir: l.Root, Reason: "contains files that no sandbox created"}
	}
	return nil
}

// CheckPrivate requires a directory to belong to this user and to be writable by nobody
// else. It fails with *ForeignError.
func CheckPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	if !ownedByUs(info) {
		return &ForeignError{Dir: dir, Reason: "belongs to another user"}
	}
	if info.Mode().Perm()&0o022 != 0 && runtime.GOOS != "windows" {
		return &ForeignError{Dir: dir, Reason: "can be written by other users"}
	}
	return nil
}

// take locks the directory, or fails with *HeldError.
func (l Layout) take() (*flock.Flock, error) {
	for {
		lock := flock.New(l.Path(lockName), flock.SetPermissions(0o600))
		ok, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("locking the state directory: %w", err)
		}
		if !ok {
			r, _ := l.record()
			return nil, &HeldError{Dir: l.Root, PID: r.PID}
		}
		// The file may have been removed between opening and locking it.
		mine, err := lock.Stat()
		if named, nameErr := os.Lstat(l.Path(lockName)); err == nil && nameErr == nil && os.SameFile(mine, named) {
			return lock, nil
		}
		if err := lock.Unlock(); err != nil {
			return nil, fmt.Errorf("locking the state directory: %w", err)
		}
	}
}

func (l Layout) isHeld() bool {
	if _, err := os.Lstat(l.Path(lockName)); err != nil {
		return false
	}
	lock := flock.New(l.Path(lockName), flock.SetFlag(os.O_RDWR))
	ok, err := lock.TryLock()
	if ok {
		_ = lock.Unlock()
	}
	return err == nil && !ok
}

func (l Layout) record() (Record, error) {
	var r Record
	b, err := os.ReadFile(l.Path(recordName))
	if err != nil {
		return r, fmt.Errorf("reading the sandbox's record: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("reading the sandbox's record: %w", err)
	}
	return r, nil
}

// leftovers describes what an earlier sandbox left behind.
func (l Layout) leftovers() string {
	entries, err := os.ReadDir(l.Root)
	if err != nil || len(entries) <= 1 {
		return ""
	}
	r, err := l.record()
	if err != nil {
		return "an earlier sandbox that never came to run"
	}
	state := "was starting"
	if r.Ready {
		state = "was running"
	}
	return fmt.Sprintf("an earlier sandbox that %s since %s and did not stop by itself (process %d, gone)",
		state, r.Started.Local().Format(time.DateTime), r.PID)
}
