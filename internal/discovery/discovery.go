// Package discovery lists and describes EKS clusters in many accounts and regions
// concurrently.
//
// A failure with one account, region or cluster is part of the result and stops nothing
// else; only the end of the context stops everything, at once. Responses are checked
// against requests, because a false endpoint could otherwise name another cluster.
package discovery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
)

// AtOnce is the number of concurrent calls, and so of connections worth keeping (see
// [awsconf.NewConnections]). AtOncePerRegion is the number of concurrent calls to one
// region of one account, which has a quota of its own in EKS.
const (
	AtOnce          = 64
	AtOncePerRegion = 8
)

// Config configures a Finder. The zero value works.
type Config struct {
	// AtOnce and PerRegion bound the concurrent calls, in all and to one region of one
	// account. Zero means the constants of this package.
	AtOnce, PerRegion int
	// Backoff is the first wait after EKS has throttled a call; it doubles each time.
	// Zero means half a second.
	Backoff time.Duration
	// Tags are the keys of the tags that are kept of described clusters. Nil keeps
	// none.
	Tags []string
	// Progress, if set, is called after each step, never twice at a time.
	Progress func(Progress)
}

// Progress is the progress of a Finder.
type Progress struct {
	Listed, Listings    int // regions of a source: done and total
	Described, Clusters int // clusters: done and total
}

// Finder calls EKS. Its limits apply to all its calls together. It is safe for
// concurrent use.
type Finder struct {
	cfg   Config
	slots chan struct{}

	mu      sync.Mutex
	callers map[*awsconf.Session]func() (Caller, error)
	clients map[clientKey]*client
	quotas  map[quotaKey]*quota

	progress   sync.Mutex
	progressed Progress
}

// New returns a Finder.
func New(cfg Config) *Finder {
	if cfg.AtOnce <= 0 {
		cfg.AtOnce = AtOnce
	}
	if cfg.PerRegion <= 0 {
		cfg.PerRegion = AtOncePerRegion
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 500 * time.Millisecond
	}
	return &Finder{
		cfg: cfg, slots: make(chan struct{}, cfg.AtOnce),
		callers: map[*awsconf.Session]func() (Caller, error){}, clients: map[clientKey]*client{}, quotas: map[quotaKey]*quota{},
	}
}

// Caller is the identity of a session's credentials, as STS reports it.
type Caller struct {
	ARN     string // of the principal or of its session
	Account string // twelve digits
}

// Caller calls STS for the identity of a session's credentials, once a session.
func (f *Finder) Caller(ctx context.Context, session *awsconf.Session) (Caller, error) {
	f.mu.Lock()
	ask, ok := f.callers[session]
	if !ok {
		ask = sync.OnceValues(func() (Caller, error) { return f.askCaller(ctx, session) })
		f.callers[session] = ask
	}
	f.mu.Unlock()
	return ask()
}

// Account is the account of Caller.
func (f *Finder) Account(ctx context.Context, session *awsconf.Session) (string, error) {
	caller, err := f.Caller(ctx, session)
	return caller.Account, err
}

func (f *Finder) askCaller(ctx context.Context, session *awsconf.Session) (Caller, error) {
	if err := take(ctx, f.slots); err != nil {
		return Caller{}, err
	}
	defer give(f.slots)
	out, err := session.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Caller{}, session.Explain(err)
	}
	caller := Caller{ARN: aws.ToString(out.Arn), Account: aws.ToString(out.Account)}
	if !identity.IsAccountID(caller.Account) {
		return Caller{}, fmt.Errorf("calling STS GetCallerIdentity: %q in the response is not an account", caller.Account)
	}
	return caller, nil
}

// step reports the progress.
func (f *Finder) step(change func(*Progress)) {
	f.progress.Lock()
	defer f.progress.Unlock()
	change(&f.progressed)
	if f.cfg.Progress != nil {
		f.cfg.Progress(f.progressed)
	}
}

// done is step for a completed call, and not for one that the end of the context has
// cancelled.
// context has broken off.
func (f *Finder) done(ctx context.Context, change func(*Progress)) {
	if ctx.Err() == nil {
		f.step(change)
	}
}

// take waits for a slot.
func take(ctx context.Context, slots chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func give(slots chan struct{}) { <-slots }
