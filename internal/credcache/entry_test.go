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
func (w *world) edit(k kind, key Key, change func(h map[string]any)) {
	w.t.Helper()
	w.rewrite(k, key, func(data []byte) []byte {
		var f map[string]map[string]any
		must(w.t, json.Unmarshal(data, &f))
		change(f["header"])
		out, err := json.Marshal(f)
		must(w.t, err)
		return out
	})
}

func (w *world) rewrite(k kind, key Key, change func([]byte) []byte) {
	w.t.Helper()
	path := w.path(k.file(key))
	data, err := os.ReadFile(path)
	must(w.t, err)
	must(w.t, os.WriteFile(path, change(data), 0o600))
}

// One thing wrong a row: neither token nor credentials are served, one line
// each says why, and the next ones take their place.
func TestIgnored(t *testing.T) {
	set := func(name string, value any) func(*world, kind) {
		return func(w *world, k kind) { w.edit(k, key("a"), func(h map[string]any) { h[name] = value }) }
	}
	raw := func(change func([]byte) []byte) func(*world, kind) {
		return func(w *world, k kind) { w.rewrite(k, key("a"), change) }
	}
	at := func(d time.Duration) string {
		return newWorld(t).clock().Add(d).Format(time.RFC3339Nano)
	}
	input := filepath.Join(t.TempDir(), "config")
	for _, c := range []struct {
		name string
		do   func(*world, kind)
		want string // in the log
	}{
		{"nothing wrong", func(*world, kind) {}, ""},
		{"empty", raw(func([]byte) []byte { return nil }), "corrupt"},
		{"cut off", raw(func(b []byte) []byte { return b[:len(b)/2] }), "corrupt"},
		{"cut off at the last byte", raw(func(b []byte) []byte { return b[:len(b)-2] }), "corrupt"},
		{"blocks of zeroes, as after a power cut", raw(func(b []byte) []byte { return make([]byte, len(b)) }), "corrupt"},
		{"something behind it", raw(func(b []byte) []byte { return append(b, '{') }), "corrupt"},
		{"another type", raw(func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":"1"`), 1) }), "corrupt"},
		{"no header", raw(func([]byte) []byte { return []byte(`{"secret":{"token":"x"}}`) }), "corrupt"},
		{"no secret", raw(func(b []byte) []byte { return append(b[:bytes.Index(b, []byte(`,"secret"`))], '}') }), "corrupt"},
		{"an empty secret", raw(func(b []byte) []byte { return append(b[:bytes.Index(b, []byte(`"secret"`))], `"secret":{}}`...) }), "corrupt"},
		{"too large", raw(func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxEntry)...) }), "larger than"},
		{"a later version", set("version", 2), "not an entry of this version"},
		{"no version", set("version", nil), "not an entry of this version"},
		{"another key inside", set("key", key("b").String()), "another key"},
		{"no key inside", set("key", ""), "another key"},
		{"another kind inside", func(w *world, k kind) {
			o := map[kind]kind{kindToken: kindCredentials, kindCredentials: kindToken}[k]
			w.edit(k, key("a"), func(h map[string]any) { h["kind"] = o })
		}, "another key"},
		{"made in the future", set("created", at(time.Minute)), "in the future"},
		{"expired", set("expires", at(-time.Second)), "expired"},
		{"nearly expired", set("expires", at(119*time.Second)), "expired"},
		{"for ever", set("expires", at(1000*time.Hour)), "longer than AWS"},
		{"a bad time", set("expires", "soon"), "corrupt"},
		{"an input that changed", set("inputs", []Input{{input, strings.Repeat("0", 64)}}), input},
		{"an input that cannot be read", set("inputs", []Input{{filepath.Dir(input), absent}}), "not a regular file"},
		{"sealed", set("sealed", true), "sealed with a key from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(key("a"))
			c.do(w, kindToken)
			c.do(w, kindCredentials)
			want := "both"
			if c.want != "" {
				want = "nothing"
			}
			if got := w.served(key("a"), self); got != want {
				t.Errorf("served %s", got)
			}
			lines := strings.Split(strings.TrimSuffix(w.said(), "\n"), "\n")
			if c.want != "" && len(lines) != 2 {
				t.Errorf("%d lines for two misses: %q", len(lines), lines)
			}
			for i, k := range []kind{kindToken, kindCredentials} {
				if c.want != "" && (!strings.Contains(lines[i], c.want) || !strings.Contains(lines[i], k.file(key("a")))) {
					t.Errorf("said %q", lines[i])
				}
			}
			w.fill(key("a"))
			if got := w.served(key("a"), other); got != "both" {
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
		{"unchanged", "a", func(string) error { return nil }, "both"},
		{"written again", "a", func(p string) error { return os.WriteFile(p, []byte("a"), 0o600) }, "both"},
		{"changed", "a", func(p string) error { return os.WriteFile(p, []byte("b"), 0o600) }, "nothing"},
		{"longer", "a", func(p string) error { return os.WriteFile(p, []byte("a\n"), 0o600) }, "nothing"},
		{"emptied", "a", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "nothing"},
		{"removed", "a", os.Remove, "nothing"},
		{"still absent", "", func(string) error { return nil }, "both"},
		{"made", "", func(p string) error { return os.WriteFile(p, []byte("a"), 0o600) }, "nothing"},
		{"made empty", "", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "nothing"},
		{"now a folder", "", func(p string) error { return os.Mkdir(p, 0o700) }, "nothing"},
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
			w.fill(key("a"), Input{path + ".other", absent}, Input{path, digest})
			must(t, c.change(path))
			if got := w.served(key("a"), self); got != c.want {
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
		{"now", 0, "both"},
		{"moved back", -time.Second, "nothing"},
		{"moved back a year", -365 * 24 * time.Hour, "nothing"},
		{"the token's last moment", tokenLife - margin - time.Second, "both"},
		{"after it", tokenLife - margin, "credentials"},
		{"the credentials' last moment", time.Hour - margin - time.Second, "credentials"},
		{"after it", time.Hour - margin + time.Second, "nothing"},
		{"a year later", 365 * 24 * time.Hour, "nothing"},
	} {
		w := newWorld(t)
		w.fill(key("a"))
		w.pass(c.pass)
		if got := w.served(key("a"), self); got != c.want {
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
	for _, k := range []kind{kindToken, kindCredentials} {
		data, err := os.ReadFile(w.path(k.file(key("a"))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-3])
		f.Add(bytes.Replace(data, []byte(`"inputs":null`), []byte(`"inputs":[{"path":"/"}]`), 1))
		f.Add(bytes.Replace(data, []byte(`,"secret"`), []byte(`,"sealed":true,"secret"`), 1))
	}
	f.Add([]byte(`{"header":{"version":1,"sealed":true},"secret":"AAAA"}`))
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
		for _, k := range []kind{kindToken, kindCredentials} {
			if h.check(k, key("a"), w.now) == nil && (h.Key != key("a").String() || h.Kind != k || h.Expires.Sub(w.now) < margin) {
				t.Errorf("served: %+v", h)
			}
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
