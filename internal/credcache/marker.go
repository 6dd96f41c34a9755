package credcache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// A marker is a file that says: this process was given a token for this key,
// which lasts until then. Its text is Unix seconds in a fixed width; clients
// know the expiry no finer.
const (
	markerPrefix = "asked-"
	markerWidth  = 20
)

func markerName(k Key, p Parent) string {
	var b [len(Key{}) + 16]byte
	copy(b[:], k[:])
	binary.BigEndian.PutUint64(b[len(k):], uint64(p.PID)) // #nosec G115 -- a name, not a number
	binary.BigEndian.PutUint64(b[len(k)+8:], p.Start)
	sum := sha256.Sum256(b[:])
	return markerPrefix + hex.EncodeToString(sum[:16])
}

func isMarker(name string) bool {
	id, ok := strings.CutPrefix(name, markerPrefix)
	raw, err := hex.DecodeString(id)
	return ok && err == nil && len(raw) == 16 && hex.EncodeToString(raw) == id
}

func markerText(expiry time.Time) []byte {
	return fmt.Appendf(nil, "%0*d\n", markerWidth-1, expiry.Unix())
}

// claim records that p is given a token, if it has not been given one before
// that is still to expire. Of several processes that claim at once for the same
// p, one succeeds.
func (s *Store) claim(k Key, p Parent, expiry time.Time) error {
	path := s.path(markerName(k, p))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- our own folder
	if errors.Is(err, os.ErrExist) {
		return s.reclaim(path, expiry)
	}
	if err != nil {
		return fmt.Errorf("recording who was given it: %w", err)
	}
	_, err = f.Write(markerText(expiry))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = dateFile(path, expiry)
	}
	if err != nil {
		_ = os.Remove(path) // else it would stand for a token that was not given
		return fmt.Errorf("recording who was given it: %w", err)
	}
	return nil
}

// reclaim takes over a marker that has expired. An OS lock decides between
// those who find it at once.
func (s *Store) reclaim(path string, expiry time.Time) error {
	l, err := safefile.TryOS(path, false)
	var held *safefile.HeldError
	if errors.As(err, &held) {
		return errAskedAgain
	}
	if err != nil {
		return fmt.Errorf("%w; and else: %w", errAskedAgain, err)
	}
	defer func() { _ = l.Release() }()
	info, err := l.File().Stat()
	if err != nil {
		return fmt.Errorf("%w; and else: %w", errAskedAgain, err)
	}
	text, err := io.ReadAll(io.LimitReader(l.File(), markerWidth+1))
	if err != nil || s.alive(text, info.ModTime()) {
		return errAskedAgain
	}
	if err := l.File().Truncate(markerWidth); err != nil {
		return fmt.Errorf("recording who was given it: %w", err)
	}
	_, err = l.File().WriteAt(markerText(expiry), 0)
	if err == nil {
		err = dateFile(path, expiry)
	}
	if err != nil {
		return fmt.Errorf("recording who was given it: %w", err)
	}
	return nil
}

// mark records that p is given a token, whatever was recorded before.
func (s *Store) mark(k Key, p Parent, expiry time.Time) error {
	path := s.path(markerName(k, p))
	err := safefile.WritePrivate(path, markerText(expiry))
	if err == nil {
		err = dateFile(path, expiry)
	}
	if err != nil {
		return fmt.Errorf("recording who was given it: %w", err)
	}
	return nil
}

// wasGiven reports whether p has been given a token that is still to expire. When
// in doubt it has.
func (s *Store) wasGiven(k Key, p Parent) bool {
	if s.open(false) != nil {
		return false // then nothing is served, old or new
	}
	path := s.path(markerName(k, p))
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	text, err := safefile.ReadPrivate(path, markerWidth)
	return err != nil || s.alive(text, info.ModTime())
}

// alive tells whether a marker still counts. One without its text was made a
// moment ago, or its maker was killed; it counts as long as a token made then
// could.
func (s *Store) alive(text []byte, made time.Time) bool {
	seconds, err := strconv.ParseInt(strings.TrimSuffix(string(text), "\n"), 10, 64)
	if err != nil || len(text) != markerWidth {
		return s.now().Sub(made).Abs() < tokenLife
	}
	return s.now().Unix() < seconds
}
