package fakeaws

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
)

// random reads n bytes. A source that fails would make keys that can be
// guessed, so there is nothing to carry on with.
func (s *Server) random(n int) []byte {
	b := make([]byte, n)
	s.randMu.Lock()
	defer s.randMu.Unlock()
	if _, err := io.ReadFull(s.rand, b); err != nil {
		panic("fakeaws: reading random bytes: " + err.Error())
	}
	return b
}

// newID makes a unique id of IAM's shape: a prefix of four letters that says
// what it names, then letters and digits; 21 characters in all for users and
// roles (AIDA, AROA), 20 for access keys (AKIA, ASIA)
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids).
func (s *Server) newID(prefix string, length int) string {
	return prefix + base32.StdEncoding.EncodeToString(s.random(length))[:length-len(prefix)]
}

// newSecret makes a secret access key: 40 characters of base64.
func (s *Server) newSecret() string {
	return base64.StdEncoding.EncodeToString(s.random(30))
}

// newSessionToken makes a session token with the beginning that AWS's have. It
// says nothing to anyone but this server.
func (s *Server) newSessionToken() string {
	const prefix = "IQoJb3JpZ2luX2Vj"
	return prefix + base64.StdEncoding.EncodeToString(s.random(s.tokenSize))[:s.tokenSize-len(prefix)]
}

// newRequestID makes a request id in the form of a UUID. It is no secret and
// takes nothing from Config.Rand, so that keys do not depend on the traffic.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:32]
}
