package stack

import (
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

// CA is the authority of the API server's certificate, PEM.
func (s *Stack) CA() []byte { return s.plane.CA() }

// ServerPID is the process id of the running ekskey-server.
func (s *Stack) ServerPID() (int, error) { return process.PID(s.dir.PIDFile("ekskey-server")) }

// PIDs are the process ids of all programs that run beside this process.
func (s *Stack) PIDs() (map[string]int, error) {
	pids := map[string]int{}
	for _, name := range []string{"etcd", "kube-apiserver", "ekskey-server"} {
		pid, err := process.PID(s.dir.PIDFile(name))
		if err != nil {
			return nil, err
		}
		pids[name] = pid
	}
	return pids, nil
}

// ServerLog is what ekskey-server has said since the log had this length, and
// the length now. A log that cannot be read is empty.
func (s *Stack) ServerLog(since int) (lines []string, length int) {
	b, err := os.ReadFile(s.dir.Log("ekskey-server"))
	if err != nil || since > len(b) {
		return nil, 0
	}
	return strings.Split(strings.TrimSpace(string(b[since:])), "\n"), len(b)
}
