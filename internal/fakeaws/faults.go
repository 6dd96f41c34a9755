package fakeaws

import (
	"maps"
	"net/http"
	"time"
)

// Fault is something to go wrong. Its parts happen in the order given here; the
// zero Fault does nothing. A fault strikes before the signature is looked at.
type Fault struct {
	// Latency is waited before anything else, or until the client goes away.
	Latency time.Duration

	// Cut closes the connection without an answer.
	Cut bool

	// Raw is sent in place of an answer of AWS's: a proxy's HTML page, a
	// redirect, a 200 that is nothing.
	Raw *RawAnswer

	// Code is an AWS error code in STS's words, sent in the shape of the
	// service asked: "Throttling" is HTTP 400 from STS and IAM and a
	// ThrottlingException with 429 from EKS. "InternalFailure" is 500,
	// "ServiceUnavailable" 503. Status and Message replace what belongs to the
	// code; a code that is not known has Status 400.
	Code    string
	Status  int
	Message string

	// Times is how many requests it strikes; zero means all, until it is
	// cleared.
	Times int
}

// RawAnswer is an HTTP answer sent as it is. Status zero means 200. A
// Content-Length in Header that is more than Body has breaks the connection off
// half-way.
type RawAnswer struct {
	Status int
	Header http.Header
	Body   []byte
}

// SetFault makes requests for an action go wrong, in place of any fault set for
// it before. A fault of an action's own goes before one of AnyAction.
func (s *Server) SetFault(a Action, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[a] = &f
}

// ClearFaults ends all faults. It leaves the clock's skew alone.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// SetSkew shifts the server's clock against Config.Now, forward if positive.
// Signatures, session expiry and the Date header all follow it.
func (s *Server) SetSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// Counts says how many requests have come for each action, refused ones and
// those struck by a fault included. Requests that name no known action are
// under AnyAction. The map is the caller's own.
func (s *Server) Counts() map[Action]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// admit counts a request and takes the fault that is due for it.
func (s *Server) admit(c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := c.action
	if a == "" {
		a = AnyAction
	}
	s.counts[a]++
	f, ok := s.faults[a]
	if !ok {
		a = AnyAction
		f, ok = s.faults[a]
	}
	if !ok {
		return nil
	}
	due := *f
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(s.faults, a)
		}
	}
	return &due
}

// apply lets the fault strike, and reports whether that was the answer.
func (f *Fault) apply(c *call) bool {
	if f == nil {
		return false
	}
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.r.Context().Done():
			// To return would be to answer 200 with nothing, which a client that is about
			// to go may still read.
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Cut:
		cut(c.w)
	case f.Raw != nil:
		f.Raw.send(c)
	case f.Code != "":
		err := apiError{f.Code, f.Code, http.StatusBadRequest}
		if k, ok := knownErrors[f.Code]; ok {
			err = k
		}
		translated := err.forService(c.service)
		if f.Status != 0 {
			translated = &apiError{translated.code, translated.message, f.Status}
		}
		if f.Message != "" {
			translated = &apiError{translated.code, f.Message, translated.status}
		}
		c.fail(translated)
	default:
		return false
	}
	return true
}

// cut closes the client's connection. HTTP/2 has no connection to take over:
// there the stream is reset.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

func (a *RawAnswer) send(c *call) {
	maps.Copy(c.w.Header(), a.Header)
	c.status = a.Status
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.w.WriteHeader(c.status)
	_, _ = c.w.Write(a.Body)
}
