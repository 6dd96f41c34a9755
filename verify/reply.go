package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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

// document is a JSON object whose keys are unique even when case is ignored.
type document map[string]any

// object returns the object with exactly this key, or an empty one.
func (d document) object(key string) document {
	o, _ := d[key].(document)
	return o
}

func (d document) text(key string) (string, bool) {
	s, ok := d[key].(string)
	return s, ok && s != ""
}

const maxJSONDepth = 8

var (
	errNotUTF8  = errors.New("is not UTF-8")
	errNotJSON  = errors.New("is not one JSON object")
	errTwin     = errors.New("has a duplicate key")
	errDepth    = errors.New("is nested too deep")
	errTrailing = errors.New("has trailing data after the JSON document")
)

// strictJSON parses one JSON object. encoding/json takes the last of two equal keys and
// matches names without case; a proxy in front of STS that did otherwise could make two
// programs see two identities, so neither is allowed.
func strictJSON(body []byte) (document, error) {
	if !utf8.Valid(body) {
		return nil, errNotUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	value, err := readValue(dec, 0)
	if err != nil {
		return nil, err
	}
	doc, ok := value.(document)
	if !ok {
		return nil, errNotJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return doc, nil
}

func readValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, errNotJSON
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxJSONDepth {
		return nil, errDepth
	}
	if delim == '[' {
		return readArray(dec, depth)
	}
	return readObject(dec, depth)
}

func readObject(dec *json.Decoder, depth int) (any, error) {
	doc, folded := document{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		if fold := strings.ToLower(strings.ToUpper(key)); folded[fold] {
			return nil, errTwin
		} else {
			folded[fold] = true
		}
		if doc[key], err = readValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotJSON
	}
	return doc, nil
}

func readArray(dec *json.Decoder, depth int) (any, error) {
	var list []any
	for dec.More() {
		v, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotJSON
	}
	return list, nil
}
