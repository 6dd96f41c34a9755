package stack

import (
	"crypto/tls"
	"net/http"
	"os"
	"strings"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/process"
)

// AWS is the embedded AWS, to ask how often it was called, and to have it fail.
func (s *Stack) AWS() *fakeaws.Server { return s.aws.server }

// Client is an HTTP client that trusts the API server and shows no certificate
// of its own.
func (s *Stack) Client() (*http.Client, error) { return s.plane.Client(false) }

// Certificate makes a client certificate of the API server for a user.
func (s *Stack) Certificate(user string, groups ...string) (tls.Certificate, error) {
	pair, err := s.plane.Certificate(user, groups...)
	if err != nil {
		return tls.Certificate{}, err
	}
	return pair.TLS()
}

// ServerPID is the process id of the running ekskey-server.
func (s *Stack) ServerPID() (int, error) { return process.PID(s.dir.PIDFile("ekskey-server")) }

// ServerLog is what ekskey-server has said since the log had this length, and
// the length now. A log that cannot be read is empty.
func (s *Stack) ServerLog(since int) (lines []string, length int) {
	b, err := os.ReadFile(s.dir.Log("ekskey-server"))
	if err != nil || since > len(b) {
		return nil, 0
	}
	return strings.Split(strings.TrimSpace(string(b[since:])), "\n"), len(b)
}
