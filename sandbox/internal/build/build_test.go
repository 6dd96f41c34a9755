package build

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process.GuardCommand {
		os.Exit(process.Guard(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// fakeGo puts a go command first on PATH that compiles nothing: it notes each
// build in a file and leaves programs that hold a word.
func fakeGo(t *testing.T, build string) (log string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for go is a shell script")
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	script := `#!/bin/sh
if [ "$1" = env ]; then echo go1.26.0; exit; fi
echo "$GOOS/$GOARCH $CGO_ENABLED $GOWORK $*" >>` + log + `
out=
while [ $# -gt 0 ]; do
  case $1 in
    -o) out=$2; shift ;;
    ./cmd/*) name=${1#./cmd/}; ` + build + ` ;;
  esac
  shift
done
`
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+"/usr/bin:/bin")
	t.Setenv(EnvAssets, "")
	return log
}

const good = `echo "go: downloading example.com/x v1" >&2; echo example.com/x >&2; echo program >"$out$name"; chmod +x "$out$name"`

func newBuilder(t *testing.T) *Builder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "sandbox")
	for name, text := range map[string]string{
		"go.mod":              "module " + modulePath + "\n",
		"controlplane/go.mod": "module x\nrequire (\n\tk8s.io/kubernetes v1.36.3\n)\n",
		"controlplane/go.sum": "sums\n",
	} {
		file := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Builder{Self: self, Source: source, Cache: t.TempDir(), Progress: &Progress{Out: &bytes.Buffer{}}}
}

func builds(t *testing.T, log string) []string {
	t.Helper()
	b, err := os.ReadFile(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func TestControlPlaneIsCompiledOnce(t *testing.T) {
	log := fakeGo(t, good)
	b := newBuilder(t)
	var wg sync.WaitGroup
	for range 4 {
		own := *b
		own.Progress = &Progress{Out: &bytes.Buffer{}}
		wg.Go(func() {
			p, err := own.ControlPlane(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			for _, path := range []string{p.APIServer, p.Etcd, p.Aggregation} {
				if got, err := os.ReadFile(path); err != nil || string(got) != "program\n" {
					t.Errorf("%s: %q, %v", path, got, err)
				}
			}
		})
	}
	wg.Wait()
	got := builds(t, log)
	if len(got) != 1 {
		t.Fatalf("compiled %d times: %q", len(got), got)
	}
	for _, want := range []string{runtime.GOOS + "/" + runtime.GOARCH + " 0 off build", "-trimpath", "gitVersion=v1.36.3", "./cmd/kube-apiserver", "./cmd/etcd", "./cmd/clusterrole-aggregation"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("no %q in %s", want, got[0])
		}
	}
	// Another release is another program.
	if err := os.WriteFile(filepath.Join(b.Source, "controlplane", "go.sum"), []byte("others\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ControlPlane(context.Background()); err != nil || len(builds(t, log)) != 2 {
		t.Errorf("after go.sum changed: %v, compiled %d times", err, len(builds(t, log)))
	}
}

func TestFailedCompilationLeavesNothing(t *testing.T) {
	log := fakeGo(t, `echo "x.go:1:1: no such thing" >&2; echo half >"$out$name"; exit 1`)
	b := newBuilder(t)
	_, err := b.ControlPlane(context.Background())
	if err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("got %v, want what go said", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Cache, "*", "*e*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := b.ControlPlane(context.Background()); err == nil || len(builds(t, log)) != 2 {
		t.Errorf("again: %v; a failure must not be kept", err)
	}
}

func TestCancelledCompilationEnds(t *testing.T) {
	log := fakeGo(t, `sleep 600`)
	b := newBuilder(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if b, err := os.ReadFile(log); err == nil && len(b) > 0 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := b.ControlPlane(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it cancelled", err)
	}
}

func TestOwnIsCompiledEachTime(t *testing.T) {
	log := fakeGo(t, good)
	b := newBuilder(t)
	dir := t.TempDir()
	for range 2 {
		ekskey, server, err := b.Own(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{ekskey, server} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(path) != dir {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
	if n := len(builds(t, log)); n != 2 {
		t.Errorf("asked go %d times, want each time", n)
	}
}

func TestCacheThatOthersMayWrite(t *testing.T) {
	fakeGo(t, good)
	b := newBuilder(t)
	if _, err := b.ControlPlane(context.Background()); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(b.Cache, "control-plane-*"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if err := os.Chmod(kept[0], 0o777); err != nil {
		t.Fatal(err)
	}
	var foreign *state.ForeignError
	if _, err := b.ControlPlane(context.Background()); !errors.As(err, &foreign) {
		t.Errorf("got %v, want *state.ForeignError", err)
	}
}

func TestAssets(t *testing.T) {
	log := fakeGo(t, good)
	b := newBuilder(t)
	dir := t.TempDir()
	t.Setenv(EnvAssets, dir)
	var missing *NoAssetError
	if _, err := b.ControlPlane(context.Background()); !errors.As(err, &missing) {
		t.Errorf("got %v, want *NoAssetError", err)
	}
	for _, name := range []string{"kube-apiserver", "etcd", "kubectl"} {
		if err := os.WriteFile(filepath.Join(dir, exe(name)), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.ControlPlane(context.Background())
	if err != nil || p.APIServer != filepath.Join(dir, exe("kube-apiserver")) || p.Etcd != filepath.Join(dir, exe("etcd")) {
		t.Errorf("%+v, %v", p, err)
	}
	if kubectl, err := b.Kubectl(context.Background()); err != nil || kubectl != filepath.Join(dir, exe("kubectl")) {
		t.Errorf("%s, %v", kubectl, err)
	}
	// Assets have no such controller.
	if got := builds(t, log); len(got) != 1 || strings.Count(got[0], "./cmd/") != 1 || !strings.Contains(got[0], "./cmd/clusterrole-aggregation") {
		t.Errorf("compiled %q", got)
	}
}

func TestNoGo(t *testing.T) {
	b := newBuilder(t)
	t.Setenv("PATH", t.TempDir())
	t.Setenv(EnvAssets, "")
	var none *NoGoError
	if _, _, err := b.Own(context.Background(), t.TempDir()); !errors.As(err, &none) {
		t.Errorf("got %v, want *NoGoError", err)
	}
	if _, err := b.ControlPlane(context.Background()); !errors.As(err, &none) {
		t.Errorf("got %v, want *NoGoError", err)
	}
}

func TestFindSource(t *testing.T) {
	source := newBuilder(t).Source
	checkout := filepath.Dir(source)
	deep := filepath.Join(checkout, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, given, cwd string }{
		{"given", source, t.TempDir()},
		{"given as the checkout", checkout, t.TempDir()},
		{"here", "", source},
		{"below here", "", checkout},
		{"above here", "", deep},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Chdir(tc.cwd)
			got, err := FindSource(tc.given)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := stat(t, got), stat(t, source); !os.SameFile(a, b) {
				t.Errorf("found %s", got)
			}
		})
	}
	var none *NoSourceError
	if _, err := FindSource(deep); !errors.As(err, &none) {
		t.Errorf("a directory without: %v, want *NoSourceError", err)
	}
}

func TestRealControlPlane(t *testing.T) {
	source, err := FindSource("")
	if err != nil {
		t.Fatal(err)
	}
	version, err := kubernetesVersion(filepath.Join(source, "controlplane"))
	if err != nil || !strings.HasPrefix(version, "v1.") {
		t.Errorf("the control plane's module requires Kubernetes %q, %v", version, err)
	}
	if flags := versionFlags("v1.36.3"); !strings.Contains(flags, "gitMajor=1 ") || !strings.Contains(flags, "gitMinor=36 ") {
		t.Errorf("flags %q", flags)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
