package credcache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// On a disk that is full, what is kept is served as credentials, nothing new is
// kept, and nobody fails.
func TestFullDisk(t *testing.T) {
	mounted := t.TempDir()
	err := unix.Mount("tmpfs", mounted, "tmpfs", 0, "size=32k,mode=0700")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("mounting a small disk: ", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, unix.Unmount(mounted, unix.MNT_DETACH)) })
	w := newWorld(t)
	w.dir = filepath.Join(mounted, "cache")
	w.now = time.Now()
	w.fill(key("a"))
	full, err := os.Create(filepath.Join(mounted, "full"))
	must(t, err)
	for err == nil {
		_, err = full.Write(make([]byte, 512))
	}
	must(t, full.Close())
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if got := w.served(key("a")); got != "credentials" {
		t.Errorf("served %s\n%s", got, w.said())
	}
	w.store().unlocked(t.Context(), key("a"))
	w.fill(key("b"))
	if got := w.served(key("b")); got != "nothing" {
		t.Errorf("served %s\n%s", got, w.said())
	}
	if !strings.Contains(w.said(), "no space left on device") {
		t.Errorf("said %q", w.said())
	}
	must(t, os.Remove(full.Name()))
	if got := w.served(key("a")); got != "credentials" {
		t.Errorf("with space again: %s\n%s", got, w.said())
	}
	list, err := w.store().List()
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	for _, name := range w.files() {
		if isTempName(name) {
			t.Errorf("left %s", name)
		}
	}
}

// A read-only file system costs nothing either.
func TestReadOnlyDisk(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	mounted := t.TempDir()
	err := unix.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k,mode=0700")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("mounting a small disk: ", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, unix.Unmount(mounted, unix.MNT_DETACH)) })
	w.dir = filepath.Join(mounted, "cache")
	w.fill(key("a"))
	must(t, unix.Mount("", mounted, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if got := w.served(key("a")); got != "credentials" {
		t.Errorf("served %s\n%s", got, w.said())
	}
	w.fill(key("b"))
	w.store().unlocked(t.Context(), key("b"))
	if got := w.served(key("b")); got != "nothing" || !strings.Contains(w.said(), "read-only file system") {
		t.Errorf("served %s\n%s", got, w.said())
	}
}
