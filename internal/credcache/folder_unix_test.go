//go:build unix

package credcache

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const stranger = 12345 // a user that is not us

// own gives a file to somebody else, which only root can.
func own(t *testing.T, path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	must(t, os.Lchown(path, uid, uid))
}

// serveAs runs the child that keeps and asks in dir, as a user for whom
// permission bits count.
func serveAs(t *testing.T, dir string) string {
	t.Helper()
	// The test binary is where only we can go, so it comes in through a copy.
	exe, err := os.Executable()
	must(t, err)
	data, err := os.ReadFile(exe)
	must(t, err)
	copied := filepath.Join(openDir(t), "test")
	must(t, os.WriteFile(copied, data, 0o700))
	must(t, os.Chmod(copied, 0o755))
	cmd := start(t, "serve", dir)
	cmd.Path = copied
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// openDir is a new directory that other users can reach, and that is the
// stranger's where we are root.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "credcache")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	if os.Geteuid() == 0 {
		must(t, os.Chown(dir, stranger, stranger))
	}
	return dir
}

// One thing wrong with files or the directory a row.
func TestPermissions(t *testing.T) {
	k := key("a")
	entries := func(w *world) []string {
		return []string{w.path(entryName(k))}
	}
	each := func(do func(t *testing.T, path string)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			for _, p := range entries(w) {
				do(t, p)
			}
		}
	}
	mode := func(m fs.FileMode) func(*testing.T, *world) {
		return each(func(t *testing.T, p string) { must(t, os.Chmod(p, m)) })
	}
	for _, c := range []struct {
		name  string
		do    func(*testing.T, *world)
		want  string
		after string // what is served after the next Put
	}{
		{"as we made them", func(*testing.T, *world) {}, "credentials", "credentials"},
		{"readable by the group", mode(0o640), "nothing", "credentials"},
		{"readable by all", mode(0o604), "nothing", "credentials"},
		{"writable by all", mode(0o602), "nothing", "credentials"},
		{"a foreign file", each(func(t *testing.T, p string) { own(t, p, stranger) }), "nothing", "credentials"},
		{"a link", each(func(t *testing.T, p string) {
			must(t, os.Rename(p, p+".real"))
			must(t, os.Symlink(p+".real", p))
		}), "nothing", "credentials"},
		{"a link to nowhere", each(func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.Symlink(p+".real", p))
		}), "nothing", "credentials"},
		{"a pipe", each(func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o600))
		}), "nothing", "credentials"},
		{"a directory", each(func(t *testing.T, p string) {
			must(t, os.Remove(p))
			must(t, os.Mkdir(p, 0o700))
		}), "nothing", "nothing"},
		{"our directory, too open", func(t *testing.T, w *world) { must(t, os.Chmod(w.dir, 0o777)) }, "credentials", "credentials"},
		{"a foreign directory", func(t *testing.T, w *world) { own(t, w.dir, stranger) }, "nothing", "nothing"},
		{"our link to our directory", func(t *testing.T, w *world) {
			must(t, os.Rename(w.dir, w.dir+".real"))
			must(t, os.Symlink(w.dir+".real", w.dir))
		}, "credentials", "credentials"},
		{"another's link to our directory", func(t *testing.T, w *world) {
			must(t, os.Rename(w.dir, w.dir+".real"))
			must(t, os.Symlink(w.dir+".real", w.dir))
			own(t, w.dir, stranger)
		}, "nothing", "nothing"},
		{"our link to a foreign directory", func(t *testing.T, w *world) {
			must(t, os.Rename(w.dir, w.dir+".real"))
			own(t, w.dir+".real", stranger)
			must(t, os.Symlink(w.dir+".real", w.dir))
		}, "nothing", "nothing"},
		{"a file for the directory", func(t *testing.T, w *world) {
			must(t, os.RemoveAll(w.dir))
			must(t, os.WriteFile(w.dir, nil, 0o600))
		}, "nothing", "nothing"},
		{"below a file", func(t *testing.T, w *world) {
			must(t, os.RemoveAll(filepath.Dir(w.dir)))
			must(t, os.WriteFile(filepath.Dir(w.dir), nil, 0o600))
		}, "nothing", "nothing"},
		{"no directory", func(t *testing.T, w *world) { must(t, os.RemoveAll(w.dir)) }, "nothing", "credentials"},
		{"to be made in somebody else's", func(t *testing.T, w *world) {
			must(t, os.RemoveAll(w.dir))
			own(t, filepath.Dir(w.dir), stranger)
		}, "nothing", "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(k)
			c.do(t, w)
			if got := w.served(k); got != c.want {
				t.Errorf("served %s\n%s", got, w.said())
			}
			if c.want == "nothing" && strings.Count(w.said(), "\n") != 1 {
				t.Errorf("said %q", w.said())
			}
			w.fill(k)
			if got := w.served(k); got != c.after {
				t.Errorf("after the next: %s\n%s", got, w.said())
			}
			if info, err := os.Stat(w.dir); c.after == "credentials" && (err != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("the directory is %v, %v", info.Mode(), err)
			}
		})
	}
}

