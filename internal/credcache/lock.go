package credcache

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	lockSuffix = ".lock"
	// lockWait is how long one process waits for others that make the same thing:
	// longer than somebody takes to type a code, or a program to print one.
	lockWait = 2 * time.Minute
	// lockQuiet is how long it waits without a word.
	lockQuiet = time.Second
)

func isLock(name string) bool {
	id, ok := strings.CutSuffix(name, lockSuffix)
	raw, err := hex.DecodeString(id)
	return ok && err == nil && len(raw) == len(Key{}) && hex.EncodeToString(raw) == id
}

// Lock makes processes that want the thing of one key wait for each other, so
// that one makes it and the others find it made: look again after locking. A
// dead process holds nothing. Where one that lives does not let go for two minutes,
// because it is stopped or a person is gone, one of those that wait goes on in its
// place, and so on. Where there is no lock to be had, or ctx ends, the caller goes
// on without; it is not told, for there is nothing else it could do. Unlock must be
// called; a second call does nothing.
func (s *Store) Lock(ctx context.Context, k Key) (unlock func()) {
	return s.lock(ctx, k, lockWait)
}

func (s *Store) lock(ctx context.Context, k Key, wait time.Duration) (unlock func()) {
	path := s.path(k.String() + lockSuffix)
	l, err := s.acquire(ctx, path, wait)
	var held *safefile.HeldError
	if errors.As(err, &held) {
		s.failed("others hold the lock for too long", path, err)
		// All who have waited in vain would go on at once.
		h := NewHash("second lock")
		h.Add("first", k.String())
		path = s.path(h.Sum().String() + lockSuffix)
		l, err = s.acquire(ctx, path, wait)
	}
	if err != nil {
		s.failed("going on without a lock", path, err)
		return func() {}
	}
	return func() { _ = l.Release() }
}

// acquire tells that it waits.
func (s *Store) acquire(ctx context.Context, path string, wait time.Duration) (*safefile.OSLock, error) {
	if err := s.open(true); err != nil {
		return nil, err
	}
	l, err := safefile.AcquireOS(ctx, path, min(wait, lockQuiet))
	var held *safefile.HeldError
	if !errors.As(err, &held) || wait <= lockQuiet {
		return l, err
	}
	s.log.Debug("cache: waiting for another process", "file", path)
	if s.waiting != nil {
		s.waiting()
	}
	return safefile.AcquireOS(ctx, path, wait-lockQuiet)
}
