package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// names returns what is in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := Write(path, []byte("a")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if get(t, path) != "a" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", get(t, path), info.Mode())
	}
	if got := names(t, dir); !slices.Equal(got, []string{"config"}) {
		t.Errorf("left behind: %v", got)
	}
}

func TestWriteKeepsMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o640, 0o666, 0o700} {
		path := filepath.Join(t.TempDir(), "config")
		put(t, path, "old", mode)
		if err := Write(path, []byte("new")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if get(t, path) != "new" || info.Mode().Perm() != mode {
			t.Errorf("%v: %q, %v", mode, get(t, path), info.Mode())
		}
	}
}

// A reader that opened the file before sees all of the old one.
func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put(t, path, "old", 0o600)
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := Write(path, []byte("newer")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	n, err := reader.Read(buf)
	if err != nil || string(buf[:n]) != "old" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestWriteFollowsLinks(t *testing.T) {
	tests := []struct {
		name  string
		links map[string]string // name, what it says
		there string            // the file to begin with, if any
		want  string            // the file to be written
	}{
		{"one link", map[string]string{"config": "real"}, "real", "real"},
		{"two links", map[string]string{"config": "b", "b": "real"}, "real", "real"},
		{"into another folder", map[string]string{"config": "sub/real"}, "sub/real", "sub/real"},
		{"relative to the link's folder", map[string]string{"config": "sub/b", "sub/b": "real"}, "sub/real", "sub/real"},
		{"through a linked folder", map[string]string{"config": "d/real", "d": "sub"}, "sub/real", "sub/real"},
		{"up from a linked folder", map[string]string{"config": "d/../real", "d": "sub/deep"}, "sub/real", "sub/real"},
		{"dangling", map[string]string{"config": "sub/new"}, "", "sub/new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "sub", "deep"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, to := range tt.links {
				if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.there != "" {
				put(t, filepath.Join(dir, tt.there), "old", 0o640)
			}
			if err := Write(filepath.Join(dir, "config"), []byte("new")); err != nil {
				t.Fatal(err)
			}
			if got := get(t, filepath.Join(dir, tt.want)); got != "new" {
				t.Errorf("%q", got)
			}
			for name, to := range tt.links {
				if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != to {
					t.Errorf("link %s is now %q, %v", name, got, err)
				}
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(t *testing.T, path string)
		is    func(error) bool
	}{
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { var e *NotRegularError; return errors.As(err, &e) }},
		{"a link to a folder", func(t *testing.T, path string) {
			if err := os.Symlink(".", path); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { var e *NotRegularError; return errors.As(err, &e) }},
		{"a read-only file", func(t *testing.T, path string) { put(t, path, "old", 0o400) },
			func(err error) bool {
				var e *ReadOnlyError
				return errors.As(err, &e) && errors.Is(err, fs.ErrPermission)
			}},
		{"a link to itself", func(t *testing.T, path string) {
			if err := os.Symlink("config", path); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return strings.Contains(err.Error(), "too many") }},
		{"a link to nowhere", func(t *testing.T, path string) {
			if err := os.Symlink("no/such/folder", path); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "config")
			tt.setUp(t, path)
			before, _ := os.Lstat(path)
			err := Write(path, []byte("new"))
			if err == nil || !tt.is(err) {
				t.Errorf("got %v", err)
			}
			after, _ := os.Lstat(path)
			if !os.SameFile(before, after) {
				t.Error("it was replaced")
			}
			if got := names(t, dir); len(got) != 1 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	put(t, path, "12345", 0o600)
	if data, err := Read(path, 5); err != nil || !bytes.Equal(data, []byte("12345")) {
		t.Errorf("%q, %v", data, err)
	}
	var large *TooLargeError
	if _, err := Read(path, 4); !errors.As(err, &large) || large.Limit != 4 || large.Path != path {
		t.Errorf("got %v", err)
	}
	if _, err := Read(path+"x", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	var kind *NotRegularError
	if _, err := Read(filepath.Dir(path), 4); !errors.As(err, &kind) {
		t.Errorf("got %v", err)
	}
}

func TestTempNames(t *testing.T) {
	a, b := TempName("/x/config"), TempName("/x/config")
	if a == b || filepath.Dir(a) != "/x" || !isTemp(filepath.Base(a), "config") {
		t.Errorf("%s, %s", a, b)
	}
	for _, name := range []string{"config", ".config.ekskey-.tmp", ".config.ekskey-0123456789abcdez.tmp", ".config.ekskey-0123456789abcdef",
		".config2.ekskey-0123456789abcdef.tmp", "config.ekskey-0123456789abcdef.tmp", ".config.ekskey-0123456789abcdef0.tmp"} {
		if isTemp(name, "config") {
			t.Errorf("%s is taken for ours", name)
		}
	}
}