// Nothing is written through a link that stands at the path of an entry, a failure or
// a lock.
func TestPlantedLinks(t *testing.T) {
	w := newWorld(t)
	w.fill(key("a"))
	outside := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	lock := w.path(key("a").String() + lockSuffix)
	for _, p := range []string{
		w.path(entryName(key("b"))), w.path(failureName(key("c"))), lock,
	} {
		must(t, os.Symlink(outside, p))
	}
	w.fill(key("b"))
	w.store().unlocked(t.Context(), key("a"))
	lease, _ := w.store().Lock(t.Context(), key("c"), "")
	lease.Fail(Failure{Kind: "x"})
	lease.Release()
	if got := w.served(key("b")); got != "credentials" {
		t.Errorf("served %s\n%s", got, w.said())
	}
	if data, err := os.ReadFile(outside); err != nil || !bytes.Equal(data, []byte("precious")) {
		t.Errorf("%q, %v", data, err)
	}
	if !strings.Contains(w.said(), "going on without a lock") {
		t.Errorf("a lock was taken through a link: %s", w.said())
	}
}

// Directories in which a user may not write cost the user nothing.
func TestReadOnlyFolder(t *testing.T) {
	for _, c := range []struct {
		name string
		mode fs.FileMode
		sub  string
		want string
	}{
		{"a home that can be written", 0o755, "cache", "credentials"},
		{"a read-only home", 0o555, "cache", "nothing"},
		{"a read-only directory in between", 0o555, "a/b/cache", "nothing"},
		{"a home that cannot be entered", 0o600, "cache", "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := openDir(t)
			must(t, os.Chmod(home, c.mode))
			out := serveAs(t, filepath.Join(home, c.sub))
			_ = os.Chmod(home, 0o700) // #nosec G302 -- so that it can be removed
			if !strings.HasPrefix(out, "served "+c.want+"\n") || strings.Contains(out, "DEBUG") != (c.want == "nothing") || strings.Contains(out, "CANARY") {
				t.Errorf("%s", out)
			}
		})
	}
	t.Run("a read-only cache", func(t *testing.T) {
		dir := filepath.Join(openDir(t), "cache")
		must(t, os.Mkdir(dir, 0o500))
		if os.Geteuid() == 0 {
			must(t, os.Chown(dir, stranger, stranger))
		}
		if out := serveAs(t, dir); !strings.HasPrefix(out, "served nothing\n") || !strings.Contains(out, "permission denied") {
			t.Errorf("%s", out)
		}
	})
	t.Run("a home of somebody else", func(t *testing.T) {
		home := openDir(t)
		own(t, home, stranger+1)
		if out := serveAs(t, filepath.Join(home, "cache")); !strings.HasPrefix(out, "served nothing\n") || !strings.Contains(out, "belongs to another user") {
			t.Errorf("%s", out)
		}
	})
	t.Run("root with a user's home", func(t *testing.T) {
		w := newWorld(t)
		home := openDir(t)
		own(t, home, stranger)
		w.dir = filepath.Join(home, ".cache", "ekskey")
		w.fill(key("a"))
		if _, err := os.Stat(filepath.Join(home, ".cache")); !os.IsNotExist(err) || !strings.Contains(w.said(), "another user") {
			t.Errorf("root has left something there: %v\n%s", err, w.said())
		}
	})
}
