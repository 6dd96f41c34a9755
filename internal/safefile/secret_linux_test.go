package safefile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged runs f on a thread that has no capabilities, which ends with it: root
// may write anywhere and is in every group.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			f()
		}
		failed <- err
	}()
	must(t, <-failed)
}

// What the owner and the mode of a directory do not say shows at the start all the same.
func TestSecretFileCheckProbes(t *testing.T) {
	const foreign = 54321 // a group that nobody is in
	for _, tt := range []struct {
		name  string
		mode  os.FileMode
		file  SecretFile
		dir   bool // *DirError is wanted
		group bool // *GroupError is
	}{
		{"a good one", 0o700, SecretFile{Path: "token"}, false, false},
		{"our group", 0o700, SecretFile{Path: "token", Shared: true, Group: os.Getegid()}, false, false},
		{"not writable", 0o500, SecretFile{Path: "token"}, true, false},
		{"a foreign group", 0o700, SecretFile{Path: "token", Shared: true, Group: foreign}, false, true},
		{"a foreign group's new directory", 0o700, SecretFile{Path: "new/token", Shared: true, Group: foreign, MakeDir: true}, false, true},
	} {
		dir := t.TempDir()
		must(t, os.Chmod(dir, tt.mode))
		tt.file.Path = filepath.Join(dir, tt.file.Path)
		var err error
		unprivileged(t, func() { err = tt.file.Check() })
		var unfit *DirError
		var group *GroupError
		if errors.As(err, &unfit) != tt.dir || errors.As(err, &group) != tt.group || err != nil && !tt.dir && !tt.group {
			t.Errorf("%s: %v", tt.name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", tt.name, left, err)
		}
	}
}
