package token

import (
	"context"
	"time"
)

// Worked reports that a server has accepted a token. A token that worked is replaced at
// once when it is refused; one that never did is replaced less and less often.
func (k *Keeper) Worked(tok Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.worked && k.token.Value() == tok.Value() {
		k.worked, k.refusals = true, 0
	}
}

// Replace returns another token after a server refused one: the one that has replaced
// it already, or one minted now, with reloaded credentials if the Minter supports that
// and has not done so within reloadEvery. It reports false if there is no other token
// now: the last tokens were refused as well; this one was minted within the same
// second, so that the identity is refused and not the token; or the Minter is in its
// back-off. It fails with the error of the Minter or of the context.
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
		return Token{}, false, err // the caller gave up; the token may still be valid
	}
	// A token that never worked is not replaced again at once, whoever minted it.
	k.refuseAt = k.now().Add(k.spread(k.refusals))
	k.refusals++
	if err != nil {
		return Token{}, false, err
	}
	// Within one second, the same keys sign the same token.
	return tok, tok.Value() != refused.Value(), nil
}

// replaced reports whether no other token is needed: there is one already, or the
// back-off lasts.
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
	// Signing times are whole seconds: the same keys would sign the same token.
	same := early(now, k.reloadAt) && now.Truncate(time.Second).Equal(k.token.SignedAt)
	return Token{}, false, same
}
