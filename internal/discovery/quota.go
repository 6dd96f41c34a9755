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
	"github.com/ekskey/ekskey/internal/awserr"
)

// The number of attempts of a throttled call, and the longest wait between two.
const (
	throttledAttempts = 9
	longestBackoff    = 8 * time.Second
)

// quotaKey names the scope of EKS's quotas: a region of an account, or of a session
// whose account is unknown.
type quotaKey struct {
	account string
	session *awsconf.Session
	region  string
}

// quota is the state of a region of an account.
type quota struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time // no call starts before
}

// clientKey identifies a session, account and region.
type clientKey struct {
	session *awsconf.Session
	region  string
}

// client makes the calls of one session in one region.
type client struct {
	finder  *Finder
	quota   *quota
	session *awsconf.Session
	eks     *eks.Client
	retry   []func(*eks.Options)
	times   int
}

// client returns the client of a session, whose account may be unknown, in a region. It
// respects the user's retry settings. Otherwise throttling is not left to the SDK, for
// which each call is independent: here a throttled call makes all calls of its region
// wait.
func (f *Finder) client(session *awsconf.Session, account, region string) *client {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := clientKey{session, region}
	if c, ok := f.clients[key]; ok {
		return c
	}
	c := &client{finder: f, quota: f.quota(session, account, region), session: session, eks: session.EKS(region), times: 1}
	if !session.RetriesChosen() {
		c.times = throttledAttempts
		c.retry = []func(*eks.Options){func(o *eks.Options) { o.Retryer = notThrottled() }}
	}
	f.clients[key] = c
	return c
}

// quota returns the state of a region of an account; f.mu is held.
func (f *Finder) quota(session *awsconf.Session, account, region string) *quota {
	key := quotaKey{account: account, region: region}
	if account == "" {
		key.session = session
	}
	p, ok := f.quotas[key]
	if !ok {
		p = &quota{slots: make(chan struct{}, f.cfg.PerRegion)}
		f.quotas[key] = p
	}
	return p
}

// notThrottled retries as the SDK does, except for throttling.
func notThrottled() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			var api smithy.APIError
			if errors.As(err, &api) && (&awserr.APIError{Code: api.ErrorCode()}).Throttled() {
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
		var api *awserr.APIError
		if err == nil || n == c.times || !errors.As(err, &api) || !api.Throttled() {
			return err
		}
		c.quota.pause(backoff(c.finder.cfg.Backoff, n))
	}
}

func (c *client) once(ctx context.Context, call func(context.Context, ...func(*eks.Options)) error) error {
	// The region's slot first: a call that waits there must not hold up other regions.
	if err := take(ctx, c.quota.slots); err != nil {
		return err
	}
	defer give(c.quota.slots)
	if err := c.quota.wait(ctx); err != nil {
		return err
	}
	if err := take(ctx, c.finder.slots); err != nil {
		return err
	}
	defer give(c.finder.slots)
	return c.session.Explain(call(ctx, c.retry...))
}

// backoff doubles each time, half of it random, or all calls would retry at once.
func backoff(first time.Duration, n int) time.Duration {
	d := longestBackoff
	if n < 16 {
		d = min(first<<(n-1), longestBackoff)
	}
	return d/2 + rand.N(d/2+1) // #nosec G404 -- no secret
}

func (p *quota) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

// wait returns when no pause is active; another may have started meanwhile.
func (p *quota) wait(ctx context.Context) error {
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
