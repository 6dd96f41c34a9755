// Package kubeconfig reads, edits and writes kubeconfig files.
//
// Edits are splices on the bytes: what a change does not name stays identical,
// with its comments, order, quoting, indentation, blank lines and line breaks.
// A file that cannot be read for certain is refused whole, with file, line and
// reason, and a change that cannot be made without touching something else is
// refused too. After each edit the result is parsed again and compared with the
// original before anything is written.
package kubeconfig

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Batch is what one command wants of the kubeconfigs. It is done whole, in memory,
// before a byte is written, and each file is written once at most.
type Batch struct {
	// Changes are made in order, each as if those before it were there already.
	Changes []Change
	// Remove names contexts that are to go, from every file that has one of the
	// name: one in a later file would come to light otherwise. With a context go
	// the cluster and the user that it names, if no other context names them and
	// the user could be written again: it holds no credentials of its own and runs
	// no plugin but those known to make tokens for EKS. A current-context of that
	// name is emptied, unless another file would then make another context current.
	Remove []string
	// Only is asked, where it is not nil, whether a context that is there is really
	// to go, and under the locks again; of each file that has one of the name, since
	// all would go. If it says no to one that another hides, all stay and the report
	// says so. With it a context that is no longer there is no error.
	Only func(MergedContext) bool
	// LockWait is passed to [safefile.LockConfig].
	LockWait time.Duration
}

// Report says what a batch did, or would do.
type Report struct {
	Results []Result  // one for each change, in order
	Removed []Removed // in the order of Batch.Remove, then those kept for a hidden one's sake
}

// Removed is one entry that went, or that was kept although what named it went.
type Removed struct {
	File string
	Kind string // context, cluster, user or current-context
	Name string
	Kept string // why it stays; empty where it is gone
}

// Update makes the changes and removals of a batch in the files of env. Each change
// goes to the first file that holds one of its entries, since one in a later file
// would be hidden by it; else to the first that exists; else to the last. So its
// entries are all in one file. A current-context goes to an earlier file if that
// has one, which would win.
//
// All files that are to be written are locked, in one order for all processes, and
// then everything is read and planned again, until what was locked is all that is
// needed. A missing file is made, with its folder, for its owner alone (0600,
// 0700). What is as wanted already is not written. Nothing here waits for anything
// but the locks.
//
// Errors: those of [Parse], those of [File.Apply] that one change is to blame for in a
// *ChangeError, *MissingError, *safefile.LockedError,
// and what the file system says; the files are then as they were, but for
// *PartialError.
func Update(ctx context.Context, env Env, b Batch) (r Report, err error) {
	paths, err := env.Files()
	if err != nil {
		return Report{}, err
	}
	var held locks
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
	for {
		if err := held.add(ctx, need, b.LockWait); err != nil {
			return Report{}, err
		}
		set, err := readSet(paths)
		if err != nil {
			return Report{}, err
		}
		r, edits, err := set.apply(b)
		if err != nil {
			return Report{}, err
		}
		need = pathsOf(edits)
		if held.has(need) {
			if err := writeAll(edits); err != nil {
				return Report{}, err
			}
			return r, nil
		}
	}
}

// Plan says what [Update] would do now, and to which files, in the order in which
// they would be written. It takes no lock and writes nothing, and its errors are
// those of Update but for the lock's and for writing.
func Plan(env Env, b Batch) (Report, []Edit, error) {
	paths, err := env.Files()
	if err != nil {
		return Report{}, nil, err
	}
	set, err := readSet(paths)
	if err != nil {
		return Report{}, nil, err
	}
	return set.apply(b)
}

func pathsOf(edits []Edit) []string {
	paths := make([]string, len(edits))
	for i, e := range edits {
		paths[i] = e.Path
	}
	return paths
}

// writeAll writes the files, after a look whether all can be.
func writeAll(edits []Edit) error {
	for _, e := range edits {
		if info, err := os.Stat(e.Path); err == nil && info.Mode().Perm()&0o200 == 0 {
			return fmt.Errorf("writing kubeconfig: %w", &safefile.ReadOnlyError{Path: e.Path})
		}
	}
	var written []string
	for _, e := range edits {
		if err := safefile.Write(e.Path, e.after.data); err != nil {
			err = fmt.Errorf("writing kubeconfig: %w", err)
			if len(written) > 0 {
				err = &PartialError{Written: written, Err: err}
			}
			return err
		}
		written = append(written, e.Path)
	}
	return nil
}
