//go:build unix

package safefile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func original(t *testing.T, path string) *Original {
	t.Helper()
	o, err := OpenOriginal(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// K02: the file that is written is the one that was read, or it is an error. Each row
// puts something else in its place meanwhile.
func TestK02OnlyTheFileThatWasReadIsWritten(t *testing.T) {
	const mine, other, text = "mine\n", "somebody's\n", "mine and more\n"
	for _, tt := range []struct {
		name  string
		swap  func(t *testing.T, dir string)
		wrong bool // *ChangedError
		where string
	}{
		{"nothing", func(*testing.T, string) {}, false, "real/a"},
		{"the link led elsewhere", func(t *testing.T, dir string) {
			check(t, os.Remove(dir+"/link"), os.Symlink("real/b", dir+"/link"))
		}, false, "real/a"},
		{"a link above led elsewhere", func(t *testing.T, dir string) {
			check(t, os.Remove(dir+"/up"), os.Symlink("elsewhere", dir+"/up"))
		}, false, "real/a"},
		{"the directory in another's place", func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/real", dir+"/moved"), os.Symlink("elsewhere", dir+"/real"))
		}, false, "moved/a"},
		{"another file of the name", func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/real/b", dir+"/real/a"))
		}, true, ""},
		{"the same words in another file", func(t *testing.T, dir string) {
			put(t, dir+"/real/c", mine, 0o600)
			check(t, os.Rename(dir+"/real/c", dir+"/real/a"))
		}, true, ""},
		{"a link in the file's place", func(t *testing.T, dir string) {
			check(t, os.Remove(dir+"/real/a"), os.Symlink("b", dir+"/real/a"))
		}, true, ""},
		{"a link to a file outside", func(t *testing.T, dir string) {
			check(t, os.Remove(dir+"/real/a"), os.Symlink("../elsewhere/a", dir+"/real/a"))
		}, true, ""},
		{"other words, as long", func(t *testing.T, dir string) { put(t, dir+"/real/a", "MINE\n", 0o600) }, true, ""},
		{"more words", func(t *testing.T, dir string) { put(t, dir+"/real/a", mine+mine, 0o600) }, true, ""},
		{"none", func(t *testing.T, dir string) { put(t, dir+"/real/a", "", 0o600) }, true, ""},
		{"gone", func(t *testing.T, dir string) { check(t, os.Remove(dir+"/real/a")) }, true, ""},
	} {
		for _, inPlace := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				dir := t.TempDir()
				check(t, os.Mkdir(dir+"/real", 0o700), os.Mkdir(dir+"/elsewhere", 0o700), os.Symlink("real", dir+"/up"), os.Symlink("up/a", dir+"/link"))
				put(t, dir+"/real/a", mine, 0o640)
				put(t, dir+"/real/b", other, 0o600)
				put(t, dir+"/elsewhere/a", other, 0o600)
				o := original(t, dir+"/link")
				tt.swap(t, dir)
				before := textsIn(t, dir)
				err := o.Replace([]byte(text), inPlace)
				if tt.wrong {
					var changed *ChangedError
					var kind *NotRegularError
					if !errors.As(err, &changed) && !errors.As(err, &kind) {
						t.Fatalf("got %v", err)
					}
					if got := textsIn(t, dir); !slices.Equal(got, before) {
						t.Errorf("%q, was %q", got, before)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range textsIn(t, dir) {
					name, words, _ := strings.Cut(file, ": ")
					if want := name == tt.where; (words == text) != want {
						t.Errorf("%s is %q", name, words)
					}
				}
				if info, err := os.Stat(filepath.Join(dir, tt.where)); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("%v, %v", info, err)
				}
			})
		}
	}
}

