package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestAcquireWhatMayBeAcquired(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		foreign string
	}{
		{"a new directory", func(*testing.T, string) {}, ""},
		{"an empty directory", func(t *testing.T, dir string) { mkdir(t, dir) }, ""},
		{"a directory of a sandbox that died", func(t *testing.T, dir string) { mkdir(t, dir); write(t, dir, lockName); write(t, dir, "etcd") }, ""},
		{"someone's home", func(t *testing.T, dir string) { mkdir(t, dir); write(t, dir, ".bashrc") }, "no sandbox created"},
		{"a lock that is a link", func(t *testing.T, dir string) {
			mkdir(t, dir)
			write(t, dir, "precious")
			link(t, filepath.Join(dir, "precious"), filepath.Join(dir, lockName))
		}, "no sandbox created"},
		{"a file", func(t *testing.T, dir string) { write(t, filepath.Dir(dir), filepath.Base(dir)) }, "not a directory"},
		{"a link to a directory", func(t *testing.T, dir string) { mkdir(t, dir+".real"); link(t, dir+".real", dir) }, "symbolic link"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "state")
			tc.prepare(t, root)
			d, _, err := Acquire(root)
			if tc.foreign != "" {
				if err == nil || !strings.Contains(err.Error(), tc.foreign) {
					t.Fatalf("got %v, want a refusal with %q", err, tc.foreign)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(root)
			if err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v, %v; want the lock alone", entries, err)
			}
			if info, err := os.Stat(root); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
				t.Errorf("the directory is %v, %v; want 0700", info.Mode(), err)
			}
			if err := d.Remove(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(root); !os.IsNotExist(err) {
				t.Errorf("the directory is still there: %v", err)
			}
		})
	}
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	root := t.TempDir()
	write(t, root, "precious")
	var foreign *ForeignError
	if _, err := Down(context.Background(), root); !errors.As(err, &foreign) {
		t.Errorf("Down: %v, want *ForeignError", err)
	}
	if _, _, err := Acquire(root); !errors.As(err, &foreign) {
		t.Errorf("Acquire: %v, want *ForeignError", err)
	}
	if _, err := os.Stat(filepath.Join(root, "precious")); err != nil {
		t.Error(err)
	}
}

func TestSecondIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	d, found, err := Acquire(root)
	if err != nil || found != "" {
		t.Fatalf("Acquire: %q, %v", found, err)
	}
	var held *HeldError
	if _, _, err := Acquire(root); !errors.As(err, &held) || held.PID != 0 {
		t.Errorf("second, early: %v, want *HeldError without a process", err)
	}
	if err := d.Write(Record{PID: 42, Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Acquire(root); !errors.As(err, &held) || held.PID != 42 {
		t.Errorf("second: %v, want *HeldError of process 42", err)
	}
	var stopped *NotRunningError
	if _, _, err := Read(root); !errors.As(err, &stopped) {
		t.Errorf("Read before it is ready: %v, want *NotRunningError", err)
	}
	if err := d.Write(Record{PID: 42, Ready: true, Cluster: "demo"}); err != nil {
		t.Fatal(err)
	}
	r, l, err := Read(root)
	if err != nil || r.Cluster != "demo" || l.Root != root {
		t.Errorf("Read: %+v, %+v, %v", r, l, err)
	}
	// The process dies: the lock is free, its files are left.
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(root); !errors.As(err, &stopped) {
		t.Errorf("Read of a dead one: %v, want *NotRunningError", err)
	}
	d, found, err = Acquire(root)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(found, "process 42") {
		t.Errorf("found %q, want the dead process in it", found)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}

func TestDown(t *testing.T) {
	ctx := context.Background()
	root := filepath.Join(t.TempDir(), "state")
	if did, err := Down(ctx, root); did || err != nil {
		t.Errorf("Down of nothing: %v, %v", did, err)
	}
	d, _, err := Acquire(root)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for !d.StopAsked() {
			time.Sleep(time.Millisecond)
		}
		_ = d.Remove()
	}()
	if did, err := Down(ctx, root); !did || err != nil {
		t.Errorf("Down: %v, %v", did, err)
	}
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}

	// One that does not listen.
	if d, _, err = Acquire(root); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Down(gone, root); err == nil || !strings.Contains(err.Error(), "still holds") {
		t.Errorf("Down of a deaf one: %v", err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}

func TestWriteFileIsWholeAndPrivate(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two, longer"} {
		if err := WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := WriteFile(filepath.Join(dir, "no", "f"), nil); err == nil {
		t.Error("writing into no directory: want an error")
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Skip("no symbolic links here:", err)
	}
}
