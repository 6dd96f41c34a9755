// Package listener bounds the connections of a server, so that strangers who open many
// cannot keep its clients out.
package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of a TLS listener.
const (
	// MaxHandshakes bounds the connections that have not finished their TLS handshake.
	MaxHandshakes = 256
	// MaxConnections bounds those that have.
	MaxConnections = 1024
	// handshakeTimeout bounds one handshake.
	handshakeTimeout = 5 * time.Second
)

// TLS is a listener that makes the TLS handshakes itself, so that connections which
// have not finished theirs are counted apart from the others. If there are too many of
// either kind, one of the same kind is closed: of unfinished ones the
// oldest of the address that has the most, of finished ones the one that has been idle
// longest, first those that never sent a request. It is safe for concurrent use.
type TLS struct {
	net.Listener
	config  func() *tls.Config
	log     *slog.Logger
	conns   int // the limit of finished ones
	out     chan net.Conn
	failed  error // of Accept; set before done is closed
	done    chan struct{}
	evicted *prometheus.CounterVec
	errors  prometheus.Counter

	young  crowd // handshakes under way, by raw connection
	mu     sync.Mutex
	grown  map[net.Conn]*usage // by the connection that Accept returned
	logged time.Time
}

// usage is what is known of a connection that has finished its handshake.
type usage struct {
	config *tls.Config // of its handshake
	used   bool        // it sent a request
	active bool
	last   time.Time
}

// NewTLS starts to accept connections. The configuration of a handshake is what config
// returns at its beginning. Failed handshakes are logged, at most one a second. Close
// ends it.
func NewTLS(l net.Listener, config func() *tls.Config, log *slog.Logger, r prometheus.Registerer) *TLS {
	t := &TLS{
		Listener: l, config: config, log: log, conns: MaxConnections,
		out: make(chan net.Conn), done: make(chan struct{}),
		young: crowd{limit: MaxHandshakes}, grown: map[net.Conn]*usage{},
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_connections_evicted_total", Help: "Connections closed because there were too many of their state.",
		}, []string{"state"}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ekskey_tls_handshake_errors_total", Help: "TLS handshakes that failed, such as those of clients that do not trust the certificate.",
		}),
	}
	t.evicted.WithLabelValues("handshake")
	t.evicted.WithLabelValues("open")
	r.MustRegister(t.evicted, t.errors,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ekskey_connections", Help: "Connections that have finished their TLS handshake; at most 1,024.",
		}, func() float64 { t.mu.Lock(); defer t.mu.Unlock(); return float64(len(t.grown)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ekskey_connections_handshaking", Help: "Connections that have not finished their TLS handshake; at most 256.",
		}, func() float64 { return float64(t.young.size()) }))
	go t.run()
	return t
}

func (t *TLS) run() {
	for pause := time.Duration(0); ; {
		raw, err := t.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			t.failed = err
			close(t.done)
			return
		}
		if err != nil { // such as too many open files: it passes
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		if t.young.add(raw) {
			t.evicted.WithLabelValues("handshake").Inc()
		}
		go t.handshake(raw)
	}
}

func (t *TLS) handshake(raw net.Conn) {
	config := t.config()
	c := tls.Server(raw, config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	err := c.HandshakeContext(ctx)
	cancel()
	counted := t.young.remove(raw)
	if err != nil || !counted {
		_ = raw.Close()
		if counted {
			t.errors.Inc()
			t.tell(raw, err)
		}
		return
	}
	t.grow(c, config)
	select {
	case t.out <- c:
	case <-t.done:
		_ = raw.Close()
	}
}

// grow counts a connection that has finished its handshake.
func (t *TLS) grow(c net.Conn, config *tls.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.grown) >= t.conns {
		var victim net.Conn
		for other, u := range t.grown {
			if !u.active && (victim == nil || u.before(t.grown[victim])) {
				victim = other
			}
		}
		if victim != nil {
			delete(t.grown, victim)
			t.evicted.WithLabelValues("open").Inc()
			go func() { _ = victim.Close() }() // it may wait to send its last record
		}
	}
	t.grown[c] = &usage{config: config, last: time.Now()}
}

// before reports whether a connection goes before another one.
func (u *usage) before(v *usage) bool {
	if u.used != v.used {
		return v.used
	}
	return u.last.Before(v.last)
}

// ConnState is that of the http.Server that serves the listener: the server must have it.
func (t *TLS) ConnState(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.grown[c]
	if u == nil {
		return
	}
	switch state {
	case http.StateActive:
		u.used, u.active = true, true
	case http.StateIdle:
		u.active, u.last = false, time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(t.grown, c)
	}
}

// Config returns the configuration with which a connection made its handshake, or nil if
// the connection is closed.
func (t *TLS) Config(c net.Conn) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.grown[c]; u != nil {
		return u.config
	}
	return nil
}

// tell logs failed handshakes, at most one a second.
func (t *TLS) tell(c net.Conn, err error) {
	t.mu.Lock()
	now := time.Now()
	ok := now.Sub(t.logged) >= time.Second
	if ok {
		t.logged = now
	}
	t.mu.Unlock()
	if ok {
		t.log.Warn("the TLS handshake failed", "client", c.RemoteAddr().String(), "reason", err.Error())
	}
}

// Accept returns connections that have finished their handshake.
func (t *TLS) Accept() (net.Conn, error) {
	select {
	case c := <-t.out:
		return c, nil
	case <-t.done:
		return nil, t.failed
	}
}

// Limit returns a listener of which at most so many connections are open. If one more is
// accepted, the oldest of the address that has the most is closed: whoever opens many
// must not keep a probe out.
func Limit(l net.Listener, limit int) net.Listener {
	return &limited{Listener: l, crowd: crowd{limit: limit}}
}

type limited struct {
	net.Listener
	crowd crowd
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.crowd.add(c)
	return &counted{Conn: c, crowd: &l.crowd}, nil
}

// counted leaves its crowd when it is closed.
type counted struct {
	net.Conn
	crowd *crowd
}

func (c *counted) Close() error {
	c.crowd.remove(c.Conn)
	return c.Conn.Close()
}

// crowd is a bounded set of connections. Its zero value takes none.
type crowd struct {
	limit int
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

// add takes a connection, and reports whether another one was closed for it.
func (c *crowd) add(conn net.Conn) (evicted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.since) >= c.limit {
		c.evict()
		evicted = true
	}
	if c.since == nil {
		c.since = map[net.Conn]time.Time{}
	}
	c.since[conn] = time.Now()
	return evicted
}

// remove takes a connection out, and reports whether it was still there.
func (c *crowd) remove(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.since[conn]
	delete(c.since, conn)
	return ok
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.since)
}

// evict closes the oldest connection of the address that has the most.
func (c *crowd) evict() {
	count := map[string]int{}
	most := 0
	for conn := range c.since {
		a := address(conn)
		count[a]++
		most = max(most, count[a])
	}
	var victim net.Conn
	for conn, since := range c.since {
		if count[address(conn)] == most && (victim == nil || since.Before(c.since[victim])) {
			victim = conn
		}
	}
	delete(c.since, victim)
	if victim != nil {
		_ = victim.Close()
	}
}

func address(c net.Conn) string {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	return host
}
