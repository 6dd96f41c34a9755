package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// missingError says that a toolchain is not on this machine.
type missingError struct{ Tool string }

func (e *missingError) Error() string { return "no " + e.Tool + " on this machine" }

// installer puts clients into a directory of the user, once for each state of what
// says how.
type installer struct {
	source, cache string
	progress      io.Writer
}

func newInstaller(o options, progress io.Writer) (*installer, error) {
	cache := o.cache
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("finding a directory to install in: %w", err)
		}
		cache = filepath.Join(dir, "ekskey-interop")
	}
	var err error
	if cache, err = filepath.Abs(cache); err == nil {
		o.source, err = filepath.Abs(o.source)
	}
	if err != nil {
		return nil, fmt.Errorf("finding a directory to install in: %w", err)
	}
	return &installer{source: o.source, cache: cache, progress: progress}, nil
}

// tool finds a program that runs with these arguments.
func (in *installer) tool(name string, probe ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		err = exec.Command(path, probe...).Run() // #nosec G204 -- a toolchain
	}
	if err != nil {
		return "", &missingError{Tool: name}
	}
	return path, nil
}

func (in *installer) run(ctx context.Context, dir, path string, args ...string) error {
	fmt.Fprintf(in.progress, "interop: %s %s\n", filepath.Base(path), strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, path, args...) // #nosec G204 -- a toolchain
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the sandbox compiles
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), err, text[max(0, len(text)-2000):])
	}
	return nil
}

// once copies these files of a client's directory to a directory that is named by
// their contents, and has it filled unless that was done before.
func (in *installer) once(name string, files []string, fill func(dir string) error) (string, error) {
	sum := sha256.New()
	contents := map[string][]byte{}
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join(in.source, name, file)) // #nosec G304 -- ours
		if err != nil {
			return "", fmt.Errorf("reading what to install: %w", err)
		}
		contents[file] = b
		fmt.Fprintf(sum, "%s %d\n%s", file, len(b), b)
	}
	dir := filepath.Join(in.cache, name+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("preparing the install directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a directory to install in: %w", err)
	}
	for file, b := range contents {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			return "", fmt.Errorf("copying what to install: %w", err)
		}
	}
	if err := fill(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o600)
}

// goBuild compiles a command of a module beside this one. Go's own cache makes
// it quick the second time.
func (in *installer) goBuild(ctx context.Context, module, pkg, name string) (string, error) {
	gocmd, err := in.tool("go", "version")
	if err != nil {
		return "", err
	}
	out := filepath.Join(in.cache, "bin", name)
	if runtime.GOOS == "windows" {
		out += ".exe"
	}
	return out, in.run(ctx, filepath.Join(in.source, module), gocmd, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, pkg)
}

// venvPython is where a virtual environment has its interpreter.
func venvPython(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "venv", "Scripts", "python.exe")
	}
	return filepath.Join(dir, "venv", "bin", "python")
}

// checkFiles holds the files of a directory to a list as sha256sum writes it: no
// other content, none missing and none more.
func checkFiles(dir, list string) error {
	text, err := os.ReadFile(list) // #nosec G304 -- ours
	if err != nil {
		return fmt.Errorf("reading the hashes: %w", err)
	}
	want := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 2 {
			want[f[1]] = f[0]
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading what was installed: %w", err)
	}
	var wrong []error
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name())) // #nosec G304 -- just installed
		if err != nil {
			return fmt.Errorf("reading what was installed: %w", err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); want[e.Name()] != got {
			wrong = append(wrong, fmt.Errorf("%s has the hash %s, and dependencies.sha256 says %q", e.Name(), got, want[e.Name()]))
		}
		delete(want, e.Name())
	}
	for name := range want {
		wrong = append(wrong, fmt.Errorf("%s is missing", name))
	}
	return errors.Join(wrong...)
}
