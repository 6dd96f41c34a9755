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
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Update makes changes to the file at a location, under its lock, and writes it
// only if a byte has changed. A missing file is made, with its folder, for its
// owner alone (0600, 0700). Where current-context belongs into another file,
// that one is written second. Nothing here waits for anything but the lock.
//
// Errors: those of [Parse] and [File.Apply], *safefile.LockedError, and what
// the file system says. After any of them the files are as they were, except
// that an error about current-context in another file comes after the entries
// have been written.
func Update(ctx context.Context, loc Location, changes ...Change) ([]Result, error) {
	return loc.perFile(changes, func(path string, changes []Change) ([]Result, error) {
		return loc.update(ctx, path, changes)
	})
}

// Plan says what [Update] would do now, and to which files. It takes no lock and
// writes nothing, and its errors are those of Update but for the lock's and for
// writing.
func Plan(loc Location, changes ...Change) ([]Result, []Edit, error) {
	var edits []Edit
	results, err := loc.perFile(changes, func(path string, changes []Change) ([]Result, error) {
		e, results, err := loc.edit(path, changes)
		if err == nil && e.changed() {
			edits = append(edits, e)
		}
		return results, err
	})
	if err != nil {
		return nil, nil, err
	}
	return results, edits, nil
}

// perFile makes the changes with do, with current-context in its own file.
func (loc Location) perFile(changes []Change, do func(path string, changes []Change) ([]Result, error)) ([]Result, error) {
	if loc.CurrentPath == "" || loc.CurrentPath == loc.Path {
		return do(loc.Path, changes)
	}
	entries := make([]Change, len(changes))
	var current string
	for i, c := range changes {
		if c.SetCurrent {
			current = c.Context.Name
		}
		c.SetCurrent = false
		entries[i] = c
	}
	results, err := do(loc.Path, entries)
	if err != nil || current == "" {
		return results, err
	}
	only := Change{Context: Context{Name: current}, SetCurrent: true, currentOnly: true}
	more, err := do(loc.CurrentPath, []Change{only})
	if err != nil {
		return nil, fmt.Errorf("setting current-context: %w", err)
	}
	for i, c := range changes {
		if c.SetCurrent && c.Context.Name == current {
			results[i].Current = more[0].Current
		}
	}
	return results, nil
}

// update edits a file under its lock and writes it.
func (loc Location) update(ctx context.Context, path string, changes []Change) (results []Result, err error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("writing kubeconfig: %w", err)
	}
	lock, err := safefile.Acquire(ctx, safefile.LockConfig{Path: path, Wait: loc.LockWait})
	if err != nil {
		return nil, fmt.Errorf("locking kubeconfig: %w", err)
	}
	defer func() {
		if rerr := lock.Release(); rerr != nil && err == nil {
			err = fmt.Errorf("unlocking kubeconfig: %w", rerr)
		}
	}()
	e, results, err := loc.edit(path, changes)
	if err != nil || !e.changed() {
		return results, err
	}
	if err := safefile.Write(path, e.after.data); err != nil {
		return nil, fmt.Errorf("writing kubeconfig: %w", err)
	}
	return results, nil
}

// edit reads a file and makes changes to it in memory.
func (loc Location) edit(path string, changes []Change) (e Edit, results []Result, err error) {
	if err := checkPath(path); err != nil {
		return Edit{}, nil, err
	}
	e.Path = path
	e.after, err = Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		e.Created = true
		e.after, err = Parse(path, nil)
	}
	if err != nil {
		return Edit{}, nil, err
	}
	before := *e.after
	e.before = &before
	if results, e.splices, err = e.after.apply(changes, loc.list); err != nil {
		return Edit{}, nil, err
	}
	for _, c := range changes {
		e.commands = append(e.commands, commandOf(c.User.Exec))
	}
	return e, results, nil
}

// checkPath refuses a path that can only be a folder's, before one is made.
func checkPath(path string) error {
	if _, base := filepath.Split(path); base == "" || base == "." || base == ".." {
		return &OptionError{Option: "kubeconfig", Reason: fmt.Sprintf("%q is a folder, not a file", path)}
	}
	return nil
}
