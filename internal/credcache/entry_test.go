package credcache

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edit changes an entry's header in its file.
func (w *world) edit(key Key, change func(h map[string]any)) {
	w.t.Helper()
	w.rewrite(key, func(data []byte) []byte {
		var f map[string]map[string]any
		must(w.t, json.Unmarshal(data, &f))
		change(f["header"])
		out, err := json.Marshal(f)
		must(w.t, err)
		return out
	})
}

func (w *world) rewrite(key Key, change func([]byte) []byte) {
	w.t.Helper()
	path := w.path(entryName(key))
	data, err := os.ReadFile(path)
	must(w.t, err)
	must(w.t, os.WriteFile(path, change(data), 0o600))
}

// One thing wrong a row: the entry is not served, one line says why, and the next
// one takes its place.
func TestIgnored(t *testing.T) {
	set := func(name string, value any) func(*world) {
		return func(w *world) { w.edit(key("a"), func(h map[string]any) { h[name] = value }) }
	}
	raw := func(change func([]byte) []byte) func(*world) {
		return func(w *world) { w.rewrite(key("a"), change) }
	}
	at := func(d time.Duration) string {
		return newWorld(t).clock().Add(d).Format(time.RFC3339Nano)
	}
	input := filepath.Join(t.TempDir(), "config")
	for _, c := range []struct {
		name string
		do   func(*world)
		want string // in the log
	}{
		{"nothing wrong", func(*world) {}, ""},
		{"empty", raw(func([]byte) []byte { return nil }), "corrupt"},
		{"cut off", raw(func(b []byte) []byte { return b[:len(b)/2] }), "corrupt"},
		{"cut off at the last byte", raw(func(b []byte) []byte { return b[:len(b)-2] }), "corrupt"},
		{"blocks of zeroes, as after a power cut", raw(func(b []byte) []byte { return make([]byte, len(b)) }), "corrupt"},
		{"something behind it", raw(func(b []byte) []byte { return append(b, '{') }), "corrupt"},
		{"another type", raw(func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":2`), []byte(`"version":"2"`), 1) }), "corrupt"},
		{"no header", raw(func([]byte) []byte { return []byte(`{"secret":{"token":"x"}}`) }), "corrupt"},
		{"no secret", raw(func(b []byte) []byte { return append(b[:bytes.Index(b, []byte(`,"secret"`))], '}') }), "corrupt"},
		{"an empty secret", raw(func(b []byte) []byte { return append(b[:bytes.Index(b, []byte(`"secret"`))], `"secret":{}}`...) }), "corrupt"},
		{"too large", raw(func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxEntry)...) }), "larger than"},
		{"a later version", set("version", 3), "not a cache entry of this version"},
		{"an earlier version", set("version", 1), "not a cache entry of this version"},
		{"no version", set("version", nil), "not a cache entry of this version"},
		{"another key inside", set("key", key("b").String()), "another key"},
		{"no key inside", set("key", ""), "another key"},
		{"C08 31 s in the future", set("created", at(31*time.Second)), "in the future"},
		{"C08 29 s in the future", set("created", at(29*time.Second)), ""},
		{"expired", set("expires", at(-time.Second)), "expired"},
		{"nearly expired", set("expires", at(119*time.Second)), "expired"},
		{"for ever", set("expires", at(1000*time.Hour)), "longer than AWS allows"},
		{"a bad time", set("expires", "soon"), "corrupt"},
		{"an input that changed", set("inputs", []Input{{input, strings.Repeat("0", 64)}}), input},
		{"an input that cannot be read", set("inputs", []Input{{filepath.Dir(input), noFile}}), "not a regular file"},
		{"sealed", set("sealed", true), "sealed with a key from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(key("a"))
			c.do(w)
			want := "credentials"
			if c.want != "" {
				want = "nothing"
			}
			if got := w.served(key("a")); got != want {
				t.Errorf("served %s", got)
			}
			if said := w.said(); c.want != "" && (strings.Count(said, "\n") != 1 || !strings.Contains(said, c.want) || !strings.Contains(said, entryName(key("a")))) {
				t.Errorf("said %q", said)
			}
			w.fill(key("a"))
			if got := w.served(key("a")); got != "credentials" {
				t.Errorf("after the next: %s\n%s", got, w.said())
			}
		})
	}
}

