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
	"syscall"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// locks are those held on files of a list.
type locks struct {
	wait     time.Duration
	optional bool // where no lock can be made, go on without
	paths    []string
	held     []*safefile.Lock
}

func (l *locks) has(paths []string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return !slices.Contains(l.paths, p) })
}

// add locks further files. It gives up what is held and takes all in the order of
// the files that the paths lead to: two processes that did otherwise could each hold
// what the other waits for.
func (l *locks) add(ctx context.Context, paths []string) error {
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
		lock, err := safefile.Acquire(ctx, safefile.LockConfig{Path: p, Wait: l.wait})
		if l.optional && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
			continue
		}
		if err != nil {
			return fmt.Errorf("locking kubeconfig: %w", err)
		}
		l.held = append(l.held, lock)
	}
	return nil
}

// clock is the file system's, or nil.
func (l *locks) clock() func() time.Time {
	if len(l.held) == 0 {
		return nil
	}
	return l.held[0].Clock()
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
