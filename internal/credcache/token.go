package credcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// Token returns the token kept for k, if process p has not been given one yet
// that should still be good, and records that it has now. The answer is also
// no where that could not be recorded.
//
// A process that asks again was refused: from then on this Store serves
// neither tokens nor credentials made before the Store was. An unknown p is
// given none, and the same holds, for it might be asking again.
func (s *Store) Token(k Key, p Parent) (Token, bool) {
	path := s.path(kindToken.file(k))
	e, err := s.read(kindToken, k)
	switch {
	case p == Parent{}:
		s.fresh.Store(true)
		err = errUnknownParent
	case err == nil && s.isNew(e):
		// Made while we were running, so nobody's second asking is about it.
		err = s.mark(k, p, e.Expires)
	case err == nil && s.fresh.Load():
		err = errOlder
	case err == nil:
		err = s.claim(k, p, e.Expires)
	case !s.fresh.Load() && s.wasGiven(k, p):
		err = fmt.Errorf("%w; and else: %w", errAskedAgain, err)
	}
	if errors.Is(err, errAskedAgain) {
		s.fresh.Store(true)
	}
	if err != nil {
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

// PutToken keeps t for k, in place of what is kept, and records that process p
// has been given it. Where that cannot be recorded it is not kept.
func (s *Store) PutToken(k Key, p Parent, t Token, inputs []Input, a About) {
	path := s.path(kindToken.file(k))
	err := s.open(true)
	if err == nil && p != (Parent{}) {
		err = s.mark(k, p, t.Expiry)
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
	}
}

// tokenBody is the secret part of a token's entry.
type tokenBody struct {
	Token string `json:"token"`
}