func TestInputs(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string // "": no file
		change func(path string) error
		want   string
	}{
		{"unchanged", "a", func(string) error { return nil }, "credentials"},
		{"written again", "a", func(p string) error { return os.WriteFile(p, []byte("a"), 0o600) }, "credentials"},
		{"changed", "a", func(p string) error { return os.WriteFile(p, []byte("b"), 0o600) }, "nothing"},
		{"longer", "a", func(p string) error { return os.WriteFile(p, []byte("a\n"), 0o600) }, "nothing"},
		{"emptied", "a", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "nothing"},
		{"removed", "a", os.Remove, "nothing"},
		{"still absent", "", func(string) error { return nil }, "credentials"},
		{"made", "", func(p string) error { return os.WriteFile(p, []byte("a"), 0o600) }, "nothing"},
		{"made empty", "", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "nothing"},
		{"now a directory", "", func(p string) error { return os.Mkdir(p, 0o700) }, "nothing"},
		{"now too large", "a", func(p string) error { return os.WriteFile(p, make([]byte, maxInput+1), 0o600) }, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			path := filepath.Join(t.TempDir(), "config")
			if c.before != "" {
				must(t, os.WriteFile(path, []byte(c.before), 0o600))
			}
			digest, err := DigestFile(path)
			must(t, err)
			w.fill(key("a"), Input{path + ".other", noFile}, Input{path, digest})
			must(t, c.change(path))
			if got := w.served(key("a")); got != c.want {
				t.Errorf("served %s\n%s", got, w.said())
			}
		})
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		name string
		pass time.Duration
		want string
	}{
		{"now", 0, "credentials"},
		{"C08 set back by what another host's clock may be ahead", -30 * time.Second, "credentials"},
		{"set back by more", -31 * time.Second, "nothing"},
		{"set back by a year", -365 * 24 * time.Hour, "nothing"},
		{"the credentials' last moment", time.Hour - margin - time.Second, "credentials"},
		{"after it", time.Hour - margin + time.Second, "nothing"},
		{"a year later", 365 * 24 * time.Hour, "nothing"},
	} {
		w := newWorld(t)
		w.fill(key("a"))
		w.pass(c.pass)
		if got := w.served(key("a")); got != c.want {
			t.Errorf("%s: served %s", c.name, got)
		}
	}
}

// Whatever stands in an entry's file, taking it apart neither panics nor says
// what it read, and gives nothing for another key.
func FuzzEntry(f *testing.F) {
	w := &world{t: &testing.T{}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	w.dir = filepath.Join(f.TempDir(), "cache")
	w.fill(key("a"))
	data, err := os.ReadFile(w.path(entryName(key("a"))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-3])
	f.Add(bytes.Replace(data, []byte(`"settings"`), []byte(`"inputs":[{"path":"/"}],"settings"`), 1))
	f.Add(bytes.Replace(data, []byte(`},"secret"`), []byte(`,"sealed":true},"secret"`), 1))
	f.Add([]byte(`{"header":{"version":2,"sealed":true},"secret":"AAAA"}`))
	f.Add([]byte(`{"header":null,"secret":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, file, err := decode(data)
		if err != nil {
			if err.Error() != errNotEntry.Error() { // which quotes nothing
				t.Errorf("%v", err)
			}
			return
		}
		if h.check(key("a"), w.now) == nil && (h.Key != key("a").String() || h.Expires.Sub(w.now) < margin) {
			t.Errorf("served: %+v", h)
		}
		for _, storage := range []Storage{Disk, Keyring} {
			s := New(Config{Storage: storage, Vault: &fakeVault{}})
			body, err := s.unseal(h, file)
			if err == nil && (h.Sealed || storage == Keyring) {
				t.Errorf("opened with no key: %d bytes", len(body))
			}
		}
	})
}
