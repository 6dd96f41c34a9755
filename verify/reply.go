package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// newIdentity checks the three fields of the response against each other, V31 and V32.
// The partition is that of the STS host.
func newIdentity(partition, arn, account, userID string) (identity.Identity, error) {
	id, err := identity.New(arn, account, userID)
	if err == nil && id.Principal.Partition != partition {
		err = &identity.ARNError{Text: arn, Reason: "is not of partition " + partition}
	}
	if err == nil {
		return id, nil
	}
	code := token.Code("V31")
	var mismatch *identity.MismatchError
	if errors.As(err, &mismatch) && mismatch.Field == "UserId" {
		code = "V32"
	}
	return identity.Identity{}, &token.RuleError{Code: code, Reason: err.Error()}
}

const maxJSONDepth = 8

var (
	errNotUTF8 = errors.New("is not UTF-8")
	errNotJSON = errors.New("is not one JSON object without trailing data")
	errTwin    = errors.New("has a duplicate key")
	errDepth   = errors.New("is nested too deep")
)

// strictJSON parses one JSON object and returns texts in it: those of the fields of the
// object that is found by following path. A field that has no text there is empty.
// encoding/json takes the last of two equal keys and matches names without case; a proxy
// in front of STS that did otherwise could make two programs see two identities, so
// neither is allowed.
func strictJSON(body []byte, path []string, fields ...string) ([]string, error) {
	if !utf8.Valid(body) {
		return nil, errNotUTF8
	}
	if !json.Valid(body) {
		return nil, errNotJSON
	}
	s := scanner{rest: body, path: path, fields: fields, found: make([]string, len(fields))}
	if s.space(); s.rest[0] != '{' {
		return nil, errNotJSON
	}
	if err := s.value(0, 0, -1); err != nil {
		return nil, err
	}
	return s.found, nil
}

// scanner walks over text that json.Valid has accepted, so it checks only what that
// does not: duplicate keys and depth.
type scanner struct {
	rest   []byte
	path   []string
	fields []string
	found  []string
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

// value walks over one value. It is at the place that the first so many keys of the path
// lead to, where followed is not negative, and is the field with that index, where field
// is not.
func (s *scanner) value(depth, followed, field int) error {
	s.space()
	switch c := s.rest[0]; c {
	case '"':
		if text := s.text(); field >= 0 {
			s.found[field] = text
		}
		return nil
	case '{', '[':
		if depth == maxJSONDepth {
			return errDepth
		}
		s.rest = s.rest[1:]
		return s.members(c == '{', depth, followed)
	}
	// A number, true, false or null ends where the next delimiter stands.
	if i := bytes.IndexAny(s.rest, ",]} \t\r\n"); i >= 0 {
		s.rest = s.rest[i:]
	} else {
		s.rest = nil
	}
	return nil
}

// members walks to the end of an object or an array.
func (s *scanner) members(object bool, depth, followed int) error {
	var keys keySet
	for {
		s.space()
		switch s.rest[0] {
		case '}', ']':
			s.rest = s.rest[1:]
			return nil
		case ',':
			s.rest = s.rest[1:]
			continue
		}
		next, field := -1, -1
		if object {
			key := s.text()
			if !keys.add(key) {
				return errTwin
			}
			switch {
			case followed == len(s.path):
				field = slices.Index(s.fields, key)
			case followed >= 0 && s.path[followed] == key:
				next = followed + 1
			}
			s.space()
			s.rest = s.rest[1:] // the colon
		}
		if err := s.value(depth+1, next, field); err != nil {
			return err
		}
	}
}

// text reads a string.
func (s *scanner) text() string {
	for i := 1; ; i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			raw := s.rest[:i+1]
			s.rest = s.rest[i+1:]
			if bytes.IndexByte(raw, '\\') < 0 {
				return string(raw[1:i])
			}
			var text string
			_ = json.Unmarshal(raw, &text) // it is valid
			return text
		}
	}
}

// keySet are the keys of an object, which must differ in more than case.
type keySet struct {
	few  []string
	many map[string]bool // of folded keys, once there are more than a few
}

const fewKeys = 8

func (k *keySet) add(key string) bool {
	if k.many == nil {
		for _, other := range k.few {
			if other == key || len(other) == len(key) && strings.EqualFold(other, key) {
				return false
			}
		}
		if len(k.few) < fewKeys && isASCII(key) {
			k.few = append(k.few, key)
			return true
		}
		k.many = map[string]bool{}
		for _, other := range k.few {
			k.many[fold(other)] = true
		}
	}
	f := fold(key)
	if k.many[f] {
		return false
	}
	k.many[f] = true
	return true
}

func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
