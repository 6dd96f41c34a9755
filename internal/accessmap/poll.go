package accessmap

import (
	"context"
	"math/rand/v2"
	"time"
)

// Polled is a Backend that reads its source again and again.
type Polled struct {
	*Backend
	// Interval is the time between two reads, a fifth of it random. After a failure it is
	// shorter, at first.
	Interval time.Duration
}

// retry is the first wait after a failure; it doubles up to the interval.
const retry = time.Second

// Run reads the source at once and then in intervals, until the context ends.
func (p *Polled) Run(ctx context.Context) {
	wait := retry
	for {
		next := p.Interval
		if err := p.Refresh(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			p.cfg.Alarm(err)
			next, wait = min(wait, p.Interval), wait*2
		} else {
			wait = retry
		}
		next += rand.N(next/5 + 1) // #nosec G404 -- no secret
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}
