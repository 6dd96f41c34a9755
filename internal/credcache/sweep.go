package credcache

import (
	"cmp"
	"encoding/hex"
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
	// maxEntries is how many entries are kept; the first to expire go first.
	maxEntries = 256
	// maxOthers is how many locks, and how many failures, are kept.
	maxOthers = 2 * maxEntries
	// grace is for a file that was just written and whose time is not set yet.
	grace = time.Minute
	// leftoverAge is when the maker of a temporary file is dead, and when nobody waits
	// for a failure any more.
	leftoverAge = 10 * time.Minute
	// lockAge is the age at which a lock file that nobody holds is removed.
	lockAge = time.Hour
)

// sweep removes what has expired, what killed processes and earlier versions left,
// and keeps the number of files of each kind bounded. It spares the entry just
// written. What it cannot remove stays for the next time.
func (s *Store) sweep(just string) {
	names, err := s.names()
	if err != nil {
		s.failed("not swept", s.dir, err)
		return
	}
	var entries, locks, failures, temps []sweepable
	now := s.now()
	for _, name := range names {
		if name == just || !ours(name) {
			continue
		}
		info, err := os.Lstat(s.path(name))
		if err != nil || info.IsDir() {
			continue
		}
		// The time of an entry is when it expires, by our clock; the time of others is
		// when they were written, by the system's.
		left, age := info.ModTime().Sub(now), time.Since(info.ModTime()).Abs()
		file := sweepable{name, info.ModTime()}
		_, isEntry := parseEntryName(name)
		switch {
		case isObsolete(name),
			isEntry && age >= grace && (left <= 0 || left > credentialsLife),
			(isFailure(name) || isTempName(name)) && age > leftoverAge:
			_ = os.Remove(s.path(name))
		case isLock(name) && age > lockAge:
			_ = removeLock(s.path(name))
		case isEntry:
			entries = append(entries, file)
		case isLock(name):
			locks = append(locks, file)
		case isFailure(name):
			failures = append(failures, file)
		default:
			temps = append(temps, file)
		}
	}
	most := maxEntries
	if just != "" {
		most--
	}
	for _, f := range slices.Concat(beyond(entries, most), beyond(failures, maxOthers), beyond(temps, maxOthers)) {
		_ = os.Remove(s.path(f.name))
	}
	for _, l := range beyond(locks, maxOthers) {
		_ = removeLock(s.path(l.name))
	}
}

// sweepable is a file, and when it expires or was written.
type sweepable struct {
	name string
	at   time.Time
}

// beyond returns those that are too many, the oldest first.
func beyond(files []sweepable, most int) []sweepable {
	slices.SortFunc(files, func(a, b sweepable) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.name, b.name))
	})
	return files[:max(0, len(files)-most)]
}

// Clear removes all entries, whoever they are for, and with them all else of
// ours in the directory that no process is using; under [Keyring] the key too. It
// returns how many entries it removed. Files of other names, directories, and what
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
		_, isEntry := parseEntryName(name)
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

// ours reports whether a file of this name is one that this package, or an earlier
// version of it, writes.
func ours(name string) bool {
	_, isEntry := parseEntryName(name)
	return isEntry || isFailure(name) || isLock(name) || isObsolete(name) || isTempName(name)
}

// isObsolete knows the files of earlier versions: tokens, and markers of who was
// given one.
func isObsolete(name string) bool {
	if _, ok := parseName(name, "token-", jsonSuffix); ok {
		return true
	}
	id, ok := strings.CutPrefix(name, "asked-")
	raw, err := hex.DecodeString(id)
	return ok && err == nil && len(raw) == 16 && hex.EncodeToString(raw) == id
}

func isTempName(name string) bool {
	base, ok := safefile.IsTemp(name)
	if !ok {
		return false
	}
	_, isEntry := parseEntryName(base)
	return isEntry || isFailure(base) || isObsolete(base)
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
