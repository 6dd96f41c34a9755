//go:build unix

package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// many is a kubeconfig with as many users, contexts and clusters.
func many(n int) string {
	var clusters, contexts, users strings.Builder
	for i := range n {
		fmt.Fprintf(&clusters, "- cluster:\n    certificate-authority-data: %s\n    server: https://c%d\n  name: c%d\n", strings.Repeat("Q0FD", 30), i, i)
		fmt.Fprintf(&contexts, "- context:\n    cluster: c%d\n    user: u%d\n  name: x%d\n", i, i, i)
		fmt.Fprintf(&users, "- name: u%d\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - --region\n      - eu-west-1\n      - eks\n      - get-token\n      - --cluster-name\n      - c%d\n      command: aws\n", i, i)
	}
	return "apiVersion: v1\nclusters:\n" + clusters.String() + "contexts:\n" + contexts.String() + "current-context: x0\nkind: Config\npreferences: {}\nusers:\n" + users.String()
}

// K01: another program writes the file in place, without a lock and in pieces, as the
// AWS CLI does. No entry that was there before is lost.
func TestK01NothingIsLostBesideAnInPlaceWriter(t *testing.T) {
	const users, rounds = 200, 6
	path := write(t, filepath.Join(t.TempDir(), "config"), many(users))
	done := make(chan error, 1)
	go func() {
		for n := range rounds {
			text, err := os.ReadFile(path)
			if err == nil {
				err = writeInPieces(path, string(text)+fmt.Sprintf("- name: cli%d\n  user: {}\n", n))
			}
			if err != nil {
				done <- err
				return
			}
			time.Sleep(400 * time.Millisecond)
		}
		done <- nil
	}()
	for n := 0; ; n++ {
		o := demo()
		o.Endpoint = fmt.Sprintf("https://endpoint%d", n)
		if _, err := Update(t.Context(), Env{Flag: path}, batch(mustChange(t, o))); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			f := mustParse(t, read(t, path))
			for i := range users {
				if _, there := findIn(f, userList, fmt.Sprintf("u%d", i)); !there {
					t.Fatalf("user u%d of %d is gone, %d are left", i, users, len(f.users))
				}
			}
			if len(f.clusters) < users || len(f.contexts) < users {
				t.Errorf("%d clusters, %d contexts", len(f.clusters), len(f.contexts))
			}
			return
		default:
		}
	}
}

func writeInPieces(path, text string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // it is empty while Python builds what it writes
	for len(text) > 0 && err == nil {
		n := min(len(text), 8192)
		_, err = f.WriteString(text[:n])
		text = text[n:]
		time.Sleep(15 * time.Millisecond)
	}
	return errors.Join(err, f.Close())
}

// K01: what changes between reading and writing is planned again, and an end comes of
// it if that goes on.
func TestK01PlansAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change int // how often
		ok     bool
	}{{"once", 1, true}, {"now and then", maxTries - 1, true}, {"always", maxTries, false}} {
		path := write(t, filepath.Join(t.TempDir(), "config"), "# 0\n")
		tries := 0
		_, err := rewrite(t.Context(), Env{Flag: path}, func(s fileSet) (Report, []Edit, error) {
			r, edits, err := s.apply(batch(mustChange(t, demo())))
			if tries++; tries <= tt.change {
				write(t, path, fmt.Sprintf("# %d\n", tries))
			}
			return r, edits, err
		})
		var changed *safefile.ChangedError
		text := read(t, path)
		if tt.ok != (err == nil) || !tt.ok && !errors.As(err, &changed) || !strings.HasPrefix(text, fmt.Sprintf("# %d\n", tt.change)) || strings.Contains(text, "demo") != tt.ok {
			t.Errorf("%s, after %d: %v\n%s", tt.name, tries, err, text)
		}
	}
}

// K02: a link that is led elsewhere while an update plans has it write the file that it
// has read, or that it reads again.
func TestK02LinkLedElsewhere(t *testing.T) {
	dir := t.TempDir()
	mine, other, link := write(t, filepath.Join(dir, "mine"), "# mine\n"), write(t, filepath.Join(dir, "other"), "# other\n"), filepath.Join(dir, "link")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	_, err := rewrite(t.Context(), Env{Flag: link}, func(s fileSet) (Report, []Edit, error) {
		if err := errors.Join(os.Remove(link), os.Symlink(other, link)); err != nil {
			t.Fatal(err)
		}
		return s.apply(batch(mustChange(t, demo())))
	})
	if got := read(t, mine); err != nil || !strings.HasPrefix(got, "# mine\n") || !strings.Contains(got, "demo") {
		t.Errorf("%v\n%s", err, got)
	}
	if got := read(t, other); got != "# other\n" {
		t.Errorf("written:\n%s", got)
	}
}

// K07: a file is overwritten and stays the same one, with its names.
func TestK07InPlace(t *testing.T) {
	dir := t.TempDir()
	path, second := write(t, filepath.Join(dir, "config"), many(3)), filepath.Join(dir, "second")
	if err := os.Link(path, second); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	env := Env{Flag: path, InPlace: true, Warn: func(text string) { warnings = append(warnings, text) }}
	if _, err := Update(t.Context(), env, batch(mustChange(t, demo()))); err != nil {
		t.Fatal(err)
	}
	if read(t, path) != read(t, second) || !strings.Contains(read(t, second), "demo") || len(warnings) > 0 {
		t.Errorf("%q\n%s", warnings, read(t, second))
	}
	// Shorter again, without a rest of what was there.
	if _, err := Update(t.Context(), env, Batch{Remove: []string{"demo"}}); err != nil {
		t.Fatal(err)
	}
	mustParse(t, read(t, second))
	env.InPlace = false
	if _, err := Update(t.Context(), env, batch(mustChange(t, demo()))); err != nil {
		t.Fatal(err)
	}
	if read(t, path) == read(t, second) || len(warnings) != 1 || !strings.Contains(warnings[0], "has 2 names") {
		t.Errorf("%q", warnings)
	}
}

// K07: where nothing can be created beside the file, in place goes without a lock.
func TestK07InPlaceWithoutALock(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "config"), "# mine\n")
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	_, err := Update(t.Context(), Env{Flag: path}, batch(mustChange(t, demo())))
	if (err == nil) != (os.Geteuid() == 0) {
		t.Errorf("got %v", err)
	}
	if _, err := Update(t.Context(), Env{Flag: path, InPlace: true}, batch(mustChange(t, demo()))); err != nil || !strings.Contains(read(t, path), "demo") {
		t.Errorf("got %v\n%s", err, read(t, path))
	}
}

// K01: a text that is cut off at the end of a line, and is then no kubeconfig, is not
// taken for one that rests.
func TestK01CutOffAtALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte("clusters: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		time.Sleep(600 * time.Millisecond) // longer than a text that is whole has to rest
		done <- os.WriteFile(path, []byte("clusters: [\n  {name: a, cluster: {server: https://a}}]\n"), 0o600)
	}()
	_, err := Update(t.Context(), Env{Flag: path}, batch(mustChange(t, demo())))
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !strings.Contains(got, "name: a,") || !strings.Contains(got, demoARN) {
		t.Error(got)
	}
}
