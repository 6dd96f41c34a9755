//go:build unix

package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func ours(b []byte) bool { return bytes.HasPrefix(b, []byte("ours ")) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// One attack a row. None may change what is there, or leave anything.
func TestSecretFileRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string) (path string)
		says    string
	}{
		{"no directory", func(_ *testing.T, dir string) string { return dir + "/none/token" }, "does not exist"},
		{"a directory that is a link", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/real", 0o700))
			must(t, os.Symlink("real", dir+"/link"))
			return dir + "/link/token"
		}, "is a symbolic link"},
		{"a directory that is a file", func(t *testing.T, dir string) string {
			must(t, os.WriteFile(dir+"/file", nil, 0o600))
			return dir + "/file/token"
		}, "is not a directory"},
		{"a directory that a group can write", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/open", 0o700))
			must(t, os.Chmod(dir+"/open", 0o770))
			return dir + "/open/token"
		}, "can be written by other users"},
		{"a directory that all can write", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/open", 0o700))
			must(t, os.Chmod(dir+"/open", 0o777))
			return dir + "/open/token"
		}, "can be written by other users"},
		{"a directory of another user", func(t *testing.T, dir string) string {
			if os.Geteuid() != 0 {
				return "/usr/token" // root's
			}
			must(t, os.Mkdir(dir+"/theirs", 0o700))
			must(t, os.Chown(dir+"/theirs", 12345, 12345))
			return dir + "/theirs/token"
		}, "belongs to another user"},
		{"a link where the file is to be", func(t *testing.T, dir string) string {
			must(t, os.WriteFile(dir+"/victim", []byte("ours secret"), 0o600))
			must(t, os.Symlink("victim", dir+"/token"))
			return dir + "/token"
		}, "is not a regular file"},
		{"a link to nowhere", func(t *testing.T, dir string) string {
			must(t, os.Symlink("nowhere", dir+"/token"))
			return dir + "/token"
		}, "is not a regular file"},
		{"a pipe", func(t *testing.T, dir string) string {
			must(t, syscall.Mkfifo(dir+"/token", 0o600))
			return dir + "/token"
		}, "is not a regular file"},
		{"a directory where the file is to be", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/token", 0o700))
			return dir + "/token"
		}, "is not a regular file"},
		{"somebody's key", func(t *testing.T, dir string) string {
			must(t, os.WriteFile(dir+"/id", []byte("-----BEGIN OPENSSH PRIVATE KEY-----"), 0o600))
			return dir + "/id"
		}, "is not overwritten"},
		{"somebody's large file", func(t *testing.T, dir string) string {
			must(t, os.WriteFile(dir+"/big", append([]byte("ours "), make([]byte, maxSecret)...), 0o600))
			return dir + "/big"
		}, "is not overwritten"},
		{"a directory's name", func(_ *testing.T, dir string) string { return dir + "/" }, "was named instead of a file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := tt.prepare(t, dir)
			before := tree(t, dir)
			f := SecretFile{Path: path, Ours: ours}
			for what, err := range map[string]error{"Check": f.Check(), "Write": f.Write([]byte("ours new"))} {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: %v", what, err)
				}
				var unfit *DirError
				var foreign *ForeignError
				var odd *NotRegularError
				if !errors.As(err, &unfit) && !errors.As(err, &foreign) && !errors.As(err, &odd) {
					t.Errorf("%s: %T is no type of ours", what, err)
				}
			}
			if err := f.Remove(nil); err == nil {
				t.Error("it was removed")
			}
			if after := tree(t, dir); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text, link := "", ""
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(data)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			link, _ = os.Readlink(path)
		}
		b.WriteString(path + " " + d.Type().String() + " " + link + " " + text + "\n")
		return nil
	}))
	return b.String()
}

func TestSecretFileModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o777)) // takes every bit it can
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	for _, tt := range []struct {
		name      string
		file      SecretFile
		mode, dir fs.FileMode
	}{
		{"private", SecretFile{Path: dir + "/a"}, 0o600, 0o700},
		{"of a group", SecretFile{Path: dir + "/b", Shared: true, Group: os.Getegid()}, 0o640, 0o700},
		{"sticky directory of ours", SecretFile{Path: dir + "/sticky/c"}, 0o600, 0o777},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dir != 0o700 {
				must(t, os.Mkdir(filepath.Dir(tt.file.Path), 0o700))
				must(t, os.Chmod(filepath.Dir(tt.file.Path), tt.dir|fs.ModeSticky))
			}
			tt.file.Ours = ours
			for range 2 {
				must(t, tt.file.Write([]byte("ours 1")))
				info, err := os.Stat(tt.file.Path)
				must(t, err)
				if info.Mode() != tt.mode {
					t.Errorf("mode %v", info.Mode())
				}
			}
			must(t, tt.file.Remove([]byte("ours 1")))
		})
	}
}

