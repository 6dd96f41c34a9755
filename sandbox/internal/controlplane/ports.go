package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// PortError says that a port that was asked for is taken.
type PortError struct {
	Port int
	// Flag is the one that asked for it.
	Flag string
}

func (e *PortError) Error() string { return fmt.Sprintf("port %d is in use", e.Port) }

// Hint says what to do about it.
func (e *PortError) Hint() string {
	return "give another with " + e.Flag + ", or leave it out and a free one is chosen"
}

// Listen takes a port on 127.0.0.1, any free one where port is 0. It fails
// with *PortError.
func Listen(port int, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case err == nil:
		return l, nil
	case port != 0 && !errors.Is(err, os.ErrPermission):
		return nil, &PortError{Port: port, Flag: flag}
	case port != 0:
		return nil, fmt.Errorf("taking port %d: %w", port, err)
	}
	return nil, fmt.Errorf("finding a free port: %w", err)
}

// FreePorts finds n ports on 127.0.0.1 that nobody listens on.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := Listen(0, "")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only at the end, so that no two are the same
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
