package safefile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ChangedError reports that a file is not the one that was read any more, or has other
// content.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string { return e.Path + " was changed by another program meanwhile" }

// PinnedError reports that a file cannot be replaced by another, but may be written in
// place: it is a mount point of its own, as a single file that is mounted into a
// container, or nothing can be created in its directory.
type PinnedError struct {
	Path string
	Err  error
}

func (e *PinnedError) Error() string {
	if isMountPoint(e.Err) {
		return e.Path + " is mounted as a single file, so it cannot be replaced by another file"
	}
	return e.Path + " cannot be replaced by another file: " + reason(e.Err)
}

// Unwrap returns the file system's error.
func (e *PinnedError) Unwrap() error { return e.Err }

// Original is a file as it was read, which [Original.Replace] writes and no other. Its
// path is resolved once: it stands for a name in a directory that is held open. It is
// for one goroutine.
type Original struct {
	dir    *os.Root // nil if the directory does not exist
	base   string
	target string
	info   fs.FileInfo // nil if the file does not exist
	data   []byte
}

// OpenOriginal reads a file of at most limit bytes. Symbolic links are followed. A
// missing file, or directory, is no error.
//
// Errors: *NotRegularError, *TooLargeError, or a file system error.
func OpenOriginal(path string, limit int64) (*Original, error) {
	target, err := Resolve(path)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = filepath.Abs(path)
		return &Original{target: target, base: filepath.Base(target)}, err
	}
	if err != nil {
		return nil, err
	}
	o := &Original{target: target, base: filepath.Base(target)}
	if o.dir, err = os.OpenRoot(filepath.Dir(target)); err != nil {
		return nil, err
	}
	if err := o.read(limit); err != nil {
		return nil, errors.Join(err, o.dir.Close())
	}
	return o, nil
}

