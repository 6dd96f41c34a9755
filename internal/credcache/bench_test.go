package credcache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A hit is one process's whole business with the cache, so each time the Store
// and the parent are new.
func BenchmarkToken(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "cache")
	config := filepath.Join(b.TempDir(), "config")
	if err := os.WriteFile(config, []byte(strings.Repeat("[profile x]\nregion = eu-west-1\n", 100)), 0o600); err != nil {
		b.Fatal(err)
	}
	digest, err := DigestFile(config)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	k := NewHash("test").Sum()
	t := NewToken(strings.Repeat("x", 2000), now.Add(14*time.Minute), now, "AKIDEXAMPLE")
	New(Config{Dir: dir}).PutToken(k, Parent{1, 1}, t, []Input{{config, digest}, {config + "2", absent}}, About{Cluster: "c"})
	b.ReportAllocs()
	n := 1
	for b.Loop() {
		n++
		if _, ok := New(Config{Dir: dir}).Token(k, Parent{n, 1}); !ok {
			b.Fatal("a miss")
		}
	}
}
