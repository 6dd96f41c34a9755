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
	// lockWait is how long one process waits for others that make the same
	// thing: long enough for somebody to type an MFA code.
	lockWait = time.Minute
)

func isLock(name string) bool {
	id, ok := strings.CutSuffix(name, lockSuffix)
	raw, err := hex.DecodeString(id)
	return ok && err == nil && len(raw) == len(Key{}) && hex.EncodeToString(raw) == id
}

// Lock makes processes that want the thing of one key wait for each other, so
// that one makes it and the others find it made: look again after locking. A
// dead process holds nothing. Where there is no lock to be had within a minute,
// or before ctx ends, or at all, the caller goes on without; it is not told,
// for there is nothing else it could do. Unlock must be called; a second call
// does nothing.
func (s *Store) Lock(ctx context.Context, k Key) (unlock func()) {
	return s.lock(ctx, k, lockWait)
}

func (s *Store) lock(ctx context.Context, k Key, wait time.Duration) (unlock func()) {
	path := s.path(k.String() + lockSuffix)
	err := s.open(true)
	var l *safefile.OSLock
	if err == nil {
		l, err = safefile.AcquireOS(ctx, path, wait)
	}
	var held *safefile.HeldError
	switch {
	case errors.As(err, &held):
		s.failed("going on without the lock", path, errors.New("others hold it for too long"))
	case err != nil:
		s.failed("going on without a lock", path, err)
	default:
		return func() { _ = l.Release() }
	}
	return func() {}
}
