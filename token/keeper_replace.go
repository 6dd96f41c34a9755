package token

import (
	"context"
	"time"
)

// Worked tells that a server has taken a token. A token that worked is replaced at
// once when it is refused; one that never did less and less often.
func (k *Keeper) Worked(tok Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.worked && k.token.Value() == tok.Value() {
		k.worked, k.refusals = true, 0
	}
}

// Replace gives a token in place of one that a server refused: the one that has
// replaced it already, or one minted now, with credentials got anew where the
// Minter can and it was not done in the last half minute. It reports false if there
// is none to be had now because the last tokens were refused as well, or because
// this one was minted within the same second, when it is the caller who is refused and
// not the token; or because the Minter failed a moment ago. It fails with what the Minter failed with, or with the
// context's error.
func (k *Keeper) Replace(ctx context.Context, refused Token) (tok Token, ok bool, err error) {
	if tok, ok, done := k.replaced(refused); done {
		return tok, ok, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return Token{}, false, context.Cause(ctx)
	}
	if tok, ok, done := k.replaced(refused); done {
		return tok, ok, nil
	}
	k.mu.Lock()
	if k.worked {
		k.refusals = 0
	}
	now := k.now()
	reload := !early(now, k.reloadAt)
	if reload {
		k.reloadAt = now.Add(reloadEvery)
	}
	k.mu.Unlock()
	if i, can := k.minter.(interface{ Invalidate() }); can && reload {
		i.Invalidate()
	}
	tok, err = k.mint(ctx, mintTimeout)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return Token{}, false, err // the caller went away, and the token may be no worse
	}
	// Whoever minted it, a token that never worked is not replaced again at once.
	k.refuseAt = k.now().Add(k.spread(k.refusals))
	k.refusals++
	if err != nil {
		return Token{}, false, err
	}
	// Within one second, the same keys sign the same token.
	return tok, tok.Value() != refused.Value(), nil
}

// replaced reports whether there is no call for another token: there is one
// already, or it is too early after others.
func (k *Keeper) replaced(refused Token) (tok Token, ok, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.token.Value() != refused.Value() {
		good := k.good(now)
		return k.token, good, good
	}
	if k.failures > 0 && early(now, k.retryAt) || !k.worked && k.refusals > 0 && early(now, k.refuseAt) {
		return Token{}, false, true
	}
	// A signature counts whole seconds: the same keys would give the same token.
	same := early(now, k.reloadAt) && now.Truncate(time.Second).Equal(k.token.SignedAt)
	return Token{}, false, same
}
