package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestReadTrusted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, trusted := range map[fs.FileMode]bool{0o600: true, 0o644: true, 0o664: true, 0o666: runtime.GOOS == "windows", 0o602: runtime.GOOS == "windows"} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		data, err := ReadTrusted(file, 10)
		var writable *WritableError
		if trusted && (err != nil || string(data) != "x") || !trusted && !errors.As(err, &writable) {
			t.Errorf("%v: %q, %v", mode, data, err)
		}
	}
	if _, err := ReadTrusted(filepath.Dir(file), 10); err == nil {
		t.Error("a folder was read")
	}
}
