package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/token"
)

// lasting is a token.Minter for one cluster for as long as the process runs. The AWS
// configuration is loaded once, and reloaded when its files or those of a login have
// changed, when the cluster refused a token and after each failure: after another
// login the process need not be restarted.
type lasting struct {
	app    *app
	log    *slog.Logger
	config awsconf.Config
	shared *lastingShare

	mu          sync.Mutex // guards what follows
	cluster     string     // that tokens are for
	session     *awsconf.Session
	fingerprint credcache.Key
	logins      credcache.Key
	stale       bool // something newer than what was got before is to sign, if there is any
	// good is the last session that minted, if it was of the same configuration and
	// logins.
	good *awsconf.Session
}

// atOnce is how many tokens are made at a time: a hundred connections to AWS at a
// start would cost the memory of them all.
const atOnce = 4

// slotPatience is more than getting credentials takes where all is well. A program or a
// service that hangs holds up the other clusters for no longer.
const slotPatience = 3 * time.Second

// lastingShare is what all of a process have in common.
type lastingShare struct {
	// loading is held while configuration is loaded: what it is loaded with is the
	// process's own.
	loading sync.Mutex
	slots   chan struct{}
	// patience is how long one counts among those that are made at a time.
	patience time.Duration
}

func newLastingShare() *lastingShare {
	return &lastingShare{slots: make(chan struct{}, atOnce), patience: slotPatience}
}

// setCluster names another cluster for tokens, where EKS says that it goes by
// another name.
func (l *lasting) setCluster(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cluster = name
}

func (a *app) newLasting(cluster string, config awsconf.Config, shared *lastingShare) *lasting {
	return &lasting{app: a, log: a.log.With("cluster", cluster), cluster: cluster, config: config, shared: shared}
}

// check loads the configuration, and asks for no credentials.
func (l *lasting) check(ctx context.Context) error {
	session, err := l.load(ctx)
	if err != nil {
		return err
	}
	_, err = l.app.source(session.Signer(), l.cluster)
	return err
}

// Invalidate reloads the configuration and credentials for the next token.
func (l *lasting) Invalidate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = true
}

// Token makes one.
func (l *lasting) Token(ctx context.Context) (token.Token, error) {
	tok, err := l.mint(ctx)
	switch {
	case err == nil:
		l.log.Debug("token renewed", "key", tok.AccessKeyID, "expires", tok.Expiry.UTC())
	case errors.Is(ctx.Err(), context.Canceled): // who asked has gone, or the process ends
	default:
		log := l.log.With("reason", err)
		if hint := hintFor(err); hint != "" {
			log = log.With("hint", hint)
		}
		log.Warn("token not renewed")
		l.Invalidate()
	}
	return tok, err
}

func (l *lasting) mint(ctx context.Context) (token.Token, error) {
	select {
	case l.shared.slots <- struct{}{}:
		give := sync.OnceFunc(func() { <-l.shared.slots })
		defer give()
		defer time.AfterFunc(l.shared.patience, give).Stop()
	case <-ctx.Done():
		return token.Token{}, ctx.Err()
	}
	session, err := l.load(ctx)
	if err != nil {
		return token.Token{}, err
	}
	l.mu.Lock()
	cluster, before := l.cluster, l.good
	l.mu.Unlock()
	tok, err := l.app.mint(ctx, session.Signer(), cluster)
	if err == nil {
		before = session
	} else if before != nil && before != session {
		// AWS may be away. What was refused may have been one path alone, and what was got
		// before may be good for hours.
		if old, no := l.app.mint(ctx, before.Signer(), cluster); no == nil {
			l.log.Warn("signed with the credentials of before", "reason", err)
			l.Invalidate()
			return old, nil
		}
		before = nil
	}
	l.mu.Lock()
	if l.session == session { // else another goroutine has reloaded it
		l.good = before
	}
	l.mu.Unlock()
	return tok, err
}

// load gives the session.
func (l *lasting) load(ctx context.Context) (*awsconf.Session, error) {
	l.shared.loading.Lock()
	defer l.shared.loading.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	config := l.config
	var key credcache.Key
	// If the inputs of the configuration are unknown, it is reloaded.
	changed := true
	if fingerprint, err := awsconf.NewFingerprint(config); err == nil {
		key = fingerprint.Key()
		changed = key != l.fingerprint
	}
	if l.session != nil && !changed {
		logins, err := l.session.Logins(l.app.env.Getenv)
		changed = err != nil || logins != l.logins
	}
	switch {
	case l.session == nil || changed:
		l.good = nil
	case !l.stale:
		return l.session, nil
	}
	if l.stale && config.Store != nil {
		var err error
		if config.Store, err = l.app.storeFromNow(); err != nil {
			return nil, err
		}
	}
	session, err := l.app.loadConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	// If they are unknown, everything is reloaded each time.
	l.logins, _ = session.Logins(l.app.env.Getenv)
	l.app.log.Debug("AWS configuration loaded", "credentials", session.Source(), "reloaded", l.stale)
	l.session, l.fingerprint, l.stale = session, key, false
	return session, nil
}

// storeFromNow is a store that serves nothing that was cached before now.
func (a *app) storeFromNow() (*credcache.Store, error) {
	storage, err := a.cacheStorage()
	if err != nil {
		return nil, err
	}
	dir, err := credcache.DefaultDir(a.env.Getenv)
	if err != nil {
		return nil, nil // there is none to keep anything in
	}
	return credcache.New(credcache.Config{
		Dir: dir, Storage: storage, Now: a.env.Now, Log: a.log, Waiting: a.tellWaiting, Refresh: true,
	}), nil
}
