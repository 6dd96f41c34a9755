package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Presence is a private file held open, with a lock of the operating system that
// several processes have together: who attends to the same file can tell whether
// others do. It ends with the process, however that ends. It is for one
// goroutine.
type Presence struct {
	path string
	file *os.File
	mute bool // the file system has no locks
}

// settleWait is how long Attend waits for somebody who is alone to settle, which
// takes no time unless they are stopped.
const settleWait = time.Second

// Attend opens the file at path, which is made, with mode 0600, where there is
// none. It reports whether nobody else attends to it; then all others wait in
// Attend until Settle is called.
//
// Where the file system has no locks, everybody is alone.
//
// Errors: *HeldError, *NotPrivateError, *NotRegularError, or what the file system
// says.
func Attend(path string) (p *Presence, alone bool, err error) {
	// It may be removed between two steps, but not each time.
	for range 8 {
		f, err := openLock(path)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = createLock(path)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		alone, err := attend(f, path)
		mute := errors.Is(err, errors.ErrUnsupported)
		if (err == nil || mute) && isAt(f, path) {
			return &Presence{path: path, file: f, mute: mute}, alone || mute, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, false, err
		}
	}
	return nil, false, &HeldError{Path: path}
}

func attend(f *os.File, path string) (alone bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if err := checkPrivate(path, info); err != nil {
		return false, err
	}
	alone, err = tryLock(f)
	if err == nil && !alone {
		err = share(f, path)
	}
	return alone, err
}

func share(f *os.File, path string) error {
	for deadline := time.Now().Add(settleWait); ; time.Sleep(pollMin) {
		held, err := tryShare(f)
		if held || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return &HeldError{Path: path}
		}
	}
}

// Settle lets others attend as well. It is called once what there is to do alone
// is done, and does nothing for who was not alone.
func (p *Presence) Settle() error {
	if p.mute {
		return nil
	}
	return share(p.file, p.path)
}

// Write makes text the file's content. Where the file is gone, another takes its
// place.
func (p *Presence) Write(text []byte) error {
	if !isAt(p.file, p.path) {
		return WritePrivate(p.path, text)
	}
	_, err := p.file.WriteAt(text, 0)
	if err == nil {
		err = p.file.Truncate(int64(len(text)))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	return nil
}

// Read gives the first bytes of the file, at most limit of them.
func (p *Presence) Read(limit int) ([]byte, error) {
	text := make([]byte, limit)
	n, err := p.file.ReadAt(text, 0)
	if n < limit && errors.Is(err, io.EOF) {
		err = nil
	}
	return text[:n], err
}

// Made is the time of the file.
func (p *Presence) Made() (time.Time, error) {
	info, err := p.file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// End stops attending. A second call is an error and does no harm.
func (p *Presence) End() error { return p.file.Close() }
