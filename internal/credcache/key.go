package credcache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Key names what an entry was made from. It is a digest and tells nothing of
// it, as long as what went in cannot be guessed.
type Key [sha256.Size]byte

// String is the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Hash makes a [Key] of labelled values. Each field is written with its length,
// so that no two different lists of fields are the same bytes. It is for one
// goroutine.
type Hash struct{ h hash.Hash }

// NewHash begins a key of the given kind.
func NewHash(kind string) *Hash {
	h := &Hash{h: sha256.New()}
	h.Add("ekskey cache", kind)
	return h
}

// Add adds a field. The order of fields counts.
func (h *Hash) Add(label, value string) {
	for _, s := range [...]string{label, value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		_, _ = h.h.Write(n[:]) // a hash.Hash never fails
		_, _ = io.WriteString(h.h, s)
	}
}

// Sum is the key of all that was added so far.
func (h *Hash) Sum() Key {
	var k Key
	h.h.Sum(k[:0])
	return k
}

// Input is a file whose bytes decided what was cached. An entry is served only
// while the file's digest is still the same.
type Input struct {
	Path string `json:"path"`
	// Digest is what [DigestFile] gave before the file was used.
	Digest string `json:"digest"`
}

const (
	// noFile is the digest of a file that does not exist.
	noFile = "absent"
	// maxInput is the largest file that is digested, in bytes.
	maxInput = 1 << 20
)

// DigestFile is the SHA-256 of a file in hexadecimal, or "absent" where there is
// none. Symbolic links are followed. A file that cannot be read, is no regular
// one, or has more than 1 MiB is an error; the null device is as good as none.
func DigestFile(path string) (string, error) {
	if path == os.DevNull { // how scripts say that there is no such file
		return noFile, nil
	}
	data, err := safefile.Read(path, maxInput)
	if errors.Is(err, fs.ErrNotExist) {
		return noFile, nil
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
