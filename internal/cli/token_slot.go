package cli

import (
	"context"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/token"
)

// tokenSlot is where a token for a cluster may be kept between runs. Its zero value
// keeps none.
type tokenSlot struct {
	store   *credcache.Store
	key     credcache.Key
	parent  credcache.Parent
	cluster string
}

// slotFor prepares config for a token, and says where one may be kept. Keys that
// stand in the environment sign as fast as anything could be looked up, so for
// them nothing is.
func (a *app) slotFor(config *awsconf.Config, cluster string) tokenSlot {
	if config.Static() {
		config.EnvironmentOnly, config.Store = true, nil
	}
	if config.Store == nil {
		return tokenSlot{}
	}
	parent, ok := credcache.ParentProcess()
	if !ok {
		// It could not be told if it comes back because the token was refused.
		a.log.Debug("nothing is kept", "reason", "the parent process is not known")
		config.Store = nil
		return tokenSlot{}
	}
	fingerprint, err := awsconf.NewFingerprint(*config)
	if err != nil {
		a.log.Debug("nothing is kept", "reason", err)
		config.Store = nil
		return tokenSlot{}
	}
	config.Fingerprint = fingerprint
	return tokenSlot{store: config.Store, key: fingerprint.TokenKey(cluster), parent: parent, cluster: cluster}
}

// get is the token that is kept, if there is one that may be handed out again.
func (k tokenSlot) get() (credcache.Token, bool) {
	if k.store == nil {
		return credcache.Token{}, false
	}
	return k.store.Token(k.key, k.parent)
}

// expect says that there will be a token, so that others of the same parent that
// begin meanwhile are not taken for ones that were refused; forget says that there
// will not.
func (k tokenSlot) expect() {
	if k.store != nil {
		k.store.Expect(k.key, k.parent)
	}
}

func (k tokenSlot) forget() {
	if k.store != nil {
		k.store.Forget(k.key, k.parent)
	}
}

// put keeps a token, if those who signed it can be told again.
func (k tokenSlot) put(session *awsconf.Session, t token.Token) {
	if k.store == nil || !session.Keeps() {
		return
	}
	inputs, about, ok := session.Keep()
	if !ok {
		// The credentials may be kept, and must not be served to who comes back.
		k.store.Gave(k.key, k.parent, t.Expiry)
		return
	}
	about.Cluster = k.cluster
	k.store.PutToken(k.key, k.parent, credcache.NewToken(t.Value(), t.Expiry, t.SignedAt, t.AccessKeyID), inputs, about)
}

// tokenFor is a token for a cluster: one that is kept, or a new one.
func (a *app) tokenFor(ctx context.Context, cluster string) (credcache.Token, error) {
	config, err := a.awsConfig()
	if err != nil {
		return credcache.Token{}, err
	}
	slot := a.slotFor(&config, cluster)
	if t, ok := slot.get(); ok {
		a.log.Debug("token from the cache", "cluster", cluster, "key", t.AccessKeyID, "expires", t.Expiry)
		return t, nil
	}
	ctx = stoppable(ctx)
	session, err := a.loadConfig(ctx, config)
	if err != nil {
		return credcache.Token{}, err
	}
	if session.Keeps() {
		slot.expect()
	}
	t, err := a.mint(ctx, session, cluster)
	if err != nil {
		slot.forget()
		return credcache.Token{}, err
	}
	slot.put(session, t)
	return credcache.NewToken(t.Value(), t.Expiry, t.SignedAt, t.AccessKeyID), nil
}
