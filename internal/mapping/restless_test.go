package mapping

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFileRestless is the attack of who can write the file often but not have a
// text of theirs come into force: the one that takes out role/dev never does.
func TestFileRestless(t *testing.T) {
	w := newWatched(t, roleText("a"))
	step := func(text, when, username string, alarms int, stale bool) {
		t.Helper()
		w.write(text)
		w.look(1)
		w.expect(when, username, alarms, stale)
	}
	step(roleText("a"), "unchanged", "a", 0, false)
	step(roleText("b"), "one other text", "a", 0, false)
	step(roleText("c"), "two", "a", 0, false)
	step(roleText("d"), "three", "a", 1, true)
	step(roleText("e"), "four", "a", 1, true)
	step(roleText("e"), "at rest", "e", 1, false)
	var restless *RestlessError
	if !errors.As(w.errs[0], &restless) || !strings.HasSuffix(restless.Name, w.path) || !strings.HasSuffix(w.alarms[0], "changes at every look; the older text stays in force") {
		t.Errorf("alarm %q", w.alarms[0])
	}

	// To and fro between two texts is no rest either, though one is in force.
	step(roleText("f"), "to", "e", 1, false)
	step(roleText("e"), "fro", "e", 1, false)
	step(roleText("f"), "to again", "e", 2, true)
	step(roleText("e"), "fro again", "e", 2, true)
	step(roleText("e"), "stayed", "e", 2, false)

	// Two texts, and two more: there was rest between them.
	step(roleText("g"), "g, seen once", "e", 2, false)
	step(roleText("h"), "h, seen once", "e", 2, false)
	step(roleText("h"), "h", "h", 2, false)
	step(roleText("i"), "i, seen once", "h", 2, false)
	step(roleText("j"), "j, seen once", "h", 2, false)
	step("mapRoles: [", "a third, broken", "h", 3, true)
	step("mapRoles: [", "broken, at rest", "h", 4, true)
}

// TestFileGoneBetweenLooks has a look that fails between two that see the same,
// and so are not two in a row.
func TestFileGoneBetweenLooks(t *testing.T) {
	w := newWatched(t, roleText("a"))
	for _, name := range []string{"b", "c"} {
		w.write(roleText(name))
		w.look(1)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.look(1)
	w.expect("gone", "a", 1, true)
	w.write(roleText("c"))
	w.look(1)
	w.expect("back, seen once", "a", 1, true)
	w.look(1)
	w.expect("back", "c", 1, false)
}

// TestFileRestlessAtStart changes the file between the reads of NewAWSAuthFile.
// In the bubble nobody's clock moves before all sleep, so the reads fall between
// the writes.
func TestFileRestlessAtStart(t *testing.T) {
	full := "mapRoles:\n- username: x\n  groups: [x]\n  rolearn: " + roleARN + "elopers\n"
	half, _, _ := strings.Cut(full, "elopers")
	for _, tt := range []struct {
		name   string
		writes int // after the first, each another text
		want   string
	}{
		{"at rest", 0, "not mapped"},
		{"half written at first", 1, "x [x]"},
		{"at rest in the last try", startTries - 1, "x [x]"},
		{"never at rest", startTries, "restless"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "f")
				write := func(text string) {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Error(err)
					}
				}
				write(half)
				var writer sync.WaitGroup
				writer.Go(func() {
					time.Sleep(startInterval / 2)
					for i := range tt.writes {
						write(full + strings.Repeat("#", i))
						time.Sleep(startInterval)
					}
				})
				f, err := NewAWSAuthFile(FileConfig{Path: path})
				writer.Wait()
				if tt.want == "restless" {
					if err != nil || !errors.As(f.Ready(), new(*RestlessError)) {
						t.Errorf("got %v, %v, want *RestlessError", err, f.Ready())
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := outcome(f, session(t, "developers", "s")); got != tt.want {
					t.Errorf("role developers: got %q, want %q", got, tt.want)
				}
			})
		})
	}
}