// A file that was open to others is not written into: it is replaced.
func TestSecretFileReplacesOpenFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	f := SecretFile{Path: dir + "/token", Ours: ours}
	must(t, os.WriteFile(f.Path, []byte("ours old"), 0o600))
	must(t, os.Chmod(f.Path, 0o666))
	reader, err := os.Open(f.Path)
	must(t, err)
	defer reader.Close()
	must(t, f.Write([]byte("ours new")))
	was := make([]byte, 20)
	if n, _ := reader.Read(was); string(was[:n]) != "ours old" {
		t.Errorf("who had it open reads %q", was[:n])
	}
	info, err := os.Stat(f.Path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestSecretFileMakesDir(t *testing.T) {
	dir := t.TempDir()
	for _, shared := range []bool{false, true} {
		f := SecretFile{Path: filepath.Join(dir, map[bool]string{false: "a", true: "b"}[shared], "token"), MakeDir: true, Shared: shared, Group: os.Getegid()}
		must(t, f.Check())
		info, err := os.Stat(filepath.Dir(f.Path))
		must(t, err)
		if want := map[bool]fs.FileMode{false: 0o700, true: 0o750}[shared]; info.Mode().Perm() != want {
			t.Errorf("mode %v", info.Mode())
		}
		must(t, f.Write([]byte("x")))
	}
	deep := SecretFile{Path: dir + "/no/such/token", MakeDir: true}
	var unfit *DirError
	if err := deep.Check(); !errors.As(err, &unfit) {
		t.Errorf("%v", err)
	}
}

func TestSecretFileCheckRemovesOldTemps(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	old := time.Now().Add(-time.Hour)
	for name, stays := range map[string]bool{
		".token.ekskey-0123456789abcdef.tmp": false,
		".other.ekskey-0123456789abcdef.tmp": true,
		".token.ekskey-0123456789abcdef.txt": true,
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
		f := SecretFile{Path: dir + "/token"}
		must(t, f.Check())
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	young := filepath.Join(dir, ".token.ekskey-ffffffffffffffff.tmp")
	must(t, os.WriteFile(young, nil, 0o600))
	must(t, (&SecretFile{Path: dir + "/token"}).Check())
	if _, err := os.Lstat(young); err != nil {
		t.Error("another process may be about to rename it:", err)
	}
}

// Readers beside a writer never see a part.
func TestSecretFileAtomic(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	f := SecretFile{Path: dir + "/token", Ours: ours}
	texts := []string{"ours " + strings.Repeat("a", 5000), "ours " + strings.Repeat("b", 9000)}
	must(t, f.Write([]byte(texts[0])))
	var wg sync.WaitGroup
	end := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				data, err := os.ReadFile(f.Path)
				if err != nil || string(data) != texts[0] && string(data) != texts[1] {
					t.Errorf("%d bytes, %v", len(data), err)
					return
				}
			}
		})
	}
	for i := range 300 {
		must(t, f.Write([]byte(texts[i%2])))
	}
	close(end)
	wg.Wait()
}

func TestSecretFileRemove(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	f := SecretFile{Path: dir + "/token", Ours: ours}
	must(t, f.Remove(nil))
	must(t, f.Write([]byte("ours 1")))
	if err := f.Remove([]byte("ours 2")); err == nil {
		t.Error("another's was removed")
	}
	must(t, f.Remove(nil))
	if _, err := os.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// In a directory of ours with the sticky bit others can put a file of theirs where there is
// none of ours. What it holds is not believed, and does not keep ours away.
func TestSecretFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, os.ModeSticky|0o777)) // #nosec G302 -- the attack
	path := filepath.Join(dir, "token")
	must(t, os.WriteFile(path, []byte("ours by its looks"), 0o600))
	must(t, os.Chown(path, 54321, 54321))
	f := SecretFile{Path: path, Ours: ours}
	if data, err := f.Read(); err == nil {
		t.Errorf("%q was read", data)
	}
	must(t, f.Check())
	must(t, f.Write([]byte("ours indeed")))
	if data, err := f.Read(); err != nil || string(data) != "ours indeed" {
		t.Errorf("%q %v", data, err)
	}
}

// Whoever exchanges the file for a pipe, between the look at it and its opening, keeps
// nobody waiting.
func TestSecretFileReadNeverBlocks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	must(t, os.WriteFile(dir+"/file", []byte("ours "), 0o600))
	must(t, syscall.Mkfifo(dir+"/pipe", 0o600))
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			for _, name := range []string{"/file", "/pipe"} {
				_ = os.Remove(path)
				_ = os.Link(dir+name, path)
			}
		}
	})
	f := SecretFile{Path: path, Ours: ours}
	for range 5000 {
		_, _ = f.Read()
	}
	close(end)
	wg.Wait()
}
