package kubeconfig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// locks are those held on files of a list. The zero value holds none.
type locks struct {
	paths []string
	held  []*safefile.Lock
}

func (l *locks) has(paths []string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return !slices.Contains(l.paths, p) })
}

// add locks further files. It gives up what is held and takes all in the order of
// the files that the paths lead to: two processes that did otherwise could each hold
// what the other waits for.
func (l *locks) add(ctx context.Context, paths []string, wait time.Duration) error {
	if l.has(paths) {
		return nil
	}
	if err := l.release(); err != nil {
		return fmt.Errorf("unlocking kubeconfig: %w", err)
	}
	for _, p := range paths {
		if !slices.Contains(l.paths, p) {
			l.paths = append(l.paths, p)
		}
	}
	real := make(map[string]string, len(l.paths))
	for _, p := range l.paths {
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			return fmt.Errorf("writing kubeconfig: %w", err)
		}
		var err error
		if real[p], err = safefile.Resolve(p); err != nil {
			return fmt.Errorf("locking kubeconfig: %w", err)
		}
	}
	slices.SortFunc(l.paths, func(a, b string) int { return cmp.Compare(real[a], real[b]) })
	for _, p := range l.paths {
		lock, err := safefile.Acquire(ctx, safefile.LockConfig{Path: p, Wait: wait})
		if err != nil {
			return fmt.Errorf("locking kubeconfig: %w", err)
		}
		l.held = append(l.held, lock)
	}
	return nil
}

// release gives all locks up, and remembers what they were of.
func (l *locks) release() error {
	var errs []error
	for _, lock := range slices.Backward(l.held) {
		errs = append(errs, lock.Release())
	}
	l.held = nil
	return errors.Join(errs...)
}

// readSet reads all files. One that cannot be read is an error that names it and is
// never skipped.
func readSet(paths []string) (fileSet, error) {
	var set fileSet
	seen := map[string]bool{}
	for _, path := range paths {
		if err := checkPath(path); err != nil {
			return nil, err
		}
		real, err := safefile.Resolve(path)
		if errors.Is(err, fs.ErrNotExist) {
			real, err = filepath.Abs(path) // its folder is missing as well
		}
		if err != nil {
			return nil, fmt.Errorf("reading kubeconfig: %w", err)
		}
		if seen[real] {
			continue
		}
		seen[real] = true
		m := &member{path: path}
		m.file, err = Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			m.missing = true
			m.file, err = Parse(path, nil)
		}
		if err != nil {
			return nil, err
		}
		set = append(set, m)
	}
	return set, nil
}

// checkPath refuses a path that can only be a folder's, before one is made.
func checkPath(path string) error {
	if _, base := filepath.Split(path); base == "" || base == "." || base == ".." {
		return &OptionError{Option: "kubeconfig", Reason: fmt.Sprintf("%q is a folder, not a file", path)}
	}
	return nil
}
