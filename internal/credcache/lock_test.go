package credcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// makeOnce is what a caller does: look, lock, look again, make.
func makeOnce(args []string) error {
	s := New(Config{Dir: args[0]})
	_, ok := s.Get(key("a"), time.Time{})
	if ok {
		return nil
	}
	lease, _ := s.Lock(context.Background(), key("a"), "")
	defer lease.Release()
	// Nobody else is in here.
	inside := filepath.Join(args[1], "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		return err
	}
	defer os.Remove(inside)
	if _, ok := s.Get(key("a"), time.Time{}); ok {
		return nil
	}
	f, err := os.CreateTemp(args[1], "made-")
	if err != nil {
		return err
	}
	w := &world{now: time.Now()}
	s.Put(key("a"), entryOf(w.credentials()))
	return f.Close()
}

// unlocked takes the lock and releases it.
func (s *Store) unlocked(ctx context.Context, k Key) { s.unlockedIn(ctx, k, lockWait) }

func (s *Store) unlockedIn(ctx context.Context, k Key, wait time.Duration) {
	lease, _ := s.lock(ctx, k, "", wait)
	lease.Release()
}

func hold(args []string) error {
	New(Config{Dir: args[0]}).Lock(context.Background(), key("a"), "")
	fmt.Println("held")
	time.Sleep(time.Hour)
	return nil
}

func TestHundredProcesses(t *testing.T) {
	dir, scratch := filepath.Join(t.TempDir(), "cache"), t.TempDir()
	var waits []func() error
	var outs []*strings.Builder
	for range 100 {
		cmd := start(t, "make", dir, scratch)
		out := &strings.Builder{}
		cmd.Stderr = out
		must(t, cmd.Start())
		waits, outs = append(waits, cmd.Wait), append(outs, out)
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			t.Errorf("%v: %s", err, outs[i])
		}
	}
	made, err := filepath.Glob(filepath.Join(scratch, "made-*"))
	if err != nil || len(made) != 1 {
		t.Errorf("made %d times", len(made))
	}
}

// holder is a process that holds the lock of key a.
func holder(t *testing.T, dir string) (kill func()) {
	t.Helper()
	cmd := start(t, "hold", dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = out.Read(make([]byte, 5))
	must(t, err)
	return func() {
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
	}
}

func TestKilledHolder(t *testing.T) {
	w := newWorld(t)
	kill := holder(t, w.dir)
	s := w.store()
	s.unlockedIn(t.Context(), key("a"), time.Millisecond)
	if !strings.Contains(w.said(), "the lock is held for too long") {
		t.Errorf("while it lives: %q", w.said())
	}
	s.unlocked(t.Context(), key("b")) // another key's is free
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough of it"))
	s.unlocked(ctx, key("a"))
	if !strings.Contains(w.said(), "enough of it") {
		t.Errorf("cancelled: %q", w.said())
	}
	done := make(chan *Lease)
	go func() {
		lease, _ := s.lock(t.Context(), key("a"), "", time.Hour)
		done <- lease
	}()
	kill()
	lease := <-done // or the test's own time-out
	if n := strings.Count(w.said(), "going on"); n != 1 {
		t.Errorf("after its death: %q", w.said())
	}
	if got := lockable(w); got {
		t.Error("it is not held")
	}
	lease.Release()
	lease.Release()
	if !lockable(w) {
		t.Error("it is held for ever")
	}
}

// lockable reports whether another could take the lock of key a now.
func lockable(w *world) bool {
	before := len(w.said())
	w.store().unlockedIn(w.t.Context(), key("a"), 0)
	return len(w.said()) == before
}

// Clearing leaves a held lock alone, removes a free one, and who waits across
// that is still alone in holding it.
func TestClearAndLocks(t *testing.T) {
	w := newWorld(t)
	kill := holder(t, w.dir)
	w.store().unlocked(t.Context(), key("b"))
	w.fill(key("a"))
	if n, err := w.store().Clear(); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := w.files(); len(got) != 1 || got[0] != key("a").String()+lockSuffix {
		t.Errorf("left: %v", got)
	}
	if lockable(w) {
		t.Error("the holder has lost it")
	}
	kill()
	if _, err := w.store().Clear(); err != nil || len(w.files()) != 0 {
		t.Errorf("left: %v, %v", w.files(), err)
	}
	lease, _ := w.store().Lock(t.Context(), key("a"), "")
	must(t, os.Remove(w.path(key("a").String()+lockSuffix))) // by hand: then it is lost, but nobody hangs
	w.store().unlocked(t.Context(), key("a"))
	lease.Release()
}

// Where no lock is to be had the caller goes on.
func TestNoLock(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world)
		want string
	}{
		{"a directory in its place", func(w *world) { must(w.t, os.MkdirAll(w.path(key("a").String()+lockSuffix), 0o700)) }, "without a lock"},
		{"the cache directory is a file", func(w *world) {
			must(w.t, os.MkdirAll(filepath.Dir(w.dir), 0o700))
			must(w.t, os.WriteFile(w.dir, nil, 0o600))
		}, "no lock"},
		{"below a file", func(w *world) {
			must(w.t, os.WriteFile(filepath.Dir(w.dir), nil, 0o600))
		}, "no lock"},
	} {
		w := newWorld(t)
		c.do(w)
		w.store().unlocked(t.Context(), key("a"))
		if !strings.Contains(w.said(), c.want) {
			t.Errorf("%s: %q", c.name, w.said())
		}
		w.fill(key("a")) // costs nobody anything
	}
	w := newWorld(t)
	w.store(func(c *Config) { c.Storage = None }).unlocked(t.Context(), key("a"))
	if w.said() != "" || len(w.files()) != 0 {
		t.Errorf("turned off: %q, %v", w.said(), w.files())
	}
}

// One who is stopped holds the lock for ever. One of those who wait goes on in its
// place, and the others wait for that one.
func TestStoppedHolder(t *testing.T) {
	w := newWorld(t)
	defer holder(t, w.dir)()
	const many = 5
	var at, most atomic.Int32
	var waits sync.WaitGroup
	for range many {
		waits.Go(func() {
			lease, _ := w.store().lock(t.Context(), key("a"), "", time.Minute/1000)
			defer lease.Release()
			for n := at.Add(1); ; n = at.Load() {
				if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
					break
				}
			}
			time.Sleep(time.Millisecond)
			at.Add(-1)
		})
	}
	waits.Wait()
	if most.Load() != 1 {
		t.Errorf("%d went on at once", most.Load())
	}
}

func TestWaitingIsTold(t *testing.T) {
	w := newWorld(t)
	defer holder(t, w.dir)()
	told := 0
	s := w.store(func(c *Config) { c.Waiting = func() { told++ } })
	s.unlockedIn(t.Context(), key("a"), lockQuiet+time.Millisecond)
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
