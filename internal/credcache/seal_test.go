package credcache

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeVault is a keyring in memory; with err, one that does not work.
type fakeVault struct {
	mu     sync.Mutex
	secret string
	err    error
	gets   int
}

func (v *fakeVault) Get() (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gets++
	if v.err == nil && v.secret == "" {
		return "", ErrNoKey
	}
	return v.secret, v.err
}

func (v *fakeVault) Set(secret string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.secret = secret
	}
	return v.err
}

func (v *fakeVault) Remove() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil && v.secret == "" {
		return ErrNoKey
	}
	v.secret = ""
	return v.err
}

func sealed(v Vault) func(*Config) {
	return func(c *Config) { c.Storage, c.Vault = Keyring, v }
}

func (w *world) fillSealed(k Key, v Vault) {
	w.store(sealed(v)).Put(k, entryOf(w.credentials()))
}

func TestKeyring(t *testing.T) {
	w := newWorld(t)
	v := &fakeVault{}
	if got := w.served(key("a"), sealed(v)); got != "nothing" || v.secret != "" || v.gets != 0 {
		t.Errorf("from no folder: %s, and the keyring was asked %d times", got, v.gets)
	}
	w.fillSealed(key("a"), v)
	if n := v.gets; n != 3 { // none there, still none under the lock, and what was set
		t.Errorf("asked %d times", n)
	}
	for _, name := range w.files() {
		data, err := os.ReadFile(w.path(name))
		must(t, err)
		for _, secret := range []string{secretKey, sessionSecret, v.secret} {
			if bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte(base64.StdEncoding.EncodeToString([]byte(secret)))) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
	if key, err := base64.StdEncoding.DecodeString(v.secret); err != nil || len(key) != keySize {
		t.Errorf("a key of %d bytes", len(key))
	}
	if got := w.served(key("a"), sealed(v)); got != "credentials" {
		t.Errorf("served %s\n%s", got, w.said())
	}
	if got := w.served(key("a"), func(c *Config) { c.Vault = v }); got != "nothing" {
		t.Errorf("with storage disk: %s", got)
	}
	list, err := w.store(sealed(v)).List()
	if err != nil || len(list) != 1 || !list[0].Sealed || list[0].State != StateValid {
		t.Errorf("%+v, %v", list, err)
	}
	s := w.store(sealed(v))
	if n, err := s.Clear(); n != 1 || err != nil || v.secret != "" {
		t.Errorf("cleared %d, %v; the key is still there: %v", n, err, v.secret != "")
	}
	if n, err := s.Clear(); n != 0 || err != nil {
		t.Errorf("cleared again: %d, %v", n, err)
	}
}

// A sealed entry is served as it was made, or not at all.
func TestSealedIgnored(t *testing.T) {
	last := func(b []byte) []byte { // of what is sealed, not of its last two bits
		i := bytes.LastIndexByte(b, '"') - 4
		b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A']
		return b
	}
	for _, c := range []struct {
		name string
		do   func(*world, *fakeVault)
	}{
		{"another key in the keyring", func(w *world, v *fakeVault) {
			v.secret = base64.StdEncoding.EncodeToString(make([]byte, keySize))
		}},
		{"no key in the keyring", func(w *world, v *fakeVault) { v.secret = "" }},
		{"something else in the keyring", func(w *world, v *fakeVault) { v.secret = "hello" }},
		{"the keyring is locked", func(w *world, v *fakeVault) { v.err = errors.New("locked") }},
		{"a byte changed", func(w *world, _ *fakeVault) { w.rewrite(key("a"), last) }},
		{"a longer life", func(w *world, _ *fakeVault) {
			w.rewrite(key("a"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"created":"2026`), []byte(`"created":"2025`), 1)
			})
		}},
		{"another account", func(w *world, _ *fakeVault) {
			w.rewrite(key("a"), func(b []byte) []byte { return bytes.Replace(b, []byte("EXAMPLE"), []byte("EXEMPLE"), 1) })
		}},
		{"another entry's seal", func(w *world, v *fakeVault) {
			w.fillSealed(key("b"), v)
			from, err := os.ReadFile(w.path(entryName(key("b"))))
			must(w.t, err)
			w.rewrite(key("a"), func(b []byte) []byte {
				return append(b[:bytes.Index(b, []byte(`"secret"`))], from[bytes.Index(from, []byte(`"secret"`)):]...)
			})
		}},
		{"cut off", func(w *world, _ *fakeVault) {
			w.rewrite(key("a"), func(b []byte) []byte { return append(b[:bytes.Index(b, []byte(`"secret"`))], `"secret":"AAAA"}`...) })
		}},
		{"no seal", func(w *world, _ *fakeVault) { w.fill(key("a")) }},
		{"no seal, though it says so", func(w *world, _ *fakeVault) {
			w.fill(key("a"))
			w.edit(key("a"), func(h map[string]any) { h["sealed"] = true })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, v := newWorld(t), &fakeVault{}
			w.fillSealed(key("a"), v)
			c.do(w, v)
			if got := w.served(key("a"), sealed(v)); got != "nothing" {
				t.Errorf("served %s\n%s", got, w.said())
			}
			if n := strings.Count(w.said(), "\n"); n != 1 {
				t.Errorf("%d lines: %s", n, w.said())
			}
			v.err = nil
			w.fillSealed(key("a"), v)
			if got := w.served(key("a"), sealed(v)); got != "credentials" {
				t.Errorf("after the next: %s\n%s", got, w.said())
			}
		})
	}
}

// Without a keyring nothing is kept, open or sealed, and no file is left.
func TestNoKeyring(t *testing.T) {
	w, v := newWorld(t), &fakeVault{err: errors.New("no such service")}
	w.fillSealed(key("a"), v)
	s := w.store(sealed(v))
	s.unlocked(t.Context(), key("a"))
	if got := w.files(); len(got) != 0 || v.gets != 2 { // once a Store
		t.Errorf("%v, asked %d times", got, v.gets)
	}
	if !strings.Contains(w.said(), "no such service") {
		t.Errorf("said %q", w.said())
	}
	if _, err := s.Clear(); err == nil {
		t.Error("cleared, with the key still in a keyring that cannot be reached")
	}
}

// Processes that find no key at once make one.
func TestKeyIsMadeOnce(t *testing.T) {
	dir, v := filepath.Join(t.TempDir(), "cache"), &fakeVault{}
	w := newWorld(t)
	w.dir = dir
	var group sync.WaitGroup
	for _, name := range strings.Split("abcdefghij", "") {
		group.Go(func() {
			s := New(Config{Dir: dir, Storage: Keyring, Vault: v, Now: w.clock})
			s.Put(key(name), entryOf(w.credentials()))
		})
	}
	group.Wait()
	for _, name := range strings.Split("abcdefghij", "") {
		if _, ok := w.store(sealed(v)).Get(key(name), time.Time{}); !ok {
			t.Errorf("%s was sealed with another key\n%s", name, w.said())
		}
	}
}
