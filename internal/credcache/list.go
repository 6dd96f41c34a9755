package credcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Info is an entry as `cache list` shows it. It holds no secret.
type Info struct {
	// Kind is "token" or "credentials".
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
	About  About
}

// The states of an [Info].
const (
	StateValid   = "valid"
	StateExpired = "expired"
)

// List tells of each entry in the folder, also of those that would not be
// served, by kind and then by expiry. A missing folder is an empty one; so is
// any under [None]. A folder that may not be used is an error.
func (s *Store) List() ([]Info, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range names {
		kind, key, ok := parseFile(name)
		if !ok {
			continue
		}
		h, _, err := s.readFile(kind, key)
		info := Info{
			Kind: string(kind), Key: key.String(), File: s.path(name), State: StateValid,
			AccessKeyID: h.AccessKeyID, Created: h.Created, Expires: h.Expires, Sealed: h.Sealed, About: h.About,
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
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return a.Expires.Compare(b.Expires)
	})
	return list, nil
}

// names are all names in the folder.
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
