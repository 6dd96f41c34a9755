package credcache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A hit is one process's whole business with the cache, so each time the Store is
// new.
func BenchmarkGet(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "cache")
	config := filepath.Join(b.TempDir(), "config")
	if err := os.WriteFile(config, []byte(strings.Repeat("[profile x]\nregion = eu-west-1\n", 100)), 0o600); err != nil {
		b.Fatal(err)
	}
	digest, err := DigestFile(config)
	if err != nil {
		b.Fatal(err)
	}
	w := &world{now: time.Now()}
	New(Config{Dir: dir}).Put(key("a"), entryOf(w.credentials(), Input{config, digest}, Input{config + "2", noFile}))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := New(Config{Dir: dir}).Get(key("a"), time.Time{}); !ok {
			b.Fatal("a miss")
		}
	}
}
