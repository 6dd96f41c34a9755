package kubeclient

import (
	"context"
	"net"
	"sync"
	"time"
)

// connections are all open connections of a Client's transports. They are tracked
// because http.Transport closes only idle ones.
type connections struct {
	life context.Context // of the Client: dials end with it

	mu     sync.Mutex
	closed bool
	open   map[*connection]struct{}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer dials connections that close closes. Nil means the dialer of package net.
func (c *connections) dialer(dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := within(ctx, c.life)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			_ = conn.Close()
			return nil, ErrClosed
		}
		if c.open == nil {
			c.open = map[*connection]struct{}{}
		}
		tracked := &connection{Conn: conn, all: c}
		c.open[tracked] = struct{}{}
		return tracked, nil
	}
}

// within is a context that ends with either of two.
func within(ctx, life context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(life, cancel)
	return ctx, func() { stop(); cancel() }
}

// close closes all of them, and those that are dialed later.
func (c *connections) close() {
	c.mu.Lock()
	open := c.open
	c.closed, c.open = true, nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}

type connection struct {
	net.Conn
	all *connections
}

// Close closes the connection and removes it from the list.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}
