package credcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	lockSuffix = ".lock"
	// lockWait is how long a process waits for another that fetches the same
	// credentials: longer than somebody takes to type a code.
	lockWait = 2 * time.Minute
	// lockQuiet is how long it waits without a message.
	lockQuiet = time.Second

	pollMin = 2 * time.Millisecond
	pollMax = 40 * time.Millisecond
)

func isLock(name string) bool {
	_, ok := parseName(name, "", lockSuffix)
	return ok
}

// Lease is the lock of a key, or nothing if no lock is available.
type Lease struct {
	store *Store
	key   Key
	scope string
	lock  *safefile.OSLock // nil if not held
}

// Lock makes processes that want the credentials of one key wait for each other, so
// that one fetches them and the others find them cached: call [Store.Get] again
// after it. If the holder failed while this process waited, and called
// [Lease.Fail] with the same scope, its failure is returned, and the caller should
// fail in the same way.
//
// A dead process holds no lock. If a live one does not release it for two minutes,
// because it is stopped or a person is away, one of those who wait goes on in its
// place, and so on. If no lock is available, or ctx ends, the caller goes on
// without one. Release must be called.
func (s *Store) Lock(ctx context.Context, k Key, scope string) (*Lease, *Failure) {
	return s.lock(ctx, k, scope, lockWait)
}

func (s *Store) lock(ctx context.Context, k Key, scope string, wait time.Duration) (*Lease, *Failure) {
	l := &Lease{store: s, key: k, scope: scope}
	if err := s.open(true); err != nil {
		s.failed("no lock", s.dir, err)
		return l, nil
	}
	before := s.readFailure(k)
	path := s.path(k.String() + lockSuffix)
	failure, err := l.acquire(ctx, path, before, wait)
	var held *safefile.HeldError
	if errors.As(err, &held) {
		s.failed("the lock is held for too long", path, err)
		// Otherwise all waiting processes would go on at once.
		h := NewHash("second lock")
		h.Add("first", k.String())
		path = s.path(h.Sum().String() + lockSuffix)
		failure, err = l.acquire(ctx, path, before, wait)
	}
	if err != nil {
		s.failed("going on without a lock", path, err)
	}
	return l, failure
}

// acquire takes the lock, or returns the failure of its holder.
func (l *Lease) acquire(ctx context.Context, path string, before failureFile, wait time.Duration) (*Failure, error) {
	start := time.Now()
	told := false
	for delay := pollMin; ; delay = min(delay*3/2, pollMax) {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", path, err)
		}
		lock, err := safefile.TryOS(path, true)
		// With the lock or without: what failed while we waited failed for us too.
		if failure := l.store.sharedFailure(l.key, before, l.scope); failure != nil {
			if lock != nil {
				_ = lock.Release()
			}
			return failure, nil
		}
		var held *safefile.HeldError
		waited := time.Since(start)
		if !errors.As(err, &held) {
			l.lock = lock
			return nil, err
		}
		if !told && waited >= lockQuiet {
			told = true
			l.store.log.Debug("cache: waiting for another process", "file", path)
			if l.store.waiting != nil {
				l.store.waiting()
			}
		}
		if waited >= wait {
			return nil, err
		}
		pause(ctx, delay)
	}
}

// pause waits for about delay, or until ctx ends.
func pause(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay/2 + rand.N(delay)) // #nosec G404 -- jitter, no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Release releases the lock. A second call does nothing.
func (l *Lease) Release() {
	if l.lock != nil {
		_ = l.lock.Release()
		l.lock = nil
	}
}

// Done is Release for a holder that fetched nothing: it also removes what is too
// old or too much in the directory, as [Store.Put] does.
func (l *Lease) Done() {
	if l.lock != nil {
		l.store.sweep("")
	}
	l.Release()
}
