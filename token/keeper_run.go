package token

import (
	"context"
	"time"
)

// maxSleep bounds each wait of Run, because timers stand still while a machine sleeps
// and tokens expire.
const maxSleep = 15 * time.Second

// KeeperState is the state of a Keeper, for reports.
type KeeperState struct {
	// Token is the last token; zero if there was none.
	Token Token
	// Expiry is when Token is no longer used; zero without one.
	Expiry time.Time
	// Err is the error of the last renewal; nil if it succeeded.
	Err error
	// Minted counts the tokens so far, including the last.
	Minted int
}

// State returns the current state. It mints nothing.
func (k *Keeper) State() KeeperState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeeperState{Token: k.token, Expiry: k.end, Err: k.failed, Minted: k.minted}
}

// Changed returns a channel that is closed when the Minter has returned next, with a
// token or an error. Call it before State to miss nothing.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Run renews the token in time until ctx ends. While it runs, callers of Token need not
// renew, as long as there is a valid token. Failures are passed to report, which may be
// nil; after one, Run backs off, to one minute at most.
func (k *Keeper) Run(ctx context.Context, report func(error)) {
	k.mu.Lock()
	k.running++
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.running--
		k.mu.Unlock()
	}()
	for ctx.Err() == nil {
		changed := k.Changed()
		wait := k.untilDue()
		if wait <= 0 {
			if err := k.renewIfDue(ctx); err != nil && ctx.Err() == nil && report != nil {
				report(err)
			}
			continue
		}
		timer := time.NewTimer(min(wait, maxSleep))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// untilDue is how long Run can sleep.
func (k *Keeper) untilDue() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	var wait time.Duration
	if !k.isDue(now) {
		wait = k.renewAt.Sub(now)
	}
	if k.failures > 0 && early(now, k.retryAt) {
		wait = max(wait, k.retryAt.Sub(now))
	}
	return wait
}

func (k *Keeper) renewIfDue(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil
	}
	if k.untilDue() > 0 {
		return nil
	}
	_, err := k.mint(ctx, mintTimeout)
	return err
}
