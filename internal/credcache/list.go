package credcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Info is an entry as `cache list` shows it. It holds no secret.
type Info struct {
	// Kind is "credentials".
	Kind string
	// Key is the entry's key in hexadecimal, as in its file's name.
	Key string
	// File is the entry's path.
	File string
	// State is "valid", "expired", or "ignored: " and why. Where the file could
	// not be read, or not as an entry, all that follows is zero.
	State       string
	AccessKeyID string
	Created     time.Time
	Expires     time.Time
	// Sealed says that the secret is sealed with a key from the keyring.
	Sealed bool
	// Region is the region of the profile; empty if it names none.
	Region string
	About  About
}

// The states of an [Info].
const (
	StateValid   = "valid"
	StateExpired = "expired"
)

// List describes each entry in the directory, also of those that would not be
// served, by expiry. A missing directory is an empty one; so is
// any under [None]. A directory that may not be used is an error.
func (s *Store) List() ([]Info, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range names {
		key, ok := parseEntryName(name)
		if !ok {
			continue
		}
		h, _, err := s.readFile(key)
		info := Info{
			Kind: "credentials", Key: key.String(), File: s.path(name), State: StateValid,
			AccessKeyID: h.AccessKeyID, Created: h.Created, Expires: h.Expires, Sealed: h.Sealed, About: h.About, Region: h.Settings.Region,
		}
		switch {
		case errors.Is(err, errExpired):
			info.State = StateExpired
		case errors.Is(err, fs.ErrNotExist):
			continue // it has just been removed
		case err != nil:
			info.State = "ignored: " + err.Error()
		}
		list = append(list, info)
	}
	slices.SortStableFunc(list, func(a, b Info) int {
		return a.Expires.Compare(b.Expires)
	})
	return list, nil
}

// names are all names in the directory.
func (s *Store) names() ([]string, error) {
	err := s.open(false)
	if errors.Is(err, errNone) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("reading the cache: %w", err)
	}
	return names, nil
}
