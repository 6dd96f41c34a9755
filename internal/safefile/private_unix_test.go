//go:build unix

package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadPrivateRefuses(t *testing.T) {
	for name, set := range map[string]func(path string) error{
		"group reads": func(p string) error { return os.Chmod(p, 0o640) },
		"others read": func(p string) error { return os.Chmod(p, 0o604) },
		"group runs":  func(p string) error { return os.Chmod(p, 0o610) },
		"a link":      func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p)) },
		"a pipe":      func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) },
		"a folder":    func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"foreign": func(p string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(p, 0o644) // only root can give files away
			}
			return os.Chown(p, 12345, -1)
		},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		put(t, path, "x", 0o600)
		if err := set(path); err != nil {
			t.Fatal(err)
		}
		data, err := ReadPrivate(path, 10)
		var kind *NotRegularError
		if data != nil || !errors.As(err, &kind) && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// A link is replaced, and what it leads to stays.
func TestWritePrivateFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, "secret")
	put(t, target, "old", 0o644)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := WritePrivate(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadPrivate(path, 10); err != nil || string(data) != "new" || get(t, target) != "old" {
		t.Errorf("%q, %v; the target is %q", data, err, get(t, target))
	}
}

// A lock is not taken on a file that has gone from its path, on somebody
// else's, or on what is none.
func TestOSLockRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	put(t, path, "", 0o600)
	f, err := openLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	put(t, path, "", 0o600)
	var held *HeldError
	if err := take(f, path); !errors.As(err, &held) {
		t.Errorf("another file is at its path: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		var private *NotPrivateError
		if _, err := TryOS(path, true); !errors.As(err, &private) {
			t.Errorf("somebody else's: %v", err)
		}
	}
	if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	var kind *NotRegularError
	if _, err := TryOS(path, true); !errors.As(err, &kind) {
		t.Errorf("a pipe: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink(path+".old", path)); err != nil {
		t.Fatal(err)
	}
	if _, err := TryOS(path, true); err == nil {
		t.Error("a link was followed")
	}
}

func TestReadOwn(t *testing.T) {
	chmod := func(mode fs.FileMode) func(string) error {
		return func(p string) error { return os.Chmod(p, mode) }
	}
	for name, c := range map[string]struct {
		set  func(path string) error
		good bool
	}{
		"closed":        {chmod(0o600), true},
		"all read":      {chmod(0o644), true},
		"group writes":  {chmod(0o620), false},
		"others write":  {chmod(0o602), false},
		"all may write": {chmod(0o666), false},
		"a link": {func(p string) error { // as Kubernetes mounts a ConfigMap
			return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p))
		}, true},
		"a link to what is open": {func(p string) error {
			return errors.Join(os.Rename(p, p+"2"), os.Chmod(p+"2", 0o666), os.Symlink(p+"2", p))
		}, false},
		"foreign": {func(p string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(p, 0o620) // only root can give files away
			}
			return os.Chown(p, 12345, -1)
		}, false},
	} {
		path := filepath.Join(t.TempDir(), "agent.yaml")
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), c.set(path)); err != nil {
			t.Fatal(err)
		}
		data, err := ReadOwn(path, 10)
		var refused *NotPrivateError
		if c.good && (err != nil || string(data) != "x") || !c.good && !errors.As(err, &refused) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, root := range []string{"/etc/passwd", "/etc/hosts"} { // root's, whoever we are
		if _, err := ReadOwn(root, 1<<20); err != nil {
			t.Error(err)
		}
	}
}
