package credcache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	// maxEntries is how many entries of a kind are kept; the first to expire go
	// first. Tokens expire before credentials do, so neither may crowd out the other.
	maxEntries = 256
	// grace is for a file that was just made and not given its time yet.
	grace = time.Minute
	// tempAge is when a temporary file's maker is dead or will not miss it.
	tempAge = 10 * time.Minute
	// lockAge is when a lock's file is removed if nobody holds it.
	lockAge = time.Hour
)

// sweep removes what has expired and what killed processes left, and keeps the
// number of entries bounded. It spares the entry just written. What it cannot
// remove stays for the next time.
func (s *Store) sweep(just string) {
	names, err := s.names()
	if err != nil {
		s.failed("not swept", s.dir, err)
		return
	}
	entries := map[kind][]kept{}
	var locks []kept
	now := s.now()
	for _, name := range names {
		if name == just {
			continue
		}
		info, err := os.Lstat(s.path(name))
		if err != nil || info.IsDir() {
			continue
		}
		// The time of an entry and of a marker is when it expires, by our clock;
		// the time of others is when they were made, by the system's.
		left, age := info.ModTime().Sub(now), time.Since(info.ModTime()).Abs()
		k, _, isEntry := parseFile(name)
		switch {
		case isEntry && (age < grace || left > 0 && left <= credentialsLife):
			entries[k] = append(entries[k], kept{name, info.ModTime()})
		case isEntry,
			// A marker whose maker was killed has the time when it was made.
			isMarker(name) && age > grace && (left <= -tokenLife || left > credentialsLife),
			isTempName(name) && age > tempAge:
			_ = os.Remove(s.path(name))
		case isLock(name) && age > lockAge:
			_ = removeLock(s.path(name))
		case isLock(name):
			locks = append(locks, kept{name, info.ModTime()})
		}
	}
	written, _, _ := parseFile(just)
	for k, of := range entries {
		most := maxEntries
		if k == written {
			most--
		}
		for _, e := range beyond(of, most) {
			_ = os.Remove(s.path(e.name))
		}
	}
	for _, l := range beyond(locks, 2*maxEntries) {
		_ = removeLock(s.path(l.name))
	}
}

// kept is a file, and when it expires or, of a lock, was made.
type kept struct {
	name string
	at   time.Time
}

// beyond gives those that are too many, the first by time.
func beyond(files []kept, most int) []kept {
	slices.SortFunc(files, func(a, b kept) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.name, b.name))
	})
	return files[:max(0, len(files)-most)]
}

// Clear removes all entries, whoever they are for, and with them all else of
// ours in the folder that no process is using; under [Keyring] the key too. It
// returns how many entries it removed. Files of other names, folders, and what
// links point to are left alone. It tries all before it returns the errors.
func (s *Store) Clear() (int, error) {
	names, err := s.names()
	if err != nil {
		return 0, err
	}
	var errs []error
	n := 0
	for _, name := range names {
		if !ours(name) {
			continue
		}
		path := s.path(name)
		info, err := os.Lstat(path)
		if err != nil || info.IsDir() {
			continue
		}
		if isLock(name) {
			err = removeLock(path)
		} else {
			err = os.Remove(path)
		}
		_, _, isEntry := parseFile(name)
		switch {
		case err == nil && isEntry:
			n++
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	if s.storage == Keyring {
		s.keyMu.Lock()
		defer s.keyMu.Unlock()
		s.key, s.noKey = nil, nil
		if err := s.vault.Remove(); err != nil && !errors.Is(err, ErrNoKey) {
			errs = append(errs, fmt.Errorf("removing the key from the keyring: %w", err))
		}
	}
	return n, errors.Join(errs...)
}

// ours reports whether a file of this name is one that this package makes.
func ours(name string) bool {
	_, _, ok := parseFile(name)
	return ok || isMarker(name) || isLock(name) || isTempName(name)
}

func isTempName(name string) bool {
	base, ok := safefile.IsTemp(name)
	if !ok {
		return false
	}
	_, _, isEntry := parseFile(base)
	return isEntry || isMarker(base)
}

// removeLock removes a lock's file unless a process holds it. Whoever waits for
// it notices and makes another. What is no lock at all is just removed.
func removeLock(path string) error {
	l, err := safefile.TryOS(path, false)
	var held *safefile.HeldError
	if errors.As(err, &held) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return os.Remove(path)
	}
	return errors.Join(l.Remove(), l.Release())
}
