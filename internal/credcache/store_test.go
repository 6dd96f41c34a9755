package credcache

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	if got := w.served(key("a")); got != "nothing" {
		t.Errorf("from no directory: %s", got)
	}
	if _, err := os.Stat(w.dir); err == nil {
		t.Error("reading has made the directory")
	}
	yes := true
	want := entryOf(w.credentials())
	want.NeededCode, want.Settings.FIPS = true, &yes
	w.store().Put(key("a"), want)
	got, ok := w.store().Get(key("a"), time.Time{})
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Entry{})); !ok || d != "" {
		t.Error(d)
	}
	if got := w.served(key("b")); got != "nothing" {
		t.Errorf("another key: %s", got)
	}
	for _, name := range w.files() {
		info, err := os.Stat(w.path(name))
		must(t, err)
		if runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	for _, dir := range []string{w.dir, filepath.Dir(w.dir)} {
		if info, err := os.Stat(dir); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o700) {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// What would be served late, or for ever, is not kept.
func TestNotKept(t *testing.T) {
	now := newWorld(t).clock()
	for _, c := range []struct {
		name   string
		creds  func(*aws.Credentials)
		config func(*Config)
	}{
		{name: "credentials that cannot expire", creds: func(c *aws.Credentials) { c.CanExpire = false }},
		{name: "credentials without an expiry", creds: func(c *aws.Credentials) { c.Expires = time.Time{} }},
		{name: "credentials without a session token", creds: func(c *aws.Credentials) { c.SessionToken = "" }},
		{name: "huge credentials", creds: func(c *aws.Credentials) { c.SessionToken = strings.Repeat("x", maxEntry) }},
		{name: "credentials with under two minutes", creds: func(c *aws.Credentials) { c.Expires = now.Add(119 * time.Second) }},
		{name: "credentials for longer than AWS gives them", creds: func(c *aws.Credentials) { c.Expires = now.Add(37 * time.Hour) }},
		{name: "storage none", config: func(c *Config) { c.Storage = None }},
		{name: "no directory", config: func(c *Config) { c.Dir = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.store()
			if c.config != nil {
				s = w.store(c.config)
			}
			creds := w.credentials()
			if c.creds != nil {
				c.creds(&creds)
			}
			s.Put(key("a"), entryOf(creds))
			if got := w.files(); len(got) != 0 {
				t.Errorf("cached %v", got)
			}
			if c.config == nil && !strings.Contains(w.said(), "not cached") {
				t.Errorf("said %q", w.said())
			}
		})
	}
}

func TestStorageNames(t *testing.T) {
	for text, want := range map[string]Storage{"": Disk, "disk": Disk, "keyring": Keyring, "none": None} {
		if got, err := ParseStorage(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"Disk", "file", " disk"} {
		if got, err := ParseStorage(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestDefaultDir(t *testing.T) {
	abs := t.TempDir()
	below := map[string]string{"darwin": "Library/Caches/ekskey", "windows": "ekskey"}[runtime.GOOS]
	if below == "" {
		below = ".cache/ekskey"
	}
	home := "HOME"
	if runtime.GOOS == "windows" {
		home = "LocalAppData"
	}
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"told", map[string]string{"EKSKEY_CACHE_DIR": abs, home: "/other"}, abs},
		{"at home", map[string]string{home: abs}, filepath.Join(abs, below)},
		{"told a relative one", map[string]string{"EKSKEY_CACHE_DIR": "cache", home: abs}, ""},
		{"no home", nil, ""},
		{"a relative home", map[string]string{home: "me"}, ""},
	}
	if home == "HOME" && runtime.GOOS != "darwin" {
		tests = append(tests, []struct {
			name string
			env  map[string]string
			want string
		}{
			{"XDG", map[string]string{"XDG_CACHE_HOME": abs, home: "/other"}, filepath.Join(abs, "ekskey")},
			{"a relative XDG counts as none", map[string]string{"XDG_CACHE_HOME": "c", home: abs}, filepath.Join(abs, below)},
		}...)
	}
	for _, tt := range tests {
		got, err := DefaultDir(func(k string) string { return tt.env[k] })
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
}

// Fields that would be the same bytes if simply joined are different keys.
func TestKeysDiffer(t *testing.T) {
	sum := func(kind string, fields ...string) Key {
		h := NewHash(kind)
		for i := 0; i < len(fields); i += 2 {
			h.Add(fields[i], fields[i+1])
		}
		return h.Sum()
	}
	lists := []Key{
		sum("token"), sum("credentials"), sum("token", "a", "b"), sum("token", "ab", ""), sum("token", "", "ab"), sum("token", "b", "a"),
		sum("token", "a", "b", "", ""), sum("token", "a", "b", "c", "d"), sum("token", "c", "d", "a", "b"), sum("token", "a", "b\x00\x00"), sum("token", "a", "bc", "", "d"),
	}
	for i := range lists {
		if n := slices.Index(lists, lists[i]); n != i {
			t.Errorf("lists %d and %d have one key", n, i)
		}
	}
	if sum("token", "a", "b") != lists[2] {
		t.Error("the same list has two keys")
	}
	h := NewHash("x")
	h.Add("secret", secretKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if out := fmt.Sprintf(verb, h); strings.Contains(out, secretKey) || strings.Contains(out, fmt.Sprintf("%x", secretKey)) {
			t.Errorf("%s prints what was added", verb)
		}
	}
}

// A field that someone adds to the listing must be no secret; so they are
// listed here too.
func TestInfoFields(t *testing.T) {
	var names []string
	for f := range reflect.TypeFor[Info]().Fields() {
		names = append(names, f.Name)
	}
	want := []string{"Kind", "Key", "File", "State", "AccessKeyID", "Created", "Expires", "Sealed", "Region", "About"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}
