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
	// lately is how long what a host did counts for Ready: longer than openFor, so that a
	// host that does not answer is seen between two tries, and short enough that a server
	// which gets no requests because it is not ready tries again.
	lately = 30 * time.Second
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
	answered time.Time
	silent   time.Time // when it last did not answer
}

// STSError says that STS does not answer.
type STSError struct{ Host string }

func (e *STSError) Error() string { return e.Host + " does not answer" }

// ready fails if the circuit of a host that was called lately is open, and no other host
// has answered lately. A host that never answered counts only while none ever did: else
// whoever sends tokens for a region that this network cannot reach would take the server
// out of service.
func (s *hosts) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.now().Add(-lately)
	var silent, never *host
	anyAnswered := false
	for _, h := range s.m {
		if h.answered.After(since) {
			return nil
		}
		anyAnswered = anyAnswered || !h.answered.IsZero()
		switch open := h.failures >= openAfter && h.silent.After(since); {
		case open && h.answered.IsZero():
			never = h
		case open:
			silent = h
		}
	}
	if silent == nil && !anyAnswered {
		silent = never
	}
	if silent == nil {
		return nil
	}
	return &STSError{Host: silent.name}
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
		if h.failures >= openAfter {
			s.metrics.closed(h.name)
		}
		h.failures, h.answered = 0, s.now()
		return
	}
	h.failures++
	h.silent = s.now()
	if h.failures >= openAfter {
		h.closed = s.now().Add(openFor)
		s.metrics.opened(h.name)
	}
}
