//go:build unix

package servercli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What decides who has access is refused if somebody else owns it or can replace it.
func TestFilesOfOthers(t *testing.T) {
	const stranger = 54321
	for _, tt := range []struct {
		name, file, want string
		asRoot           bool
		change           func(path string) error
	}{
		{"configuration of a stranger", "server.yaml", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"configuration that all can write", "server.yaml", "can be written by every user", false, func(p string) error { return os.Chmod(p, 0o666) }},
		{"aws-auth of a stranger", "aws-auth.yaml", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"aws-auth that all can write", "aws-auth.yaml", "can be written by every user", false, func(p string) error { return os.Chmod(p, 0o666) }},
		{"aws-auth behind a stranger's link", "aws-auth.yaml", "symbolic link of another user", true, func(p string) error {
			return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p), os.Lchown(p, stranger, 0))
		}},
		{"CA for STS of a stranger", "ca.pem", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"certificate of a stranger", "state/cert.pem", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"key of a stranger", "state/key.pem", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"state directory of a stranger", "state", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"directory that all can write", "", "can be written by every user", false, func(p string) error { return os.Chmod(p, 0o777) }},
		{"directory of a stranger", "", "belongs to another user", true, func(p string) error { return os.Chown(p, stranger, 0) }},
		{"directory that a strange group can write", "", "can be written by its group", true, func(p string) error {
			return errors.Join(os.Chown(p, 0, stranger), os.Chmod(p, 0o770))
		}},
	} {
		if tt.asRoot && os.Geteuid() != 0 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.fixPort(t)
			if out, code := run("init", "--config", f.config); code != 0 {
				t.Fatal(out)
			}
			if err := tt.change(filepath.Join(f.dir, tt.file)); err != nil {
				t.Fatal(err)
			}
			out, code := run("serve", "--config", f.config)
			if code != 1 || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d, %s", code, out)
			}
		})
	}
}
