package mapping

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

func roleText(username string) string {
	return "mapRoles: [{rolearn: '" + roleARN + "', username: " + username + ", groups: [" + username + "]}]\n"
}

type watched struct {
	t      *testing.T
	path   string
	file   *AWSAuth
	alarms []string
	errs   []error // the same
}

func newWatched(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "aws-auth.yaml")}
	w.write(text)
	var err error
	w.file, err = NewAWSAuthFile(FileConfig{Path: w.path, Alarm: func(err error) {
		w.alarms, w.errs = append(w.alarms, err.Error()), append(w.errs, err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) look(times int) {
	for range times {
		w.file.Look()
	}
}

// expect wants a username, the number of alarms so far, and whether the text in
// force is an old one.
func (w *watched) expect(when, username string, alarms int, stale bool) {
	w.t.Helper()
	if got := outcome(w.file, session(w.t, "dev", "s")); got != username+" ["+username+"]" {
		w.t.Errorf("%s: got %q, want %q", when, got, username)
	}
	if s := w.file.Stats(); len(w.alarms) != alarms || s.Stale != stale {
		w.t.Errorf("%s: alarms %q, stats %+v; want %d alarms, stale %v", when, w.alarms, s, alarms, stale)
	}
}

func TestFileFollowed(t *testing.T) {
	w := newWatched(t, roleText("a"))
	w.expect("at start", "a", 0, false)
	w.look(3)
	w.expect("unchanged", "a", 0, false)

	w.write(roleText("b"))
	w.look(1)
	w.expect("changed, seen once", "a", 0, false)
	w.look(1)
	w.expect("changed, seen twice", "b", 0, false)

	w.write("mapRoles: [")
	w.look(5)
	w.expect("broken", "b", 1, true)
	w.write(roleText("b"))
	w.look(2)
	w.expect("mended", "b", 1, false)

	w.write("")
	w.look(2)
	w.expect("emptied", "b", 2, true)

	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.look(3)
	w.expect("gone", "b", 3, true)
	w.write(roleText("c"))
	w.look(1)
	w.expect("back, seen once", "b", 3, true)
	w.look(1)
	w.expect("back", "c", 3, false)

	w.write(roleText("d") + "mapAccounts: [1]\n")
	w.look(2)
	w.expect("with a bad entry", "d", 4, false)
	w.write(strings.Repeat("#", MaxAWSAuth) + "\n" + roleText("e"))
	w.look(2)
	w.expect("too large", "d", 5, true)

	want := Stats{Stale: true, Entries: 1}
	if got := w.file.Stats(); got.Stale != want.Stale || got.Entries != want.Entries {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	for i, part := range []string{"is not YAML", "the text is empty", "reading aws-auth file", "account \"1\" is not twelve digits", "is larger than"} {
		if !strings.Contains(w.alarms[i], part) {
			t.Errorf("alarm %d is %q, want …%q…", i, w.alarms[i], part)
		}
	}
}

// TestFileHalfWritten catches a writer in the middle: what is there is valid
// and means something else.
func TestFileHalfWritten(t *testing.T) {
	w := newWatched(t, roleText("a"))
	full := "mapRoles:\n- username: x\n  groups: [x]\n  rolearn: " + roleARN + "elopers\n"
	half, _, _ := strings.Cut(full, "elopers")
	w.write(half)
	w.look(1)
	w.expect("half written", "a", 0, false)
	w.write(full)
	w.look(1)
	w.expect("written, seen once", "a", 0, false)
	w.look(1)
	if got := outcome(w.file, session(t, "dev", "s")); got != "not mapped" {
		t.Errorf("role dev got %q", got)
	}
	if got := outcome(w.file, session(t, "developers", "s")); got != "x [x]" {
		t.Errorf("role developers got %q", got)
	}
}

func TestFileAtStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	// unavailable makes a backend of a file that cannot be used, and returns why.
	unavailable := func(path string) error {
		t.Helper()
		f, err := NewAWSAuthFile(FileConfig{Path: path})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, err := f.Map(context.Background(), session(t, "dev", "s")); !errors.As(err, new(*UnavailableError)) || !Temporary(err) {
			t.Errorf("Map: %v", err)
		}
		if !f.Stats().Stale {
			t.Errorf("%+v", f.Stats())
		}
		return f.Ready()
	}
	if err := unavailable(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, MaxAWSAuth+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unavailable(path); !errors.As(err, new(*safefile.TooLargeError)) {
		t.Errorf("too large: %v", err)
	}
	var te *TextError
	for _, text := range []string{"", "[", "x: y"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unavailable(path); !errors.As(err, &te) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.WriteFile(path, []byte(roleText("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAWSAuthFile(FileConfig{Path: path}); err != nil {
		t.Errorf("without Alarm: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // which has no such mode
	}
	if err := os.Chmod(path, 0o646); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAWSAuthFile(FileConfig{Path: path}); !errors.As(err, new(*safefile.WritableError)) || !strings.HasPrefix(err.Error(), "reading aws-auth file: ") {
		t.Errorf("writable by everybody: %v", err)
	}
}

// TestFileAsKubernetesMountsIt exchanges the directory behind a symbolic link.
func TestFileAsKubernetesMountsIt(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, v, "f"), []byte(roleText(v)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "data")
	if err := os.Symlink("a", link); err != nil {
		if runtime.GOOS == "windows" {
			return // where it is a privilege
		}
		t.Fatal(err)
	}
	f, err := NewAWSAuthFile(FileConfig{Path: filepath.Join(link, "f")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("b", link+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+"2", link); err != nil {
		t.Fatal(err)
	}
	f.Look()
	f.Look()
	if got := outcome(f, session(t, "dev", "s")); got != "b [b]" {
		t.Errorf("got %q", got)
	}
}

func TestFileRunOnTicks(t *testing.T) {
	w := newWatched(t, roleText("a"))
	ticks := make(chan time.Time)
	w.file.poller.Ticks = ticks
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.file.Run(context.Background())
	}()
	w.write(roleText("b"))
	ticks <- time.Time{}
	ticks <- time.Time{}
	close(ticks)
	<-done
	w.expect("after two ticks", "b", 0, false)
}

func TestFileRunByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, roleText("a"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.file.Run(ctx)
		}()
		w.write(roleText("b"))
		time.Sleep(2*PollInterval + 1)
		synctest.Wait()
		w.expect("after two intervals", "b", 0, false)
		cancel()
		<-done
	})
}

// TestSnapshotsAreWhole maps while the file is exchanged, and wants to see
// username and group from one text always. Run it with -race.
func TestSnapshotsAreWhole(t *testing.T) {
	w := newWatched(t, roleText("a"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			id := session(t, "dev", "s")
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, err := w.file.Map(context.Background(), id)
				if err != nil || len(m.Groups) != 1 || m.Groups[0] != m.Username {
					t.Errorf("got %+v, %v", m, err)
					return
				}
				m.Groups[0] = "mine"
				_ = w.file.Stats()
			}
		})
	}
	for i := range 50 {
		name := string(rune('a' + i%26))
		w.write(roleText(name))
		w.look(2)
		w.expect("exchanged", name, 0, false)
	}
	close(stop)
	wg.Wait()
}

func TestLive(t *testing.T) {
	l := Live{Name: "file"}
	if got := outcome(&l, session(t, "dev", "s")); got != "unavailable" || !Temporary(l.Ready()) {
		t.Errorf("zero value: %q", got)
	}
	l.Store(mustAWSAuth(t, roleText("a")))
	if got := outcome(&l, session(t, "dev", "s")); got != "a [a]" || l.Stats().Entries != 1 || l.Ready() != nil {
		t.Errorf("stored: %q", got)
	}
}
