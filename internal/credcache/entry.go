package credcache

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/safefile"
)

const (
	// version is the version of the file format. Entries of other versions are
	// ignored and replaced. Version 1 also knew tokens.
	version = 2
	// maxEntry is the largest entry in bytes. Session tokens have up to 4 KiB.
	maxEntry = 64 << 10
	// margin is the life that credentials must have left to be served.
	margin = 2 * time.Minute
	// clockTolerance is how far the clock of another host that shares the directory
	// may be ahead of ours.
	clockTolerance = 30 * time.Second
	// credentialsLife is the longest life that AWS gives temporary credentials.
	//
	// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
	credentialsLife = 36 * time.Hour
	// refetchAge is the age at which credentials are fetched again although they are
	// still valid: a role that was deleted and created again is another principal.
	refetchAge = 15 * time.Minute
	// retryWait is how long credentials that could not be fetched again are served
	// before the next attempt.
	retryWait = time.Minute
)

const (
	entryPrefix = "credentials-"
	jsonSuffix  = ".json"
)

// entryName is the name of the file of a key's entry.
func entryName(k Key) string { return entryPrefix + k.String() + jsonSuffix }

// parseEntryName is the inverse of entryName.
func parseEntryName(name string) (Key, bool) { return parseName(name, entryPrefix, jsonSuffix) }

// parseName reads the key in the name of a file.
func parseName(name, prefix, suffix string) (Key, bool) {
	id, hasPrefix := strings.CutPrefix(name, prefix)
	id, hasSuffix := strings.CutSuffix(id, suffix)
	var k Key
	if !hasPrefix || !hasSuffix || len(id) != 2*len(k) {
		return Key{}, false
	}
	_, err := hex.Decode(k[:], []byte(id))
	return k, err == nil && k.String() == id // lower case only
}

// About describes an entry for people. It holds no secret.
type About struct {
	Profile string   `json:"profile,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	Source  string   `json:"source,omitempty"`
}

// Settings are the settings of the profile that minting a token needs besides the
// credentials. Flags and environment variables go before them.
type Settings struct {
	Region string `json:"region,omitempty"`
	// FIPS and DualStack are nil where the profile does not say.
	FIPS      *bool `json:"fips,omitempty"`
	DualStack *bool `json:"dualStack,omitempty"`
}

// Entry is what is cached under a key. Credentials holds secrets: do not print an
// Entry.
type Entry struct {
	Credentials aws.Credentials
	Settings    Settings
	// NeededCode says that somebody gave the MFA code for these
	// credentials. They are served until they expire.
	NeededCode bool
	// Inputs are files that the entry depends on and that the key does not cover.
	Inputs []Input
	About  About

	// created and retryAt are set by the Store.
	created, retryAt time.Time
}

// header is the part of an entry's file that is not secret.
type header struct {
	Version     int       `json:"version"`
	Key         string    `json:"key"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	RetryAt     time.Time `json:"retryAt,omitzero"`
	NeededCode  bool      `json:"neededCode,omitempty"`
	AccessKeyID string    `json:"accessKeyId"`
	AccountID   string    `json:"accountId,omitempty"`
	Source      string    `json:"source,omitempty"`
	Settings    Settings  `json:"settings,omitzero"`
	Sealed      bool      `json:"sealed,omitempty"`
	Inputs      []Input   `json:"inputs,omitempty"`
	About       About     `json:"about,omitzero"`
}

// secretPart is the secret part of an entry's file.
type secretPart struct {
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

// An entry's file is {"header":H,"secret":S}: S is an object, or, where H says
// that it is sealed, a base64 string sealed together with the bytes of H.
type entryFile struct {
	Header json.RawMessage `json:"header"`
	Secret json.RawMessage `json:"secret"`
}

var (
	errNotEntry  = errors.New("not a cache entry of this version, or corrupt")
	errOtherKey  = errors.New("the entry belongs to another key than its file name says")
	errFuture    = errors.New("created in the future: the clock was set back")
	errTooLong   = errors.New("its lifetime is longer than AWS allows")
	errExpired   = errors.New("expired, or less than two minutes left")
	errSealed    = errors.New("sealed with a key from the system's keyring")
	errNotSealed = errors.New("not sealed, and the storage is keyring")
	errLongLived = errors.New("long-lived credentials are never cached")
	errOlder     = errors.New("older than this run, which refreshes")
)

// decode parses an entry's file. Its errors quote nothing of the file.
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

// check tells why an entry must not be served for key, if so.
func (h header) check(key Key, now time.Time) error {
	switch {
	case h.Key != key.String():
		return errOtherKey
	case h.Created.After(now.Add(clockTolerance)):
		return errFuture
	case h.Expires.Sub(h.Created) > credentialsLife:
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
			return fmt.Errorf("cache entry is stale: %w", err)
		}
		if digest != in.Digest {
			return fmt.Errorf("cache entry is stale: %s changed", in.Path)
		}
	}
	return nil
}

// readFile reads the entry of a key. It returns the header also of an entry that
// must not be served.
func (s *Store) readFile(key Key) (header, Entry, error) {
	data, err := safefile.ReadPrivate(s.path(entryName(key)), maxEntry)
	if err != nil {
		return header{}, Entry{}, err
	}
	h, f, err := decode(data)
	if err != nil {
		return header{}, Entry{}, err
	}
	if err := h.check(key, s.now()); err != nil {
		return h, Entry{}, err
	}
	if err := h.checkInputs(); err != nil {
		return h, Entry{}, err
	}
	secret, err := s.unseal(h, f)
	if err != nil {
		return h, Entry{}, err
	}
	var part secretPart
	if json.Unmarshal(secret, &part) != nil || h.AccessKeyID == "" || part.SecretAccessKey == "" || part.SessionToken == "" {
		return h, Entry{}, errNotEntry
	}
	return h, Entry{
		Credentials: aws.Credentials{
			AccessKeyID: h.AccessKeyID, SecretAccessKey: part.SecretAccessKey, SessionToken: part.SessionToken,
			Source: h.Source, AccountID: h.AccountID, CanExpire: true, Expires: h.Expires,
		},
		Settings: h.Settings, NeededCode: h.NeededCode, Inputs: h.Inputs, About: h.About,
		created: h.Created, retryAt: h.RetryAt,
	}, nil
}

// writeFile writes the entry of a key.
func (s *Store) writeFile(key Key, e Entry) error {
	c := e.Credentials
	if !c.CanExpire || c.Expires.IsZero() || c.SessionToken == "" {
		return errLongLived
	}
	h := header{
		Version: version, Key: key.String(), Created: e.created.UTC(), Expires: c.Expires.UTC(), RetryAt: e.retryAt.UTC(),
		NeededCode: e.NeededCode, AccessKeyID: c.AccessKeyID, AccountID: c.AccountID, Source: c.Source,
		Settings: e.Settings, Sealed: s.storage == Keyring, Inputs: e.Inputs, About: e.About,
	}
	if err := h.check(key, s.now()); err != nil {
		return err
	}
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	secret, err := json.Marshal(secretPart{SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}) // #nosec G117 -- the cache keeps credentials, in a file of mode 0600
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
	path := s.path(entryName(key))
	if file.Len() > maxEntry {
		return &safefile.TooLargeError{Path: path, Limit: maxEntry}
	}
	if err := safefile.WritePrivate(path, file.Bytes()); err != nil {
		return err
	}
	// The time of an entry's file is when the entry expires, so that sweep does not
	// have to read it. If this fails, sweep removes the entry too early.
	_ = os.Chtimes(path, h.Expires, h.Expires)
	return nil
}
