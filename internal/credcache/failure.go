package credcache

import (
	"crypto/rand"
	"encoding/json"
	"path/filepath"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Failure is why the holder of a lock could not get credentials, for those who
// waited for it. It holds no secret.
type Failure struct {
	// Kind is the caller's own word for what kind of failure it is.
	Kind string `json:"kind"`
	// Cause and Hint are what the holder told its user.
	Cause string `json:"cause"`
	Hint  string `json:"hint,omitempty"`
}

const (
	failurePrefix = "failure-"
	maxFailure    = 8 << 10
)

func failureName(k Key) string { return failurePrefix + k.String() + jsonSuffix }

func isFailure(name string) bool {
	_, ok := parseName(name, failurePrefix, jsonSuffix)
	return ok
}

// failureFile is a failure as it is written.
type failureFile struct {
	// ID is random. Who waits compares it with the one that was there before it
	// waited, so that no clock decides whether the failure is newer.
	ID string `json:"id"`
	// Scope is a digest of ID and of the scope that the holder gave to Lock.
	Scope   string  `json:"scope"`
	Failure Failure `json:"failure"`
}

func scopeDigest(id, scope string) string {
	h := NewHash("failure scope")
	h.Add("id", id)
	h.Add("scope", scope)
	return h.Sum().String()
}

// readFailure returns the zero failureFile where there is no readable one.
func (s *Store) readFailure(k Key) failureFile {
	var f failureFile
	data, err := safefile.ReadPrivate(s.path(failureName(k)), maxFailure)
	if err != nil || json.Unmarshal(data, &f) != nil {
		return failureFile{}
	}
	return f
}

// sharedFailure returns the failure that was written since before was read, if the
// holder had the same scope.
func (s *Store) sharedFailure(k Key, before failureFile, scope string) *Failure {
	f := s.readFailure(k)
	if f.ID == "" || f.ID == before.ID || f.Scope != scopeDigest(f.ID, scope) {
		return nil
	}
	s.log.Debug("cache: another process failed to get the credentials", "file", filepath.Base(failureName(k)))
	return &f.Failure
}

// Fail tells those who wait for the lock why its holder failed.
func (l *Lease) Fail(f Failure) {
	if l.lock == nil {
		return // nobody waits for a lock that is not held
	}
	id := rand.Text()
	file := failureFile{ID: id, Scope: scopeDigest(id, l.scope), Failure: f}
	data, err := json.Marshal(file)
	path := l.store.path(failureName(l.key))
	if err == nil {
		err = safefile.WritePrivate(path, data)
	}
	if err != nil {
		l.store.failed("failure is not shared", path, err)
	}
}
