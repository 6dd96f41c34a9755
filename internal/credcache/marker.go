package credcache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// A marker is a file that says: this client was given a token for this key, which
// lasts until then, and was given one first at that time and last at that. Its
// text is the first in Unix seconds, for clients know it no finer, and the others
// in nanoseconds, each in a fixed width. One without text is that of a client that
// was given nothing yet.
//
// Each process that asks for the client holds a lock on it that they have
// together, until it ends.
const (
	markerPrefix = "asked-"
	fieldWidth   = 20
	markerWidth  = 3 * fieldWidth
	// together is how long after the first asking of a client another may begin and
	// still be a part of it, if they overlap.
	together = 10 * time.Second
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

// given is what a marker says.
type given struct{ expiry, first, last time.Time }

func (g given) text() []byte {
	return fmt.Appendf(nil, "%019d %019d %019d\n", g.expiry.Unix(), g.first.UnixNano(), g.last.UnixNano())
}

func parseMarker(text []byte) (given, bool) {
	if len(text) != markerWidth {
		return given{}, false
	}
	var n [3]int64
	for i := range n {
		field, end := text[i*fieldWidth:(i+1)*fieldWidth-1], text[(i+1)*fieldWidth-1]
		v, err := strconv.ParseUint(string(field), 10, 63)
		if err != nil || end != "  \n"[i] {
			return given{}, false
		}
		n[i] = int64(v) // #nosec G115 -- of 63 bits
	}
	return given{time.Unix(n[0], 0), time.Unix(0, n[1]), time.Unix(0, n[2])}, true
}

// asking is one process's part in what a client asks for.
type asking struct {
	path   string
	marker *safefile.Presence // nil where there could be none
	err    error              // why
	// again says that the client was given a token before this process began, and
	// that the token should still be good.
	again bool
	first time.Time // when the client was first given a token, or will be
	done  bool      // this process has given it one
}

// ask begins the asking of p for k, or goes on with it.
func (s *Store) ask(k Key, p Parent) *asking {
	path := s.path(markerName(k, p))
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if a := s.asks[path]; a != nil {
		return a
	}
	a := &asking{path: path, first: s.now()}
	var alone bool
	if a.err = s.folder(true); a.err == nil {
		a.marker, alone, a.err = safefile.Attend(path)
	}
	var held *safefile.HeldError
	doubt := a.err != nil && !errors.As(a.err, &held) && replaceable(path)
	if doubt {
		a.marker, alone, a.err = safefile.Attend(path)
	}
	if a.err == nil {
		a.err = s.judge(a, alone)
	}
	if doubt {
		// Whatever stood there, it may have been about a token that still lasts.
		a.again = true
		if a.err == nil {
			a.err = s.record(a, given{expiry: s.now().Add(tokenLife), first: time.Unix(0, 0), last: time.Unix(0, 0)})
		}
	}
	if a.err != nil {
		// One who holds it alone may be about to write that the client asks again.
		a.again = a.again || errors.As(a.err, &held) || s.wasGiven(path)
		a.err = fmt.Errorf("recording who was given it: %w", a.err)
	}
	if s.asks == nil {
		s.asks = map[string]*asking{}
	}
	s.asks[path] = a
	return a
}

// replaceable takes away what is at a marker's path and cannot be one.
func replaceable(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && !info.IsDir() && os.Remove(path) == nil
}

// judge reads from the marker whether the client asks again. A process is part of
// what was asked before if it began before that was answered, or if another of
// the client's is not done yet. Where the client does ask again, so do all who
// began meanwhile.
func (s *Store) judge(a *asking, alone bool) error {
	text, err := a.marker.Read(markerWidth + 1)
	if err != nil {
		return err
	}
	made, err := a.marker.Made()
	if err != nil {
		return err
	}
	g, _ := parseMarker(text)
	a.again = s.alive(text, made)
	if since := s.now().Sub(g.first); a.again && since >= 0 && since <= together && (!alone || !s.began.After(g.last)) {
		a.again, a.first = false, g.first
	}
	if !alone {
		return nil
	}
	if a.again {
		err = s.record(a, given{expiry: g.expiry, first: time.Unix(0, 0), last: time.Unix(0, 0)})
	}
	return errors.Join(err, a.marker.Settle())
}

// give records that the client is given a token.
func (s *Store) give(a *asking, expiry time.Time) error {
	if a.err != nil {
		return a.err
	}
	if err := s.record(a, given{expiry: expiry, first: a.first, last: s.now()}); err != nil {
		return fmt.Errorf("recording who was given it: %w", err)
	}
	a.done = true
	return nil
}

func (s *Store) record(a *asking, g given) error {
	if err := a.marker.Write(g.text()); err != nil {
		return err
	}
	return dateFile(a.path, g.expiry)
}

// wasGiven is what a marker says that cannot be written. When in doubt it says
// that the client was given a token.
func (s *Store) wasGiven(path string) bool {
	if s.folder(false) != nil {
		return false // then nothing is served, old or new
	}
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

// alive tells whether a marker says that a token was given that still lasts. One
// with an odd text counts as long as a token given when it was made could.
func (s *Store) alive(text []byte, made time.Time) bool {
	if len(text) == 0 {
		return false
	}
	g, ok := parseMarker(text)
	if !ok {
		return s.now().Sub(made).Abs() < tokenLife
	}
	return s.now().Before(g.expiry)
}