// A file that was not there is created, and not put in the place of one that is there
// by now.
func TestK02NewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	o := original(t, path)
	if !o.Missing() || o.Data() != nil {
		t.Fatalf("%+v", o)
	}
	put(t, path, "somebody's", 0o600)
	var changed *ChangedError
	if err := o.Replace([]byte("mine"), false); !errors.As(err, &changed) || get(t, path) != "somebody's" {
		t.Errorf("%v, %q", err, get(t, path))
	}
	check(t, os.Remove(path), o.Replace([]byte("mine"), true))
	if info, err := os.Stat(path); get(t, path) != "mine" || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", get(t, path), err)
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"config"}) {
		t.Errorf("left behind: %v", got)
	}
	if err := original(t, filepath.Join(t.TempDir(), "no", "config")).Replace(nil, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// K07: what keeps a file from being replaced is told as such.
func TestK07PinnedError(t *testing.T) {
	err := &PinnedError{Path: "/kube/config", Err: &os.LinkError{Op: "renameat", Old: "x", New: "y", Err: syscall.EBUSY}}
	if got := err.Error(); isMountPoint(err.Err) != strings.Contains(got, "mounted as a single file") || isPinned(err.Err) != isMountPoint(err.Err) {
		t.Errorf("got %q", got)
	}
	denied := &PinnedError{Path: "/kube/config", Err: &fs.PathError{Op: "open", Path: "secret", Err: syscall.EACCES}}
	if got := denied.Error(); strings.Contains(got, "mounted") || strings.Contains(got, "secret") || !strings.Contains(got, syscall.EACCES.Error()) {
		t.Errorf("got %q", got)
	}
}

// K01: a file is believed that has not changed for long, and else watched until it
// rests. synctest's clock begins in the year 2000, so all that the test writes is from
// its future.
func TestK01RestsByItsTimes(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		age  time.Duration // by the file system's clock
		want bool
	}{
		{"long ago", "a\n", time.Hour, true},
		{"just so", "a\n", restTime, true},
		{"a moment ago", "a\n", restTime - 1, false},
		{"in the future", "a\n", -time.Hour, false},
		{"empty, a second ago", "", time.Second, false},
		{"empty, long ago, first look", "", time.Hour, false},
		{"cut off, a second ago", "a\nb", time.Second, false},
		{"cut off, long ago", "a\nb", time.Hour, true},
	} {
		path := filepath.Join(t.TempDir(), "config")
		inPlace(t, path, tt.text)
		o := original(t, path)
		written := o.info.ModTime()
		w := Watcher{Clock: func() time.Time { return written.Add(tt.age) }, largest: map[string]int64{}}
		if written.Nanosecond() != 0 && !changed(o.info).After(written) && w.rested(o, 0) != tt.want {
			t.Errorf("%s: rested %v", tt.name, !tt.want)
		}
		w.largest[o.target] = 100
		if w.rested(o, restTry) != (tt.age == time.Hour) {
			t.Errorf("%s, shorter than before: rested %v", tt.name, w.rested(o, restTry))
		}
		// Truncated or written while it was read: the size is not that of the text.
		o.data = append(o.data, 'x')
		if w.rested(o, time.Hour) {
			t.Errorf("%s, of another size: rested", tt.name)
		}
	}
}

// K01: a file whose times differ is believed at the second look, since a system sets one
// time before the other while a file is truncated.
func TestK01TimesApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	inPlace(t, path, "a\n")
	if err := os.Chtimes(path, time.Now(), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	o := original(t, path)
	if changed(o.info).IsZero() {
		t.Skip("the system does not tell when a file changed")
	}
	w := Watcher{Clock: func() time.Time { return o.info.ModTime() }}
	if w.rested(o, 0) || !w.rested(o, restTry) {
		t.Errorf("at first look %v, at second %v", w.rested(o, 0), w.rested(o, restTry))
	}
}

// K01: half a file is never returned while it is being written.
func TestK01WatcherWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	synctest.Test(t, func(t *testing.T) {
		w := Watcher{Limit: 1000, Patience: 10 * time.Second, Clock: func() time.Time { return time.Time{} }}
		inPlace(t, path, "")
		go func() {
			for i := range 20 {
				time.Sleep(100 * time.Millisecond)
				inPlace(t, path, strings.Repeat("line\n", i+1))
			}
		}()
		o, err := w.Open(t.Context(), path)
		if err != nil || !bytes.Equal(o.Data(), bytes.Repeat([]byte("line\n"), 20)) {
			t.Fatalf("%v, %q", err, o.Data())
		}
		check(t, o.Close())

		// Truncated again, it is waited for by its size, too.
		inPlace(t, path, "line\n")
		go func() {
			time.Sleep(time.Second)
			inPlace(t, path, strings.Repeat("line\n", 30))
		}()
		if o, err = w.Open(t.Context(), path); err != nil || len(o.Data()) != 150 {
			t.Fatalf("%v, %q", err, o.Data())
		}
		check(t, o.Close())
		synctest.Wait()

		// One that never rests is an error, or for who is in haste as it is.
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for n := 1; ctx.Err() == nil; n++ {
				inPlace(t, path, strings.Repeat("x", n%50+1))
				time.Sleep(50 * time.Millisecond)
			}
		}()
		var unsettled *UnsettledError
		if _, err := w.Open(t.Context(), path); !errors.As(err, &unsettled) || unsettled.Path != path {
			t.Errorf("got %v", err)
		}
		hasty := Watcher{Limit: 1000, Patience: time.Second, Hasty: true}
		if o, err = hasty.Open(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		check(t, o.Close())
		stop()
		time.Sleep(time.Second)
		inPlace(t, path, "x")
		if _, err := w.Open(ctx, path); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// inPlace writes a file as the AWS CLI does.
func inPlace(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o600))
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// textsIn is all regular files below dir, as "name: content".
func textsIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all = append(all, filepath.ToSlash(name)+": "+get(t, path))
		return err
	}))
	return all
}
