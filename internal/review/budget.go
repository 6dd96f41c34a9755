package review

import (
	"context"
	"sync"
)

// Budget bounds the bytes that the bodies of all requests hold at one time. When they
// hold that much, a connection gets no more than its share, so that a few greedy
// connections cannot lock out one that sends small requests; together they may hold up
// to twice the budget.
type Budget struct {
	mu    sync.Mutex
	limit int
	used  int
	conns int // that hold something
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(limit int) *Budget { return &Budget{limit: limit} }

// Conn returns a context for the requests of one connection, for http.Server's
// ConnContext.
func (b *Budget) Conn(ctx context.Context) context.Context {
	return context.WithValue(ctx, connKey{}, &conn{budget: b})
}

type connKey struct{}

// conn is what one connection holds, under the lock of the budget.
type conn struct {
	budget *Budget
	used   int
}

// lease is what one body holds.
type lease struct {
	conn *conn // nil without a budget
	used int
}

func newLease(ctx context.Context) *lease {
	c, _ := ctx.Value(connKey{}).(*conn)
	return &lease{conn: c}
}

// take takes n more bytes, or reports that there are no more.
func (l *lease) take(n int) bool {
	if l.conn == nil || n <= 0 {
		return true
	}
	b := l.conn.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	conns := b.conns
	if l.conn.used == 0 {
		conns++
	}
	if b.used+n > b.limit && l.conn.used+n > b.limit/conns {
		return false
	}
	b.conns = conns
	b.used += n
	l.conn.used += n
	l.used += n
	return true
}

// release gives everything back. Calling it again does nothing.
func (l *lease) release() {
	if l.used == 0 {
		return
	}
	b := l.conn.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= l.used
	l.conn.used -= l.used
	l.used = 0
	if l.conn.used == 0 {
		b.conns--
	}
}
