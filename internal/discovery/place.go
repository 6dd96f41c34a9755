package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/smithy-go"

	"github.com/ekskey/ekskey/internal/awsconf"
)

// How often a call is made that EKS had too many of, and the longest wait between
// two times.
const (
	throttledAttempts = 9
	longestBackoff    = 8 * time.Second
)

// placeKey names what EKS counts calls for: a region of an account, or of a
// session where nobody knows its account.
type placeKey struct {
	account string
	session *awsconf.Session
	region  string
}

// place is a region of an account.
type place struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time // no call begins before
}

// clientKey names whose calls go where.
type clientKey struct {
	session *awsconf.Session
	region  string
}

// client makes the calls of one session in one place.
type client struct {
	finder  *Finder
	place   *place
	session *awsconf.Session
	eks     *eks.Client
	retry   []func(*eks.Options)
	times   int
}

// client gives the client of a session, whose account may not be known, in a
// region. It keeps to what the user has said about retries. Otherwise throttling
// is not left to the SDK, for which each call is alone: here one that was too many
// makes all in its place wait.
func (f *Finder) client(session *awsconf.Session, account, region string) *client {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := clientKey{session, region}
	if c, ok := f.clients[key]; ok {
		return c
	}
	c := &client{finder: f, place: f.place(session, account, region), session: session, eks: session.EKS(region), times: 1}
	if !session.RetriesChosen() {
		c.times = throttledAttempts
		c.retry = []func(*eks.Options){func(o *eks.Options) { o.Retryer = notThrottled() }}
	}
	f.clients[key] = c
	return c
}

// place gives a region of an account; f.mu is held.
func (f *Finder) place(session *awsconf.Session, account, region string) *place {
	key := placeKey{account: account, region: region}
	if account == "" {
		key.session = session
	}
	p, ok := f.places[key]
	if !ok {
		p = &place{slots: make(chan struct{}, f.cfg.InPlace)}
		f.places[key] = p
	}
	return p
}

// notThrottled tries again as the SDK does, but for throttling.
func notThrottled() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			var api smithy.APIError
			if errors.As(err, &api) && (&awsconf.APIError{Code: api.ErrorCode()}).Throttled() {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, retry.DefaultRetryables...)
	})
}

// do makes a call within the limits. The error is explained (see
// [awsconf.Session.Explain]).
func (c *client) do(ctx context.Context, call func(context.Context, ...func(*eks.Options)) error) error {
	for n := 1; ; n++ {
		err := c.once(ctx, call)
		var api *awsconf.APIError
		if err == nil || n == c.times || !errors.As(err, &api) || !api.Throttled() {
			return err
		}
		c.place.pause(backoff(c.finder.cfg.Backoff, n))
	}
}

func (c *client) once(ctx context.Context, call func(context.Context, ...func(*eks.Options)) error) error {
	// The place's slot first: who waits there must not keep others from theirs.
	if err := take(ctx, c.place.slots); err != nil {
		return err
	}
	defer give(c.place.slots)
	if err := c.place.wait(ctx); err != nil {
		return err
	}
	if err := take(ctx, c.finder.slots); err != nil {
		return err
	}
	defer give(c.finder.slots)
	return c.session.Explain(call(ctx, c.retry...))
}

// backoff doubles from time to time, half of it by chance, or all would come back
// at once.
func backoff(first time.Duration, n int) time.Duration {
	d := longestBackoff
	if n < 16 {
		d = min(first<<(n-1), longestBackoff)
	}
	return d/2 + rand.N(d/2+1) // #nosec G404 -- no secret
}

func (p *place) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

// wait returns when no pause is on, which may have begun anew meanwhile.
func (p *place) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
