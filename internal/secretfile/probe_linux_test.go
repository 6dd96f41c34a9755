package secretfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ekskey/ekskey/internal/secretfile"
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

// What the owner and the mode of a folder do not say shows at the start all the same.
func TestCheckProbes(t *testing.T) {
	const foreign = 54321 // a group that nobody is in
	for _, tt := range []struct {
		name   string
		mode   os.FileMode
		file   secretfile.File
		folder bool // *FolderError is wanted
		group  bool // *GroupError is
	}{
		{"a good one", 0o700, secretfile.File{Path: "token"}, false, false},
		{"our group", 0o700, secretfile.File{Path: "token", Shared: true, Group: os.Getegid()}, false, false},
		{"not writable", 0o500, secretfile.File{Path: "token"}, true, false},
		{"a foreign group", 0o700, secretfile.File{Path: "token", Shared: true, Group: foreign}, false, true},
		{"a foreign group's new folder", 0o700, secretfile.File{Path: "new/token", Shared: true, Group: foreign, MakeFolder: true}, false, true},
	} {
		dir := t.TempDir()
		must(t, os.Chmod(dir, tt.mode))
		tt.file.Path = filepath.Join(dir, tt.file.Path)
		var err error
		unprivileged(t, func() { err = tt.file.Check() })
		var folder *secretfile.FolderError
		var group *secretfile.GroupError
		if errors.As(err, &folder) != tt.folder || errors.As(err, &group) != tt.group || err != nil && !tt.folder && !tt.group {
			t.Errorf("%s: %v", tt.name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", tt.name, left, err)
		}
	}
}
