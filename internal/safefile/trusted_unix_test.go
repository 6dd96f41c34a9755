//go:build unix

package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestReadTrustedWay changes one thing on the way to a file that is trusted.
func TestReadTrustedWay(t *testing.T) {
	const stranger = 54321
	root := os.Geteuid() == 0
	chown := func(path string, uid, gid int) error { return os.Lchown(path, uid, gid) }
	for _, tt := range []struct {
		name    string
		asRoot  bool
		change  func(dir, sub, file string) error
		trusted bool
	}{
		{"as it is", false, func(_, _, _ string) error { return nil }, true},
		{"file of a stranger", true, func(_, _, file string) error { return chown(file, stranger, 0) }, false},
		{"file that the group of root can write", true, func(_, _, file string) error { return os.Chmod(file, 0o664) }, true},
		{"file that a strange group can write", true, func(_, _, file string) error {
			return errors.Join(chown(file, 0, stranger), os.Chmod(file, 0o664))
		}, false},
		{"file that a strange group can read", true, func(_, _, file string) error { return chown(file, 0, stranger) }, true},
		{"directory that all can write", false, func(_, sub, _ string) error { return os.Chmod(sub, 0o777) }, false},
		{"directory that all can write, sticky", false, func(_, sub, _ string) error { return os.Chmod(sub, 0o777|fs.ModeSticky) }, true},
		{"directory above it that all can write", false, func(dir, _, _ string) error { return os.Chmod(dir, 0o777) }, false},
		{"directory of a stranger", true, func(_, sub, _ string) error { return chown(sub, stranger, 0) }, false},
		{"directory above it of a stranger", true, func(dir, _, _ string) error { return chown(dir, stranger, 0) }, false},
		{"sticky directory of a stranger", true, func(_, sub, _ string) error {
			return errors.Join(os.Chmod(sub, 0o777|fs.ModeSticky), chown(sub, stranger, 0))
		}, false},
		{"directory that a strange group can write", true, func(_, sub, _ string) error {
			return errors.Join(chown(sub, 0, stranger), os.Chmod(sub, 0o775))
		}, false},
		{"link of ours", false, func(dir, _, file string) error {
			return errors.Join(os.Rename(file, file+"2"), os.Symlink("sub/file2", filepath.Join(dir, "l")), os.Symlink("../l", file))
		}, true},
		{"link of a stranger", true, func(_, _, file string) error {
			return errors.Join(os.Rename(file, file+"2"), os.Symlink("file2", file), chown(file, stranger, 0))
		}, false},
		{"link into a directory that all can write", false, func(dir, _, file string) error {
			open := filepath.Join(dir, "open")
			return errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Rename(file, filepath.Join(open, "f")), os.Symlink(filepath.Join(open, "f"), file))
		}, false},
		{"links in a circle", false, func(_, _, file string) error {
			return errors.Join(os.Remove(file), os.Symlink("file", file))
		}, false},
		{"gone", false, func(_, _, file string) error { return os.Remove(file) }, false},
	} {
		if tt.asRoot && !root {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			sub := filepath.Join(dir, "sub")
			file := filepath.Join(sub, "file")
			if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(sub, 0o755), os.WriteFile(file, []byte("x"), 0o644)); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(dir, sub, file); err != nil {
				t.Fatal(err)
			}
			data, err := ReadTrusted(file, 10)
			if (err == nil) != tt.trusted || tt.trusted && string(data) != "x" {
				t.Errorf("%q, %v", data, err)
			}
			t.Chdir(sub)
			if _, err := ReadTrusted("file", 10); (err == nil) != tt.trusted {
				t.Errorf("by its relative name: %v", err)
			}
		})
	}
}
