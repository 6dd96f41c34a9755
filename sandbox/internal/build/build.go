// Package build compiles the sandbox's programs: the control plane from its Go modules,
// once, into a cache outside of the state directory, and this repository's own
// programs, each time.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// Environment variables for the directories of programs.
const (
	// EnvCache is the directory for compiled programs.
	EnvCache = "EKSKEY_SANDBOX_CACHE"
	// EnvAssets is a directory with kube-apiserver, etcd and kubectl, as in
	// controller-runtime's envtest. Then nothing is compiled.
	EnvAssets = "KUBEBUILDER_ASSETS"
)

// Builder finds or compiles programs. Self and Progress are required, and Source unless
// KUBEBUILDER_ASSETS has all requested programs.
type Builder struct {
	// Self is a binary that supports [process.GuardCommand].
	Self string
	// Source is the directory of the sandbox's go.mod, as found by [FindSource].
	Source string
	// Cache is the directory of compiled programs; empty means [DefaultCache].
	Cache    string
	Progress *Progress
}

// DefaultCache is the environment's directory, else one in the user's cache.
func DefaultCache() (string, error) {
	if dir := os.Getenv(EnvCache); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a directory for compiled programs: %w", err)
	}
	return filepath.Join(dir, "ekskey-sandbox"), nil
}

// Programs are the paths of a control plane's programs.
type Programs struct {
	APIServer, Etcd string
	// Aggregation is the controller of aggregated ClusterRoles.
	Aggregation string
}

// ControlPlane returns the programs of a control plane. The controller is compiled even
// with KUBEBUILDER_ASSETS, which has none.
func (b *Builder) ControlPlane(ctx context.Context) (Programs, error) {
	if assets := os.Getenv(EnvAssets); assets != "" {
		paths, err := fromAssets(assets, []string{"kube-apiserver", "etcd"})
		if err != nil {
			return Programs{}, err
		}
		controller, err := b.compiled(ctx, "clusterrole-aggregation")
		if err != nil {
			return Programs{}, err
		}
		return Programs{APIServer: paths[0], Etcd: paths[1], Aggregation: controller[0]}, nil
	}
	paths, err := b.compiled(ctx, "kube-apiserver", "etcd", "clusterrole-aggregation")
	if err != nil {
		return Programs{}, err
	}
	return Programs{APIServer: paths[0], Etcd: paths[1], Aggregation: paths[2]}, nil
}

// Kubectl returns the path of kubectl: KUBEBUILDER_ASSETS's, else the one on PATH if it
// runs, else a compiled one.
func (b *Builder) Kubectl(ctx context.Context) (string, error) {
	if os.Getenv(EnvAssets) == "" {
		if path, err := exec.LookPath("kubectl"); err == nil && runs(ctx, path, "version", "--client") {
			return filepath.Abs(path)
		}
	}
	if assets := os.Getenv(EnvAssets); assets != "" {
		paths, err := fromAssets(assets, []string{"kubectl"})
		if err != nil {
			return "", err
		}
		return paths[0], nil
	}
	paths, err := b.compiled(ctx, "kubectl")
	if err != nil {
		return "", err
	}
	return paths[0], nil
}

// Own compiles ekskey and ekskey-server from the repository around the sandbox into a
// directory, if their source has changed.
func (b *Builder) Own(ctx context.Context, dir string) (ekskey, server string, err error) {
	if b.Source == "" {
		return "", "", errNoSource
	}
	root := filepath.Dir(b.Source)
	// The go command sees by itself whether what lies there is up to date. It is
	// copied from there, so that what runs is never written to.
	kept, err := b.cacheDir("own", []byte(root))
	if err != nil {
		return "", "", err
	}
	unlock, err := b.lock(ctx, kept)
	if err != nil {
		return "", "", err
	}
	defer unlock()
	names := []string{"ekskey", "ekskey-server"}
	if err := b.compile(ctx, root, kept, "", names); err != nil {
		return "", "", err
	}
	paths, _ := locate(dir, names)
	for i, path := range paths {
		if err := copyProgram(filepath.Join(kept, exe(names[i])), path); err != nil {
			return "", "", err
		}
	}
	return paths[0], paths[1], nil
}

