package servercli

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of a listener.
const (
	// maxHandshakes bounds the connections that have not finished their TLS handshake.
	maxHandshakes = 256
	// maxConnections bounds those that have.
	maxConnections = 1024
	// handshakeTimeout bounds one handshake.
	handshakeTimeout = 5 * time.Second
)

// front is a listener that makes the TLS handshakes itself, so that connections which
// have not finished theirs are counted apart from the others. If there are too many of
// either kind, one of the same kind is closed: of unfinished ones the
// oldest of the address that has the most, of finished ones the one that has been idle
// longest, first those that never sent a request.
type front struct {
	net.Listener
	config            *tls.Config
	log               *slog.Logger
	handshakes, conns int // the limits
	out               chan net.Conn
	failed            error // of Accept; set before done is closed
	done              chan struct{}

	mu     sync.Mutex
	young  map[net.Conn]time.Time // handshakes under way, by raw connection
	grown  map[net.Conn]*usage    // by the connection that Accept returned
	logged time.Time
}

// usage is what is known of a connection that has finished its handshake.
type usage struct {
	used   bool // it sent a request
	active bool
	last   time.Time
}

// newFront starts to accept connections. Close ends it.
func newFront(l net.Listener, config *tls.Config, log *slog.Logger) *front {
	f := &front{
		Listener: l, config: config, log: log, handshakes: maxHandshakes, conns: maxConnections,
		out: make(chan net.Conn), done: make(chan struct{}),
		young: map[net.Conn]time.Time{}, grown: map[net.Conn]*usage{},
	}
	go f.run()
	return f
}

func (f *front) run() {
	for pause := time.Duration(0); ; {
		raw, err := f.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			f.failed = err
			close(f.done)
			return
		}
		if err != nil { // such as too many open files: it passes
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		f.begin(raw)
		go f.handshake(raw)
	}
}

// begin counts a new connection.
func (f *front) begin(raw net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.young) >= f.handshakes {
		f.evictYoung()
	}
	f.young[raw] = time.Now()
}

// evictYoung closes the oldest connection of the address that has the most.
func (f *front) evictYoung() {
	count := map[string]int{}
	most := 0
	for c := range f.young {
		a := address(c)
		count[a]++
		most = max(most, count[a])
	}
	var victim net.Conn
	for c, since := range f.young {
		if count[address(c)] == most && (victim == nil || since.Before(f.young[victim])) {
			victim = c
		}
	}
	delete(f.young, victim)
	_ = victim.Close() // its handshake fails
}

func address(c net.Conn) string {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	return host
}

func (f *front) handshake(raw net.Conn) {
	c := tls.Server(raw, f.config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	err := c.HandshakeContext(ctx)
	cancel()
	f.mu.Lock()
	_, counted := f.young[raw]
	delete(f.young, raw)
	if err == nil && counted {
		f.grow(c)
	}
	f.mu.Unlock()
	if err != nil || !counted {
		_ = raw.Close()
		if counted {
			f.tell(raw, err)
		}
		return
	}
	select {
	case f.out <- c:
	case <-f.done:
		_ = raw.Close()
	}
}

// grow counts a connection that has finished its handshake.
func (f *front) grow(c net.Conn) {
	if len(f.grown) >= f.conns {
		var victim net.Conn
		for other, u := range f.grown {
			if !u.active && (victim == nil || u.before(f.grown[victim])) {
				victim = other
			}
		}
		if victim != nil {
			delete(f.grown, victim)
			go func() { _ = victim.Close() }() // it may wait to send its last record
		}
	}
	f.grown[c] = &usage{last: time.Now()}
}

// before reports whether a connection goes before another one.
func (u *usage) before(v *usage) bool {
	if u.used != v.used {
		return v.used
	}
	return u.last.Before(v.last)
}

// follow is the ConnState of the http.Server.
func (f *front) follow(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.grown[c]
	if u == nil {
		return
	}
	switch state {
	case http.StateActive:
		u.used, u.active = true, true
	case http.StateIdle:
		u.active, u.last = false, time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(f.grown, c)
	}
}

// tell logs failed handshakes, such as those of a client that does not trust our
// certificate, at most one a second.
func (f *front) tell(c net.Conn, err error) {
	f.mu.Lock()
	now := time.Now()
	ok := now.Sub(f.logged) >= time.Second
	if ok {
		f.logged = now
	}
	f.mu.Unlock()
	if ok {
		f.log.Warn("the TLS handshake failed", "client", c.RemoteAddr().String(), "reason", err.Error())
	}
}

// Accept returns connections that have finished their handshake.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.out:
		return c, nil
	case <-f.done:
		return nil, f.failed
	}
}
