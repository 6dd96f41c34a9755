package credcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

const redacted = "REDACTED"

// Token is a finished token. Its value is a secret, and every way of printing
// the struct hides it; Value alone gives it. The zero value is no token.
type Token struct {
	// value is behind a function, because package fmt prints the strings in
	// somebody's unexported field without asking their methods.
	value func() string
	// Expiry is when the token should no longer be handed out.
	Expiry time.Time
	// SignedAt is when it was signed.
	SignedAt time.Time
	// AccessKeyID is the key that signed it. It is not a secret.
	AccessKeyID string
}

// NewToken is a token of the given value.
func NewToken(value string, expiry, signedAt time.Time, accessKeyID string) Token {
	return Token{value: func() string { return value }, Expiry: expiry, SignedAt: signedAt, AccessKeyID: accessKeyID}
}

// Value is the token itself. Never log it.
func (t Token) Value() string {
	if t.value == nil {
		return ""
	}
	return t.value()
}

// String hides the value.
func (t Token) String() string { return redacted }

// GoString hides the value from %#v.
func (t Token) GoString() string { return "credcache.Token{" + redacted + "}" }

// Format hides the value from every verb of package fmt.
func (t Token) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue hides the value from log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the value from encoding/json.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

var (
	errUnknownParent = errors.New("who asks is unknown, and so whether it was given this token before")
	errAskedAgain    = errors.New("the same process was given a token before, so that may have been refused")
	errOlder         = errors.New("older than this process, and only what is newer will do")
)

// Token returns the token kept for k, if client p has not been given one yet that
// should still be good, and records that it has now. The answer is also no where
// that could not be recorded.
//
// A client that asks again was refused: from then on this Store serves neither
// tokens nor credentials made before the Store was. An unknown p is given none,
// and the same holds, for it might be asking again. Askings that overlap are one:
// a client that starts many processes at once has not been refused anything yet.
func (s *Store) Token(k Key, p Parent) (Token, bool) {
	path := s.path(kindToken.file(k))
	e, err := s.read(kindToken, k)
	if err = s.mayServe(k, p, e, err); err != nil {
		s.missed("token", path, err)
		return Token{}, false
	}
	var body tokenBody
	if err := json.Unmarshal(e.body(), &body); err != nil || body.Token == "" {
		s.missed("token", path, errNotEntry)
		return Token{}, false
	}
	s.answered()
	return NewToken(body.Token, e.Expires, e.SignedAt, e.AccessKeyID), true
}

// mayServe decides whether p is served the token's entry, or why it could not be
// read is all there is to say.
func (s *Store) mayServe(k Key, p Parent, e entry, err error) error {
	if p == (Parent{}) {
		s.fresh.Store(true)
		return errUnknownParent
	}
	if err != nil && !s.hasMarker(k, p) {
		return err // nothing to serve, and nobody to wonder about
	}
	a := s.ask(k, p)
	if a.again {
		s.fresh.Store(true)
	}
	switch {
	case err != nil && a.again:
		return fmt.Errorf("%w; and else: %w", errAskedAgain, err)
	case err != nil:
		return err
	case s.isNew(e):
		// Made while we were running, so nobody's second asking is about it.
	case a.again, a.done:
		return errAskedAgain
	case s.fresh.Load():
		return errOlder
	}
	return s.give(a, e.Expires)
}

// hasMarker reports whether there is a file that must be asked about p.
func (s *Store) hasMarker(k Key, p Parent) bool {
	_, err := os.Lstat(s.path(markerName(k, p)))
	return !errors.Is(err, os.ErrNotExist)
}

// Expect says that p is about to be given a new token for k, which will be put.
// From then on until this process ends, others that p starts are part of the same
// asking.
func (s *Store) Expect(k Key, p Parent) {
	if p != (Parent{}) && s.storage != None {
		s.ask(k, p)
	}
}

// Gave records that client p has been given a token for k that is not kept. What
// else is kept, such as the credentials that signed it, is not served when p asks
// again.
func (s *Store) Gave(k Key, p Parent, expiry time.Time) {
	if p == (Parent{}) || s.storage == None {
		return
	}
	a := s.ask(k, p)
	if err := s.give(a, expiry); err != nil {
		s.failed("not recorded", a.path, err)
	}
	s.sweep("")
	s.answered()
}

// Forget says that there will be no token: what Expect left is taken away.
func (s *Store) Forget(k Key, p Parent) {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	path := s.path(markerName(k, p))
	a := s.asks[path]
	if a == nil || a.marker == nil {
		return
	}
	if text, err := a.marker.Read(1); err == nil && len(text) == 0 {
		_ = os.Remove(path)
	}
	_ = a.marker.End()
	delete(s.asks, path)
}

// PutToken keeps t for k, in place of what is kept, and records that client p has
// been given it. Where that cannot be recorded it is not kept.
func (s *Store) PutToken(k Key, p Parent, t Token, inputs []Input, a About) {
	path := s.path(kindToken.file(k))
	err := s.open(true)
	if err == nil && p != (Parent{}) {
		err = s.give(s.ask(k, p), t.Expiry)
	}
	if err == nil {
		err = s.write(kindToken, k, header{
			Expires: t.Expiry, SignedAt: t.SignedAt, AccessKeyID: t.AccessKeyID, Inputs: inputs, About: a,
		}, tokenBody{Token: t.Value()})
		s.sweep(kindToken.file(k))
	}
	s.answered()
	if err != nil {
		s.failed("token not kept", path, err)
		s.Forget(k, p)
	}
}

// tokenBody is the secret part of a token's entry.
type tokenBody struct {
	Token string `json:"token"`
}
