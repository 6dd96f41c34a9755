package kubeclient

import (
	"context"
	"net"
	"sync"
	"time"
)

// connections are all that the transports of a Client have open. They are tracked
// because http.Transport closes only those that are idle.
type connections struct {
	life context.Context // of the Client: what is being dialed ends with it

	mu     sync.Mutex
	closed bool
	open   map[*connection]struct{}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer dials connections that close closes. Nil means that of the net package.
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

// close closes all of them, and those that are dialed from now on.
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

// Close closes the connection and forgets it.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}
