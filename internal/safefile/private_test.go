package safefile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPrivateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if _, err := ReadPrivate(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, text := range []string{"one", "", "0123456789"} {
		if err := WritePrivate(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if data, err := ReadPrivate(path, 10); err != nil || string(data) != text {
			t.Errorf("%q: %q, %v", text, data, err)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	var large *TooLargeError
	if _, err := ReadPrivate(path, 9); !errors.As(err, &large) || large.Limit != 9 {
		t.Errorf("too large: %v", err)
	}
	if err := WritePrivate(filepath.Join(dir, "no", "secret"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
	if err := WritePrivate(dir, nil); err == nil {
		t.Error("a folder was replaced")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("left behind: %v", got)
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]string{
		filepath.Base(TempName("config")):       "config",
		filepath.Base(TempName("a.b.ekskey-.")): "a.b.ekskey-.",
		".ekskey-0123456789abcdef.tmp":          "",
		"..ekskey-0123456789abcdef.tmp":         "",
		".x.ekskey-0123456789abcdeg.tmp":        "",
		"xx.ekskey-0123456789abcdef.tmp":        "",
		".x.ekskey-0123456789abcdef.tmp2":       "",
		"":                                      "",
	} {
		if base, ok := IsTemp(name); ok != (want != "") || ok && base != want {
			t.Errorf("%q: %q, %v", name, base, ok)
		}
	}
}

func TestPrivateDir(t *testing.T) {
	ours := func(name string) bool { return name == "ours" }
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	if err := PrivateDir(dir, false, ours); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for range 2 {
		if err := PrivateDir(dir, true, ours); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(top, "file"), "", 0o600)
	for _, path := range []string{filepath.Join(top, "file"), filepath.Join(top, "file", "below")} {
		if err := PrivateDir(path, true, ours); err == nil {
			t.Errorf("%s is a folder", path)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := PrivateDir(dir, false, ours); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("not closed: %v, %v", info.Mode(), err)
	}
	// A folder of others' things, or for all, is left open and not used.
	put(t, filepath.Join(dir, "ours"), "", 0o600)
	put(t, filepath.Join(dir, "theirs"), "", 0o600)
	for _, mode := range []fs.FileMode{0o755, 0o777 | fs.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		var open *NotPrivateError
		if err := PrivateDir(dir, false, ours); !errors.As(err, &open) {
			t.Errorf("%v: %v", mode, err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != mode.Perm() {
			t.Errorf("%v: it is %v now, %v", mode, info.Mode(), err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "theirs")); err != nil { // the sticky one is refused all the same
			t.Fatal(err)
		}
	}
}

func TestOSLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if _, err := TryOS(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	first, err := AcquireOS(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := TryOS(path, true); !errors.As(err, &held) || held.Path != path {
		t.Errorf("held: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := AcquireOS(ctx, path, time.Hour); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("cancelled: %v", err)
	}
	waiting := make(chan *OSLock)
	go func() {
		l, err := AcquireOS(context.Background(), path, time.Hour)
		if err != nil {
			t.Error(err)
		}
		waiting <- l
	}()
	// Who removes a lock's file while holding it leaves the waiters another.
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	second := <-waiting
	if !isAt(second.file, path) {
		t.Error("it holds a file that is gone")
	}
	if err := errors.Join(first.Release(), second.Release()); err != nil {
		t.Error(err)
	}
	if l, err := TryOS(filepath.Dir(path), true); err == nil {
		t.Errorf("a folder was locked: %v", l)
	}
}
