package credcache

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ekskey/ekskey/internal/safefile"
)

// keySize is AES-256's, in bytes.
const keySize = 32

var errSeal = errors.New("sealed with another key, or changed since")

// sealer is AES-256-GCM with the key from the keyring, which is asked once.
// With make set, a missing key is made.
func (s *Store) sealer(make bool) (cipher.AEAD, error) {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	if s.key == nil && (s.noKey == nil || make && errors.Is(s.noKey, ErrNoKey)) {
		key, err := s.loadKey(make)
		s.noKey = err
		if err == nil {
			s.key = func() []byte { return key }
		}
	}
	if s.key == nil {
		return nil, fmt.Errorf("reading the key from the keyring: %w", s.noKey)
	}
	block, err := aes.NewCipher(s.key())
	if err != nil {
		return nil, errors.New("the keyring holds no key of ours")
	}
	return cipher.NewGCM(block)
}

func (s *Store) loadKey(make bool) ([]byte, error) {
	key, err := getKey(s.vault)
	if !make || !errors.Is(err, ErrNoKey) {
		return key, err
	}
	// Of processes that find none at once, one makes it, or what they seal
	// could not be read by the others.
	path := s.path(NewHash("key in the keyring").Sum().String() + lockSuffix)
	l, err := safefile.AcquireOS(context.Background(), path, vaultWait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Release() }()
	if key, err = getKey(s.vault); !errors.Is(err, ErrNoKey) {
		return key, err
	}
	if err := s.vault.Set(base64.StdEncoding.EncodeToString(newKey())); err != nil {
		return nil, err
	}
	return getKey(s.vault)
}

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails, by its documentation
	return key
}

func getKey(v Vault) ([]byte, error) {
	text, err := v.Get()
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keySize {
		return nil, ErrNoKey // not ours: to be replaced
	}
	return key, nil
}

// seal encrypts body and binds it to the header's bytes. A nonce is random: a
// key would have to seal 2^32 entries before one is likely to come twice.
func (s *Store) seal(head, body []byte) ([]byte, error) {
	aead, err := s.sealer(true)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails, by its documentation
	return json.Marshal(aead.Seal(nonce, nonce, body, head))
}

// unseal gives the secret part of an entry, as the storage demands it: an open
// one is not taken where it should have been sealed.
func (s *Store) unseal(h header, f entryFile) ([]byte, error) {
	switch {
	case h.Sealed && s.storage != Keyring:
		return nil, errSealed
	case !h.Sealed && s.storage == Keyring:
		return nil, errNotSealed
	case !h.Sealed:
		return f.Secret, nil
	}
	aead, err := s.sealer(false)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if json.Unmarshal(f.Secret, &sealed) != nil || len(sealed) < aead.NonceSize() {
		return nil, errNotEntry
	}
	body, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], f.Header)
	if err != nil {
		return nil, errSeal
	}
	return body, nil
}
