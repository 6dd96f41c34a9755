// Package discovery finds EKS clusters in many accounts and regions side by side:
// which there are, and what EKS says of each.
//
// Whatever fails with one account, region or cluster is part of the result and
// stops nothing else; only the end of the context does, and that at once. What
// comes back is held against what was asked, because an endpoint that is not
// AWS's could else name another cluster and have it talked to.
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

// AtOnce is how many calls are under way at one time, in all, and so how many
// connections are worth keeping (see [awsconf.NewConnections]). AtOnceInPlace is
// how many of them go to one region of one account, for which EKS counts.
const (
	AtOnce        = 64
	AtOnceInPlace = 8
)

// Config is what a Finder needs. The zero value works.
type Config struct {
	// AtOnce and InPlace bound the calls under way at one time, in all and to one
	// region of one account. Zero means the constants of this package.
	AtOnce, InPlace int
	// Backoff is the first wait after EKS has said that there were too many calls;
	// each further one is twice as long. Zero means half a second.
	Backoff time.Duration
	// Tags are the keys of the tags that are kept of described clusters. Nil keeps
	// none.
	Tags []string
	// Progress, if set, is called after each step, never twice at a time.
	Progress func(Progress)
}

// Progress is how far a Finder is.
type Progress struct {
	Listed, Listings    int // regions of a source: done, and all
	Described, Clusters int // clusters: done, and all that were asked for
}

// Finder asks EKS. Its limits hold for all its calls together. It is safe for
// concurrent use.
type Finder struct {
	cfg   Config
	slots chan struct{}

	mu      sync.Mutex
	callers map[*awsconf.Session]func() (Caller, error)
	clients map[clientKey]*client
	places  map[placeKey]*place

	progress   sync.Mutex
	progressed Progress
}

// New returns a Finder.
func New(cfg Config) *Finder {
	if cfg.AtOnce <= 0 {
		cfg.AtOnce = AtOnce
	}
	if cfg.InPlace <= 0 {
		cfg.InPlace = AtOnceInPlace
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 500 * time.Millisecond
	}
	return &Finder{
		cfg: cfg, slots: make(chan struct{}, cfg.AtOnce),
		callers: map[*awsconf.Session]func() (Caller, error){}, clients: map[clientKey]*client{}, places: map[placeKey]*place{},
	}
}

// Caller is whose credentials a session has, by STS's word.
type Caller struct {
	ARN     string // of the principal or of its session
	Account string // twelve digits
}

// Caller asks STS whose credentials a session has, once a session.
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
		return Caller{}, fmt.Errorf("calling STS GetCallerIdentity: the answer's account %q is not one", caller.Account)
	}
	return caller, nil
}

// step tells how far it is.
func (f *Finder) step(change func(*Progress)) {
	f.progress.Lock()
	defer f.progress.Unlock()
	change(&f.progressed)
	if f.cfg.Progress != nil {
		f.cfg.Progress(f.progressed)
	}
}

// done is step for what has come to its end, and not for what the end of the
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
