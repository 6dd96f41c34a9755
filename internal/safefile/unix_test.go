//go:build unix

package safefile

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func limitFileSize(n uint64) error {
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails instead
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
}

// Nothing waits for the other end of a pipe that someone put in the way.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	for _, p := range []string{path, path + ".lock"} {
		if err := unix.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var kind *NotRegularError
	if _, err := Read(path, 10); !errors.As(err, &kind) {
		t.Errorf("read: %v", err)
	}
	if err := Write(path, nil); !errors.As(err, &kind) {
		t.Errorf("write: %v", err)
	}
	var locked *LockedError
	if _, err := Acquire(t.Context(), LockConfig{Path: path, Wait: time.Millisecond}); !errors.As(err, &locked) {
		t.Errorf("lock: %v", err)
	}
}

// Root who rewrites someone's file leaves it theirs.
func TestRootKeepsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put(t, path, "old", 0o640)
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 54321
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != uid || int(st.Gid) != gid || info.Mode().Perm() != 0o640 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

// Where hard links are not to be had, the lock is made in place.
func TestCreateInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.lock")
	f, err := createInPlace(path)
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	if pid, _ := parseMarker(get(t, path)); pid != os.Getpid() {
		t.Errorf("marked with %d", pid)
	}
	if again, err := createInPlace(path); again != nil || err != nil {
		t.Errorf("a second one: %v, %v", again, err)
	}
	if err := (heldLock{path, f}).release(); err != nil {
		t.Error(err)
	}
}

// A process killed between publish's two steps leaves one file with two names.
func TestKilledInPublish(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	tmp := TempName(path + ".lock")
	put(t, tmp, string(marker()), 0o600)
	if err := os.Link(tmp, path+".lock"); err != nil {
		t.Fatal(err)
	}
	l := acquire(t, path)
	if got := names(t, dir); !slices.Equal(got, []string{"config.lock"}) {
		t.Errorf("left behind: %v", got)
	}
	release(t, l)
}
