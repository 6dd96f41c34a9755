package credcache

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	// version is of the file format. Other versions are ignored and replaced.
	version = 1
	// maxEntry is the largest entry in bytes. Session tokens have up to 4 KiB,
	// tokens up to 16.
	maxEntry = 64 << 10
	// margin is what must be left of a thing's life for it to be served.
	margin = 2 * time.Minute
	// tokenLife is the longest that a token is handed out after its signing: a
	// minute less than STS takes it.
	tokenLife = 14 * time.Minute
	// credentialsLife is the longest that AWS makes temporary credentials last.
	//
	// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
	credentialsLife = 36 * time.Hour
)

type kind string

const (
	kindToken       kind = "token"
	kindCredentials kind = "credentials"
)

const entrySuffix = ".json"

// file is the name of an entry's file.
func (k kind) file(key Key) string { return string(k) + "-" + key.String() + entrySuffix }

// parseFile is the inverse of [kind.file].
func parseFile(name string) (kind, Key, bool) {
	for _, k := range [...]kind{kindToken, kindCredentials} {
		var key Key
		if len(name) != len(k)+1+2*len(key)+len(entrySuffix) {
			continue
		}
		_, err := hex.Decode(key[:], []byte(name[len(k)+1:len(name)-len(entrySuffix)]))
		if err == nil && k.file(key) == name {
			return k, key, true
		}
	}
	return "", Key{}, false
}

// About says what an entry is, for people. It holds no secret.
type About struct {
	Cluster string   `json:"cluster,omitempty"`
	Region  string   `json:"region,omitempty"`
	Profile string   `json:"profile,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	Source  string   `json:"source,omitempty"`
}

// header is the part of an entry that is no secret.
type header struct {
	Version     int       `json:"version"`
	Kind        kind      `json:"kind"`
	Key         string    `json:"key"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	SignedAt    time.Time `json:"signedAt,omitzero"`
	AccessKeyID string    `json:"accessKeyId"`
	AccountID   string    `json:"accountId,omitempty"`
	Source      string    `json:"source,omitempty"`
	Sealed      bool      `json:"sealed,omitempty"`
	Inputs      []Input   `json:"inputs,omitempty"`
	About       About     `json:"about,omitzero"`
}

type entry struct {
	header
	// body is the secret part as JSON, behind a function against printing.
	body func() []byte
}

// An entry's file is {"header":H,"secret":S}: S is an object, or where H says
// that it is sealed a base64 string sealed together with the bytes of H.
type entryFile struct {
	Header json.RawMessage `json:"header"`
	Secret json.RawMessage `json:"secret"`
}

var (
	errNotEntry  = errors.New("not an entry of this version: corrupt, cut off or foreign")
	errOtherKey  = errors.New("made for another key than its name says")
	errFuture    = errors.New("made in the future: the clock was moved back")
	errTooLong   = errors.New("lives longer than AWS lets such things live")
	errExpired   = errors.New("expired, or nearly so")
	errSealed    = errors.New("sealed with a key from the system's keyring")
	errNotSealed = errors.New("not sealed, and the storage is keyring")
)

// decode takes an entry's file apart. Its errors quote nothing of the file.
func decode(data []byte) (header, entryFile, error) {
	var f entryFile
	var h header
	if json.Unmarshal(data, &f) != nil || len(f.Secret) == 0 {
		return header{}, entryFile{}, errNotEntry
	}
	if json.Unmarshal(f.Header, &h) != nil || h.Version != version {
		return header{}, entryFile{}, errNotEntry
	}
	return h, f, nil
}

// check holds an entry's header against what was asked for.
func (h header) check(k kind, key Key, now time.Time) error {
	life := h.Expires.Sub(h.Created)
	if k == kindToken {
		life = h.Expires.Sub(h.SignedAt)
	}
	switch {
	case h.Kind != k || h.Key != key.String():
		return errOtherKey
	case h.Created.After(now) || h.SignedAt.After(h.Created):
		return errFuture
	case k == kindToken && life > tokenLife || life > credentialsLife:
		return errTooLong
	case h.Expires.Sub(now) < margin:
		return errExpired
	}
	return nil
}

func (h header) checkInputs() error {
	for _, in := range h.Inputs {
		digest, err := DigestFile(in.Path)
		if err != nil {
			return fmt.Errorf("reading what it was made from: %w", err)
		}
		if digest != in.Digest {
			return fmt.Errorf("made when %s was another", in.Path)
		}
	}
	return nil
}

// read is the way of each entry from disk to whoever asks.
func (s *Store) read(k kind, key Key) (entry, error) {
	if err := s.open(false); err != nil {
		return entry{}, err
	}
	_, e, err := s.readFile(k, key)
	return e, err
}

// readFile gives the header also of an entry that it does not give.
func (s *Store) readFile(k kind, key Key) (header, entry, error) {
	data, err := safefile.ReadPrivate(s.path(k.file(key)), maxEntry)
	if err != nil {
		return header{}, entry{}, err
	}
	h, f, err := decode(data)
	if err != nil {
		return header{}, entry{}, err
	}
	if err := h.check(k, key, s.now()); err != nil {
		return h, entry{}, err
	}
	if err := h.checkInputs(); err != nil {
		return h, entry{}, err
	}
	body := []byte(f.Secret)
	if body, err = s.unseal(h, f); err != nil {
		return h, entry{}, err
	}
	return h, entry{header: h, body: func() []byte { return body }}, nil
}

// write makes an entry's file. Body is one of the body types; it is not printed.
func (s *Store) write(k kind, key Key, h header, body any) error {
	now := s.now().UTC().Round(0)
	h.Version, h.Kind, h.Key, h.Created = version, k, key.String(), now
	h.Expires, h.SignedAt = h.Expires.UTC(), h.SignedAt.UTC()
	h.Sealed = s.storage == Keyring
	if err := h.check(k, key, now); err != nil {
		return err
	}
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	secret, err := json.Marshal(body)
	if err != nil {
		return errors.New("encoding the secret part") // the cause might quote it
	}
	if h.Sealed {
		if secret, err = s.seal(head, secret); err != nil {
			return err
		}
	}
	var file bytes.Buffer
	fmt.Fprintf(&file, `{"header":%s,"secret":%s}`+"\n", head, secret)
	if file.Len() > maxEntry {
		return &safefile.TooLargeError{Path: s.path(k.file(key)), Limit: maxEntry}
	}
	path := s.path(k.file(key))
	if err := safefile.WritePrivate(path, file.Bytes()); err != nil {
		return err
	}
	_ = dateFile(path, h.Expires) // where that fails it is swept too early
	return nil
}

// dateFile makes the time of a file the one when what is in it expires, so that
// sweep need not read it.
func dateFile(path string, expires time.Time) error { return os.Chtimes(path, expires, expires) }