// read reads what the name is now.
func (o *Original) read(limit int64) error {
	info, err := o.dir.Lstat(o.base)
	if errors.Is(err, fs.ErrNotExist) {
		o.info, o.data = nil, nil
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &NotRegularError{Path: o.target, Mode: info.Mode()}
	}
	f, err := o.dir.OpenFile(o.base, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := readOpen(f, o.target, limit, func(open fs.FileInfo) error {
		if !os.SameFile(open, info) {
			return &ChangedError{Path: o.target}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// As it is behind the last byte that was read.
	if o.info, err = f.Stat(); err != nil {
		return err
	}
	o.data = data
	return nil
}

// Close lets the directory go. A second call is an error and does no harm.
func (o *Original) Close() error {
	if o.dir == nil {
		return nil
	}
	return o.dir.Close()
}

// Missing reports whether there was no file.
func (o *Original) Missing() bool { return o.info == nil }

// Data is what was read, nil if there was no file.
func (o *Original) Data() []byte { return o.data }

// Target is the absolute path of the file, all links followed.
func (o *Original) Target() string { return o.target }

// Names is how many names (hard links) the file has; all but one keep the old
// content when it is replaced. It is 0 where the system does not tell.
func (o *Original) Names() int {
	if o.info == nil {
		return 0
	}
	return linkCount(o.info)
}

// unchanged reads the file again, and fails with *ChangedError if it is not as it
// was.
func (o *Original) unchanged() error {
	now := &Original{dir: o.dir, base: o.base, target: o.target}
	err := now.read(int64(len(o.data)))
	var large *TooLargeError
	switch {
	case errors.As(err, &large):
		return &ChangedError{Path: o.target}
	case err != nil:
		return err
	case o.info == nil && now.info == nil:
		return nil
	case o.info == nil || now.info == nil || !os.SameFile(o.info, now.info) || !bytes.Equal(o.data, now.data):
		return &ChangedError{Path: o.target}
	}
	return nil
}

// guarded is a directory in which a name is replaced only if the file is as it was
// a moment before.
type guarded struct {
	*os.Root
	original *Original
}

func (g guarded) Rename(from, to string) error {
	if err := g.original.unchanged(); err != nil {
		return err
	}
	if g.original.info == nil {
		// A name that is taken by now makes it fail.
		err := g.Link(from, to)
		if err == nil {
			return g.Remove(from)
		}
		if errors.Is(err, fs.ErrExist) {
			return &ChangedError{Path: g.original.target}
		}
	}
	return g.Root.Rename(from, to)
}

// Replace puts data in the place of the file, or creates it with mode 0600. Owner,
// group and permission bits are kept as by [Write]. Just before the file is replaced it
// is read again, and if it is another one, or has other content, nothing is written:
// *ChangedError. If the file is there and cannot be replaced at all, that is a
// *PinnedError.
//
// With inPlace the file itself is overwritten. A reader may see half of it, and if the
// process is killed, half of it is left.
func (o *Original) Replace(data []byte, inPlace bool) error {
	if o.dir == nil {
		return &fs.PathError{Op: "open", Path: filepath.Dir(o.target), Err: fs.ErrNotExist}
	}
	mode := fs.FileMode(0o600)
	if o.info != nil {
		mode = o.info.Mode().Perm()
		if mode&0o200 == 0 {
			return &ReadOnlyError{Path: o.target}
		}
		if inPlace {
			return o.overwrite(data)
		}
	}
	err := replaceFile(guarded{o.dir, o}, o.base, data, true, func(f *os.File) error {
		if o.info != nil {
			if err := keepOwner(f, o.info); err != nil {
				return err
			}
		}
		return setMode(f, mode) // after keepOwner: a change of owner may clear bits
	})
	if o.info != nil && isPinned(err) {
		return &PinnedError{Path: o.target, Err: err}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.target))
}

func (o *Original) overwrite(data []byte) error {
	if err := o.unchanged(); err != nil {
		return err
	}
	f, err := o.dir.OpenFile(o.base, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(info, o.info) {
		err = &ChangedError{Path: o.target}
	}
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

const (
	// restTime is for how long a file must not have changed to be believed whole.
	restTime = 250 * time.Millisecond
	// shortRest is for how long a file that looks cut off must not have changed: it
	// is empty, or shorter than it has been, or its last line has no end.
	shortRest = 2 * time.Second
	// coarse is added where a file's times are whole seconds (FAT: two).
	coarse  = 2 * time.Second
	restTry = 20 * time.Millisecond
)

// UnsettledError reports that a file kept changing while it was watched.
type UnsettledError struct{ Path string }

func (e *UnsettledError) Error() string {
	return e.Path + " keeps being written by another program"
}

// Watcher reads files that other programs write in place and without a lock, as the AWS
// CLI does. It believes a file that has come to rest: one that has not changed for 250 ms,
// and for 2 s if it looks cut off. The zero value is ready to use; it is for one
// goroutine.
type Watcher struct {
	// Clock is the time by the clock of the file system, which may be another
	// computer's. Nil is time.Now.
	Clock func() time.Time
	// Limit is how many bytes a file may have.
	Limit int64
	// Patience is how long to wait for a file to come to rest. What is there after
	// that is an *UnsettledError, or returned as it is if Hasty.
	Patience time.Duration
	Hasty    bool
	// Valid reports whether a text is one that its writers write, and not the beginning
	// of one. Nil takes any for it.
	Valid func([]byte) bool

	largest map[string]int64 // by target
}

// Open is [OpenOriginal] as soon as the file is at rest. A file that has not changed for
// long is returned at once.
func (w *Watcher) Open(ctx context.Context, path string) (*Original, error) {
	if w.largest == nil {
		w.largest = map[string]int64{}
	}
	var last fs.FileInfo
	var since time.Time // last was first seen
	start := time.Now()
	for {
		timedOut := time.Since(start) >= w.Patience
		o, err := OpenOriginal(path, w.Limit)
		var changed *ChangedError
		switch {
		case err != nil && (timedOut || !errors.As(err, &changed)):
			return nil, err
		case err == nil && o.Missing():
			return o, nil
		case err == nil:
			if last == nil || !sameState(last, o.info) {
				last, since = o.info, time.Now()
			}
			if w.rested(o, time.Since(since)) || timedOut && w.Hasty {
				w.largest[o.target] = o.info.Size()
				return o, nil
			}
			w.largest[o.target] = max(w.largest[o.target], o.info.Size())
			if err := o.Close(); err != nil {
				return nil, err
			}
			if timedOut {
				return nil, &UnsettledError{Path: path}
			}
		}
		timer := time.NewTimer(restTry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changed(a).Equal(changed(b))
}

// rested reports whether nobody seems to be writing a file that has not changed for as
// long as it was watched, and by its own time for longer perhaps.
func (w *Watcher) rested(o *Original, watched time.Duration) bool {
	written := o.info.ModTime()
	renamed := changed(o.info).After(written)
	// A system sets size and times one after the other, so a file that is being truncated
	// or written shows for a moment a new size with old times, or one time before the
	// other. Only a second look tells that from a file at rest.
	if o.info.Size() != int64(len(o.data)) || (renamed || len(o.data) == 0) && watched < restTry {
		return false
	}
	// To write a file sets both times alike. A later change of the rest, its name among
	// it, says that it was written elsewhere and then put here whole.
	if renamed {
		return true
	}
	now := time.Now
	if w.Clock != nil {
		now = w.Clock
	}
	age := now().Sub(written)
	if written.Nanosecond() == 0 {
		age -= coarse
	}
	age = max(age, watched)
	return age >= shortRest || age >= restTime && w.whole(o)
}

// whole reports whether nothing looks cut off.
func (w *Watcher) whole(o *Original) bool {
	return bytes.HasSuffix(o.data, []byte("\n")) && o.info.Size() >= w.largest[o.target] &&
		(w.Valid == nil || w.Valid(o.data))
}
