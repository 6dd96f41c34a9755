//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ekskey/ekskey/sandbox/internal/build"
	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// Set up by TestMain, and read only.
var (
	shared   *box   // a sandbox as `up` makes it
	kubectl  string // path
	sandbox  string // path of the ekskey-sandbox binary
	cacheDir string // of compiled programs
	scratch  string // a directory for all
	maker    *build.Builder
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process.GuardCommand {
		os.Exit(process.Guard(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	klog.SetLogger(logr.Discard()) // client-go, about API servers that stop
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	if scratch, err = os.MkdirTemp("", "ekskey-e2e-*"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if cacheDir, err = build.DefaultCache(); err != nil {
		return 1, err
	}
	source, err := build.FindSource("")
	if err != nil {
		return 1, err
	}
	maker = &build.Builder{Self: os.Args[0], Source: source, Cache: cacheDir, Progress: &build.Progress{Out: os.Stderr}}
	if maker.Self, err = os.Executable(); err != nil {
		return 1, err
	}
	if kubectl, err = maker.Kubectl(ctx); err != nil {
		return 1, err
	}
	sandbox = filepath.Join(scratch, "ekskey-sandbox")
	compile := exec.Command("go", "build", "-o", sandbox, "./cmd/ekskey-sandbox")
	compile.Dir, compile.Stderr = source, os.Stderr
	if err := compile.Run(); err != nil {
		return 1, fmt.Errorf("compiling ekskey-sandbox: %w", err)
	}
	if shared, err = newBox(ctx, stack.Config{}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.close()) }()
	return m.Run(), nil
}

// box is a sandbox in this process, with an administrator's client.
type box struct {
	*stack.Stack
	admin *kubernetes.Clientset
	stop  func()
}

// newBox starts a sandbox and keeps it running until close.
func newBox(ctx context.Context, cfg stack.Config) (*box, error) {
	dir, err := os.MkdirTemp(scratch, "box-*")
	if err != nil {
		return nil, err
	}
	cfg.StateDir, cfg.Builder, cfg.Out = filepath.Join(dir, "state"), maker, os.Stderr
	s, err := stack.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	b := &box{Stack: s}
	supervising, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Supervise(supervising) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
		}
	}
	conf, err := clientcmd.BuildConfigFromFlags("", s.Layout().AdminKubeconfig())
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	conf.QPS = -1
	if b.admin, err = kubernetes.NewForConfig(conf); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *box) close() error {
	b.stop()
	return b.Stop()
}

// own starts a sandbox for one test.
func own(t *testing.T, cfg stack.Config) *box {
	t.Helper()
	b, err := newBox(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