// compiled returns programs of the control plane's module from the cache, and compiles
// those that are missing. Two processes at once compile once.
func (b *Builder) compiled(ctx context.Context, names ...string) ([]string, error) {
	if b.Source == "" {
		return nil, errNoSource
	}
	source := filepath.Join(b.Source, "controlplane")
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("reading the control plane's source: %w", err)
	}
	goVersion, err := b.output(ctx, source, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	dir, err := b.cacheDir("control-plane", sum, []byte(goVersion), []byte(os.Getenv("GOFLAGS")))
	if err != nil {
		return nil, err
	}
	paths, missing := locate(dir, names)
	if len(missing) == 0 {
		return paths, nil
	}
	unlock, err := b.lock(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, missing = locate(dir, names); len(missing) == 0 {
		return paths, nil // by whoever held the lock
	}
	version, err := kubernetesVersion(source)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(dir, ".building-*")
	if err != nil {
		return nil, fmt.Errorf("making a directory to compile into: %w", err)
	}
	defer os.RemoveAll(temp)
	b.Progress.Line("compiling " + strings.Join(missing, " and ") + " of Kubernetes " + version +
		" into " + dir + "; this happens once and takes some minutes")
	if err := b.compile(ctx, source, temp, versionFlags(version), missing); err != nil {
		return nil, err
	}
	for _, name := range missing {
		if err := os.Rename(filepath.Join(temp, exe(name)), filepath.Join(dir, exe(name))); err != nil {
			return nil, fmt.Errorf("putting %s in place: %w", name, err)
		}
	}
	return paths, nil
}

// cacheDir creates the directory for these inputs on this system.
func (b *Builder) cacheDir(kind string, inputs ...[]byte) (string, error) {
	root := b.Cache
	if root == "" {
		var err error
		if root, err = DefaultCache(); err != nil {
			return "", err
		}
	}
	h := sha256.New()
	for _, input := range append(inputs, []byte(runtime.GOOS+"/"+runtime.GOARCH)) {
		fmt.Fprintf(h, "%d:%s", len(input), input)
	}
	dir := filepath.Join(root, kind+"-"+hex.EncodeToString(h.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the directory for compiled programs: %w", err)
	}
	// Its programs are executed: nobody else may write them.
	if err := state.CheckPrivate(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// lock keeps other processes from compiling into a directory.
func (b *Builder) lock(ctx context.Context, dir string) (unlock func(), err error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	} else if !ok {
		b.Progress.Line("waiting for another process that is compiling the same")
		if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", dir, err)
		}
	}
	return func() { _ = lock.Unlock() }, nil
}

// compile compiles ./cmd/NAME of the module in source into dir.
func (b *Builder) compile(ctx context.Context, source, dir, ldflags string, names []string) error {
	what := strings.Join(names, " and ")
	task := b.Progress.Begin("compiling " + what)
	args := []string{
		"build", "-v", "-trimpath", "-buildvcs=false",
		"-ldflags", strings.TrimSpace("-s -w " + ldflags), "-o", dir + string(filepath.Separator),
	}
	for _, n := range names {
		args = append(args, "./cmd/"+n)
	}
	fetched, compiled := 0, 0
	err := b.run(ctx, source, func(line string) {
		if module, ok := strings.CutPrefix(line, "go: downloading "); ok {
			fetched++
			task.Say(fmt.Sprintf("%d modules fetched, now %s", fetched, module))
			return
		}
		compiled++
		task.Say(fmt.Sprintf("%d packages compiled, now %s", compiled, line))
	}, args...)
	task.End(err)
	if err != nil {
		return fmt.Errorf("compiling %s: %w", what, err)
	}
	return nil
}
