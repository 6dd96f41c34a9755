package token

import (
	"context"
	"time"
)

// maxSleep bounds each wait of Run, because timers stand still while a machine
// sleeps, and the ends of tokens do not.
const maxSleep = 15 * time.Second

// KeeperState is what a Keeper has, for those who report it.
type KeeperState struct {
	// Token is the last one; zero if there never was one.
	Token Token
	// Expiry is when Token is no longer handed out; zero without one.
	Expiry time.Time
	// Err is why the last renewal failed; nil if it did not.
	Err error
	// Minted counts the tokens there were, the last included.
	Minted int
}

// State tells what there is now. It mints nothing.
func (k *Keeper) State() KeeperState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeeperState{Token: k.token, Expiry: k.end, Err: k.failed, Minted: k.minted}
}

// Changed gives a channel that is closed when the Minter has next answered, with a
// token or a failure. Take it before State to miss nothing.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Run renews in time, until ctx ends. While one runs, callers of Token do not have
// to, as long as there is a good token. Failures are told to report, which may be
// nil; after one, Run waits a while, longer each time, at most a minute.
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

// untilDue is how long Run has nothing to do.
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
