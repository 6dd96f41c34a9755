package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	// settleTime is how long to wait for a file that is to be written to come to rest,
	// and hasteTime for one that is only read.
	settleTime = 10 * time.Second
	hasteTime  = time.Second
	// maxTries is how often all is planned again because a file was changed meanwhile.
	maxTries = 20
)

// rewrite is how every command changes kubeconfigs: it locks the files that are to be
// written, in one order for all processes, reads all files, plans, and writes, if
// they still are what was read. Otherwise it reads and plans again, until what was
// locked is all that is needed. A missing file is created, with its directory, for its
// owner alone (0600, 0700). What is as wanted already is not written.
//
// Errors: those of [Parse], [File.Writable] and of plan, *safefile.LockedError,
// *safefile.ChangedError, *safefile.UnsettledError, *safefile.PinnedError,
// *safefile.ReadOnlyError, and what the file system says. The files are then as they
// were, but for *PartialError.
func rewrite[T any](ctx context.Context, env Env, plan func(fileSet) (T, []Edit, error)) (result T, err error) {
	var none T
	paths, err := env.Files()
	if err != nil {
		return none, err
	}
	held := locks{wait: env.LockWait, optional: env.InPlace}
	defer func() {
		if rerr := held.release(); rerr != nil && err == nil {
			err = fmt.Errorf("unlocking kubeconfig: %w", rerr)
		}
	}()
	var need []string
	if len(paths) == 1 {
		if _, err := os.Lstat(paths[0]); err == nil {
			need = paths // saves reading it twice
		}
	}
	watcher := safefile.Watcher{Limit: MaxSize, Patience: settleTime, Valid: isKubeconfig}
	var written []string
	for tries := 1; ; tries++ {
		if err := held.add(ctx, need); err != nil {
			return none, err
		}
		watcher.Clock = held.clock()
		set, err := readSet(ctx, env, &watcher, paths)
		if err != nil {
			return none, err
		}
		result, edits, err := plan(set)
		if err == nil {
			if need = pathsOf(edits); held.has(need) {
				err = writeAll(edits, env.InPlace, &written)
				if err == nil {
					warnOfNames(env, edits)
					return result, set.close()
				}
			}
		}
		err = closed(set, err)
		var changed *safefile.ChangedError
		if err != nil && !(errors.As(err, &changed) && tries < maxTries) {
			return none, err
		}
	}
}

// preview says what rewrite would do now. It takes no lock and writes nothing.
func preview[T any](ctx context.Context, env Env, plan func(fileSet) (T, []Edit, error)) (result T, edits []Edit, err error) {
	paths, err := env.Files()
	if err != nil {
		return result, nil, err
	}
	set, err := readSet(ctx, env, hasty(), paths)
	if err != nil {
		return result, nil, err
	}
	result, edits, err = plan(set)
	warnOfNames(env, edits)
	return result, edits, closed(set, err)
}

// hasty is for who only reads.
func hasty() *safefile.Watcher {
	return &safefile.Watcher{Limit: MaxSize, Patience: hasteTime, Hasty: true, Valid: isKubeconfig}
}

func isKubeconfig(text []byte) bool {
	_, err := Parse("", text)
	return err == nil
}

// warnOfNames tells of hard links that are parted.
func warnOfNames(env Env, edits []Edit) {
	for _, e := range edits {
		if n := e.original.Names(); n > 1 && !env.InPlace {
			env.warn("%s has %d names (hard links), and the others keep the old content; --in-place writes the file itself", e.Path, n)
		}
	}
}

func pathsOf(edits []Edit) []string {
	paths := make([]string, len(edits))
	for i, e := range edits {
		paths[i] = e.Path
	}
	return paths
}

// writeAll writes the files, after a look whether all can be.
func writeAll(edits []Edit, inPlace bool, written *[]string) error {
	for _, e := range edits {
		if info, err := os.Stat(e.Path); err == nil && info.Mode().Perm()&0o200 == 0 {
			return fmt.Errorf("writing kubeconfig: %w", &safefile.ReadOnlyError{Path: e.Path})
		}
	}
	for _, e := range edits {
		if err := e.original.Replace(e.after.doc.Bytes(), inPlace); err != nil {
			err = fmt.Errorf("writing kubeconfig: %w", err)
			if len(*written) > 0 {
				err = &PartialError{Written: *written, Err: err}
			}
			return err
		}
		*written = append(*written, e.Path)
	}
	return nil
}

// readSet reads all files. One that cannot be read is an error that names it and is
// never skipped.
func readSet(ctx context.Context, env Env, watcher *safefile.Watcher, paths []string) (set fileSet, err error) {
	defer func() {
		if err != nil {
			err = closed(set, err)
		}
	}()
	names := map[string]bool{}
	for _, path := range paths {
		if err := checkPath(path); err != nil {
			return set, err
		}
		original, err := watcher.Open(ctx, path)
		if err != nil {
			return set, fmt.Errorf("reading kubeconfig: %w", err)
		}
		if names[original.Target()] {
			if err := original.Close(); err != nil {
				return set, err
			}
			continue
		}
		names[original.Target()] = true
		m := &member{path: path, missing: original.Missing(), original: original}
		set = append(set, m)
		if m.file, err = Parse(path, original.Data()); err != nil {
			return set, err
		}
		for _, w := range m.file.warnings {
			env.warn("%s", w)
		}
	}
	return set, nil
}

// closed closes a set after an error, if there was one, which goes before others.
func closed(s fileSet, err error) error {
	if cerr := s.close(); err == nil {
		err = cerr
	}
	return err
}

func (s fileSet) close() error {
	var errs []error
	for _, m := range s {
		errs = append(errs, m.original.Close())
	}
	return errors.Join(errs...)
}

// checkPath refuses a path that can only be a directory's, before one is made.
func checkPath(path string) error {
	if _, base := filepath.Split(path); base == "" || base == "." || base == ".." {
		return &OptionError{Option: "kubeconfig", Reason: fmt.Sprintf("%q is a directory, not a file", path)}
	}
	return nil
}
