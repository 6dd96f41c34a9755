package credcache

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Get returns the entry of k, if its credentials have two minutes left and it was
// created after since. The zero time accepts all.
func (s *Store) Get(k Key, since time.Time) (Entry, bool) {
	e, err := s.get(k)
	if err == nil && !e.created.After(later(since, s.since)) {
		err = errOlder
	}
	if err != nil {
		s.missed(s.path(entryName(k)), err)
		return Entry{}, false
	}
	return e, true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Store) get(k Key) (Entry, error) {
	if err := s.open(false); err != nil {
		return Entry{}, err
	}
	_, e, err := s.readFile(k)
	return e, err
}

// Due reports whether the credentials should be fetched again, though they are
// valid: they are 15 minutes old and needed no code.
func (s *Store) Due(e Entry) bool {
	now := s.now()
	return !e.NeededCode && now.Sub(e.created) >= refetchAge &&
		// A time further away was written by another clock.
		(!now.Before(e.retryAt) || e.retryAt.Sub(now) > retryWait+clockTolerance)
}

// Put caches e under k, in place of what is there. Credentials that do not expire
// or have no session token are long-lived secrets: they are not cached.
func (s *Store) Put(k Key, e Entry) {
	e.created, e.retryAt = s.now().Round(0), time.Time{}
	s.write(k, e)
	_ = os.Remove(s.path(failureName(k)))
	s.sweep(entryName(k))
}

// Defer has e, which [Store.Due] said to fetch again and which could not be
// fetched, served for another minute before the next attempt.
func (s *Store) Defer(k Key, e Entry) {
	e.retryAt = s.now().Add(retryWait)
	s.write(k, e)
}

func (s *Store) write(k Key, e Entry) {
	err := s.open(true)
	if err == nil {
		err = s.writeFile(k, e)
	}
	if err != nil {
		s.failed("credentials are not cached", s.path(entryName(k)), err)
	}
}

// Drop removes the entry of k: AWS has refused its credentials.
func (s *Store) Drop(k Key) {
	err := s.open(false)
	path := s.path(entryName(k))
	if err == nil {
		err = os.Remove(path)
	}
	switch {
	case err == nil:
		s.log.Debug("cache: entry removed: AWS refused its credentials", "file", path)
	case !errors.Is(err, fs.ErrNotExist):
		s.failed("entry is not removed", path, err)
	}
}

// DropAccessKey removes every entry with this access key id: AWS has refused it.
func (s *Store) DropAccessKey(id string) {
	names, err := s.names()
	if err != nil {
		s.failed("entries cannot be listed", s.dir, err)
		return
	}
	for _, name := range names {
		if k, ok := parseEntryName(name); ok {
			if h, _, _ := s.readFile(k); h.AccessKeyID == id && id != "" {
				s.Drop(k)
			}
		}
	}
}
