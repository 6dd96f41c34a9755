package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const modulePath = "github.com/ekskey/ekskey/sandbox"

var errNoSource = errors.New("there is no source to compile the sandbox's programs from")

// NoSourceError reports that the sandbox's source was not found.
type NoSourceError struct{ Looked string }

func (e *NoSourceError) Error() string {
	return "no source of the sandbox in " + e.Looked
}

// Hint says what to do about it.
func (e *NoSourceError) Hint() string {
	return "run it in a checkout of ekskey, or name its sandbox directory with --source"
}

// NoGoError reports that there is no go command.
type NoGoError struct{ Cause error }

func (e *NoGoError) Error() string { return "finding the go command: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *NoGoError) Unwrap() error { return e.Cause }

// Hint says what to do about it.
func (e *NoGoError) Hint() string { return "install Go 1.26 or later from https://go.dev/dl" }

// NoAssetError reports a program that is missing in KUBEBUILDER_ASSETS.
type NoAssetError struct{ Path string }

func (e *NoAssetError) Error() string { return EnvAssets + " has no " + e.Path }

// Hint says what to do about it.
func (e *NoAssetError) Hint() string {
	return "put kube-apiserver, etcd and kubectl there, or unset " + EnvAssets + " to have them compiled"
}

// FindSource finds the directory of the sandbox's go.mod: the named one, else in or
// above the working directory, else where this binary was compiled from.
func FindSource(named string) (string, error) {
	if named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", fmt.Errorf("finding the source: %w", err)
		}
		if found := sourceAt(dir); found != "" {
			return found, nil
		}
		return "", &NoSourceError{Looked: dir}
	}
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the source: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if found := sourceAt(dir); found != "" {
			return found, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	// Set unless the binary was built with -trimpath.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		if found := sourceAt(filepath.Join(filepath.Dir(file), "..", "..")); found != "" {
			return found, nil
		}
	}
	return "", &NoSourceError{Looked: start + " or above it"}
}

// sourceAt returns dir, or the sandbox directory in it, if that is the source.
func sourceAt(dir string) string {
	for _, d := range []string{dir, filepath.Join(dir, "sandbox")} {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module "+modulePath+"\n") {
			return d
		}
	}
	return ""
}

func fromAssets(dir string, names []string) ([]string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", EnvAssets, err)
	}
	paths, missing := locate(dir, names)
	if len(missing) > 0 {
		return nil, &NoAssetError{Path: filepath.Join(dir, exe(missing[0]))}
	}
	return paths, nil
}

func locate(dir string, names []string) (paths, missing []string) {
	for _, n := range names {
		path := filepath.Join(dir, exe(n))
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			missing = append(missing, n)
		}
		paths = append(paths, path)
	}
	return paths, missing
}

func exe(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// kubernetesVersion reads the release from go.mod, as "v1.36.3".
func kubernetesVersion(source string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading the control plane's source: %w", err)
	}
	for line := range strings.Lines(string(mod)) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "k8s.io/kubernetes "); ok {
			return version, nil
		}
	}
	return "", fmt.Errorf("reading %s: it requires no k8s.io/kubernetes", filepath.Join(source, "go.mod"))
}

// versionFlags tells the programs which release they are, as Kubernetes' own
// build does; without it they report v0.0.0.
func versionFlags(version string) string {
	const at = " -X k8s.io/component-base/version."
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 {
		return ""
	}
	return at + "gitVersion=" + version + at + "gitMajor=" + parts[0] + at + "gitMinor=" + parts[1] + at + "gitTreeState=clean"
}
