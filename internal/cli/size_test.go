package cli_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxBinary is how large the client may be, stripped, in bytes.
const maxBinary = 15 << 20

// TestClientBinary builds the client as it is released. Its size and what it links
// decide how fast every kubectl command starts.
func TestClientBinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ekskey")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../../cmd/ekskey")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the client has %.1f MB", float64(info.Size())/(1<<20))
	if info.Size() > maxBinary {
		t.Errorf("the client has %d bytes, more than %d", info.Size(), maxBinary)
	}
	linked, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(linked.Deps) == 0 {
		t.Fatal("the binary names no modules")
	}
	for _, dep := range linked.Deps {
		if strings.HasPrefix(dep.Path, "k8s.io/") || strings.HasPrefix(dep.Path, "github.com/prometheus/") {
			t.Errorf("the client links %s", dep.Path)
		}
	}
}
