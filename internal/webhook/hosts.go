package webhook

import (
	"errors"
	"sync"
	"time"

	"github.com/ekskey/ekskey/verify"
)

const (
	// openAfter is how many calls in a row must stay without any response before a host
	// is no longer called. Responses of any kind close the circuit, so that no token can
	// be made that opens it.
	openAfter = 8
	// openFor is how long the host is then not called. After that one call tries.
	openFor = 5 * time.Second
)

// hosts bounds the calls of each STS host, so that one that does not answer leaves slots
// to the others, and breaks the circuit to it. Only hosts that rule V07 accepts come
// here, so there are not many.
type hosts struct {
	limit   int
	now     func() time.Time
	metrics *Metrics

	mu sync.Mutex
	m  map[string]*host
}

type host struct {
	name     string
	inFlight int
	failures int // in a row
	closed   time.Time
	trying   bool // one call is under way to see whether it answers again
}

func newHosts(maxInFlight int, now func() time.Time, metrics *Metrics) *hosts {
	return &hosts{limit: max(1, maxInFlight/4), now: now, metrics: metrics, m: map[string]*host{}}
}

// enter takes a slot of a host. It fails with errOverload, or *verify.UnavailableError
// while the circuit is open.
func (s *hosts) enter(name string) (*host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.m[name]
	if h == nil {
		h = &host{name: name}
		s.m[name] = h
	}
	if h.failures >= openAfter {
		if h.trying || s.now().Before(h.closed) {
			return nil, &verify.UnavailableError{Reason: "calling " + name + ": it did not answer lately, and is tried again soon", Err: errOpen}
		}
	}
	if h.inFlight >= s.limit {
		return nil, errOverload
	}
	h.trying = h.failures >= openAfter
	h.inFlight++
	return h, nil
}

// errOpen marks calls that were not made because the circuit is open.
var errOpen = errors.New("circuit open")

// leave gives a slot back, with the result of the call.
func (s *hosts) leave(h *host, err error) {
	var unavailable *verify.UnavailableError
	silent := errors.As(err, &unavailable) && unavailable.Status == 0 && !unavailable.Throttled
	s.mu.Lock()
	defer s.mu.Unlock()
	h.inFlight--
	h.trying = false
	if !silent {
		h.failures = 0
		return
	}
	h.failures++
	if h.failures >= openAfter {
		h.closed = s.now().Add(openFor)
		s.metrics.opened(h.name)
	}
}
