package safefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func acquire(t *testing.T, path string) *Lock {
	t.Helper()
	l, err := Acquire(t.Context(), LockConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l *Lock) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	l := acquire(t, path)
	pid, host := parseMarker(get(t, path+".lock"))
	if pid != os.Getpid() || host != hostname() {
		t.Errorf("marked with %d, %q", pid, host)
	}
	// What client-go does to take it.
	if _, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL, 0); !errors.Is(err, fs.ErrExist) {
		t.Errorf("client-go gets %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"config.lock"}) {
		t.Errorf("left behind while held: %v", got)
	}
	release(t, l)
	release(t, l)
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// stale leaves a lock file whose holder is dead.
func stale(t *testing.T, path, host string) {
	t.Helper()
	text := strings.Replace(string(marker()), "host="+hostname(), "host="+host, 1)
	text = strings.TrimRight(text, " \n")
	put(t, path, text+strings.Repeat(" ", markerSize-1-len(text))+"\n", 0o600)
}

func TestStaleLockIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	stale(t, path+".lock", hostname())
	release(t, acquire(t, path))
	if got := names(t, filepath.Dir(path)); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// Many find the same stale lock at once; still only one holds it at a time.
func TestStaleLockIsTakenOverByOne(t *testing.T) {
	for round := range 20 {
		path := filepath.Join(t.TempDir(), "config")
		stale(t, path+".lock", hostname())
		var wg sync.WaitGroup
		var inside sync.Mutex
		for range 16 {
			wg.Go(func() {
				l, err := Acquire(t.Context(), LockConfig{Path: path})
				if err != nil {
					t.Error(err)
					return
				}
				if !inside.TryLock() {
					t.Errorf("round %d: two hold the lock", round)
				} else {
					inside.Unlock()
				}
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// Each row is a lock that is not ours to remove.
func TestForeignLocks(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(t *testing.T, lock string)
		pid   int
		host  string
	}{
		{"client-go's", func(t *testing.T, lock string) {
			f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}, 0, ""},
		{"another text", func(t *testing.T, lock string) { put(t, lock, "pid=1 host=x\n", 0o600) }, 0, ""},
		{"our words and more", func(t *testing.T, lock string) { put(t, lock, string(marker())+"x", 0o600) }, 0, ""},
		{"our words, cut short", func(t *testing.T, lock string) { put(t, lock, string(marker()[:100]), 0o600) }, 0, ""},
		{"a link to a file with our words", func(t *testing.T, lock string) {
			put(t, lock+".victim", string(marker()), 0o600)
			if err := os.Symlink(lock+".victim", lock); err != nil {
				t.Fatal(err)
			}
		}, 0, ""},
		{"a dangling link", func(t *testing.T, lock string) {
			if err := os.Symlink(lock+".victim", lock); err != nil {
				t.Fatal(err)
			}
		}, 0, ""},
		{"a folder", func(t *testing.T, lock string) {
			if err := os.Mkdir(lock, 0o700); err != nil {
				t.Fatal(err)
			}
		}, 0, ""},
		{"ours, alive", func(t *testing.T, lock string) {
			l := acquire(t, strings.TrimSuffix(lock, ".lock"))
			t.Cleanup(func() { release(t, l) })
		}, os.Getpid(), hostname()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			tt.setUp(t, path+".lock")
			before, err := os.Lstat(path + ".lock")
			if err != nil {
				t.Fatal(err)
			}
			l, err := Acquire(t.Context(), LockConfig{Path: path, Wait: 30 * time.Millisecond})
			var locked *LockedError
			if l != nil || !errors.As(err, &locked) {
				t.Fatalf("got %v, %v", l, err)
			}
			if locked.PID != tt.pid || locked.Host != tt.host || filepath.Base(locked.Path) != "config.lock" {
				t.Errorf("got %+v", locked)
			}
			after, err := os.Lstat(path + ".lock")
			if err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() || after.Size() != before.Size() {
				t.Errorf("the lock is not as it was: %v, %v", after, err)
			}
			if _, err := os.Lstat(path + ".lock.victim"); err == nil && tt.name == "a dangling link" {
				t.Error("the link was followed")
			}
		})
	}
}

// The wait is 10 s unless told otherwise, and for one and the same lock.
func TestWaitIsForOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put(t, path+".lock", "foreign", 0o600)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Acquire(t.Context(), LockConfig{Path: path})
		var locked *LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("got %v", err)
		}
		if waited := time.Since(start); waited < DefaultWait || waited > DefaultWait+time.Second {
			t.Errorf("waited %v", waited)
		}
		// A lock that another program takes anew every 7 s is making progress.
		go func() {
			for i := range 5 {
				time.Sleep(7 * time.Second)
				put(t, path+".lock", fmt.Sprintf("foreign %d", i), 0o600)
			}
			time.Sleep(7 * time.Second)
			if err := os.Remove(path + ".lock"); err != nil {
				t.Error(err)
			}
		}()
		l, err := Acquire(t.Context(), LockConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		release(t, l)
	})
}

// A lock of another host may be alive though its OS lock looks free here.
func TestOtherHostsLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	stale(t, path+".lock", "elsewhere")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		if _, err := Acquire(ctx, LockConfig{Path: path}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		l, err := Acquire(t.Context(), LockConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		release(t, l)
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put(t, path+".lock", "foreign", 0o600)
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("enough")
	cancel(mine)
	if _, err := Acquire(ctx, LockConfig{Path: path}); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
}

// The lock of a link and that of its target exclude each other, and a linked
// folder does not make a process wait for itself.
func TestLockThroughLinks(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	if err := os.Mkdir(real, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"folder": "real", "config": "real/config"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{filepath.Join(dir, "config"), filepath.Join(dir, "folder", "config"), filepath.Join(real, "config")}
	for _, held := range paths {
		put(t, TempName(held+".lock"), "", 0o600) // of a killed process
		l := acquire(t, held)
		if _, err := os.Lstat(held + ".lock"); err != nil {
			t.Errorf("kubectl would not see the lock of %s: %v", held, err)
		}
		for _, other := range paths {
			var locked *LockedError
			if _, err := Acquire(t.Context(), LockConfig{Path: other, Wait: time.Millisecond}); !errors.As(err, &locked) {
				t.Errorf("%s is held, for %s got %v", held, other, err)
			}
		}
		release(t, l)
	}
	if got := names(t, real); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"config", "folder", "real"}) {
		t.Errorf("left behind: %v", got)
	}
}

// A lock removed by hand and taken by another is not removed by us.
func TestReleaseRemovesOnlyItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	l := acquire(t, path)
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	put(t, path+".lock", "kubectl's", 0o600)
	release(t, l)
	if got := get(t, path+".lock"); got != "kubectl's" {
		t.Errorf("%q", got)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	put(t, path, "old", 0o600)
	put(t, TempName(path), "half", 0o600)
	put(t, TempName(path+".lock"), "", 0o600)
	other := TempName(filepath.Join(dir, "other"))
	put(t, other, "not ours", 0o600)
	alive := TempName(path + ".lock")
	f, err := createLock(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ok, err := tryLock(f); !ok || err != nil {
		t.Fatal(ok, err)
	}
	folder := TempName(path)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	release(t, acquire(t, path))
	want := []string{filepath.Base(other), filepath.Base(alive), filepath.Base(folder), "config"}
	got := names(t, dir)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

// add adds one to a number in a file, under its lock.
func add(ctx context.Context, path string) error {
	l, err := Acquire(ctx, LockConfig{Path: path})
	if err != nil {
		return err
	}
	data, err := Read(path, 100)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte("0"), nil
	}
	if err == nil {
		var n int
		if n, err = strconv.Atoi(string(data)); err == nil {
			err = Write(path, []byte(strconv.Itoa(n+1)))
		}
	}
	return errors.Join(err, l.Release())
}

func TestManyGoroutines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				if err := add(t.Context(), path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := get(t, path); got != "200" {
		t.Errorf("%s of 200 additions", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"n"}) {
		t.Errorf("left behind: %v", got)
	}
}

func TestParseMarker(t *testing.T) {
	for _, text := range []string{"", "ekskey-lock", string(marker()) + "x", string(marker()[1:]), strings.Replace(string(marker()), "pid=", "pid=-", 1),
		strings.Repeat(" ", markerSize)} {
		if pid, host := parseMarker(text); pid != 0 || host != "" {
			t.Errorf("%q is taken for ours", text)
		}
	}
	if n := len(marker()); n != markerSize {
		t.Errorf("a marker has %d bytes", n)
	}
}
