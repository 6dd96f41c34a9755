package kubeclient

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/rest"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/token"
)

// Client holds the tokens and connections for one cluster. It is safe for concurrent
// use. Close it.
type Client struct {
	cluster string
	region  string
	session *awsconf.Session
	// credentials are the signing credentials, behind a function because package fmt
	// prints the content of unexported fields.
	credentials   func() aws.CredentialsProvider
	fixedEndpoint bool // EKS is never called
	now           func() time.Time
	log           *slog.Logger

	inside *rest.Config // of the cluster that the program runs in; else nil

	ctx         context.Context // ends with Close
	end         context.CancelFunc
	running     sync.WaitGroup
	keeper      *token.Keeper
	endpoint    atomic.Pointer[clusterEndpoint]
	rediscovery rediscovery
	conns       connections
	toAWS       *awsconf.Connections

	mu    sync.Mutex
	pools map[weak.Pointer[http.Transport]]*pooledTransport
}

// New finds a cluster, and renews its tokens until Close is called or ctx ends: a ctx
// with a timeout bounds the lifetime of the Client, not only of New. It calls EKS for
// the endpoint, unless Config has it; the first token is minted in the background.
//
// It fails with *ConfigError, *CredentialsError, *RoleRefusedError,
// *ClusterNotFoundError, *ClusterNotReadyError, *DescribeError, *UnreachableError or
// the context's error. Later, requests fail with these as well, and with
// *token.CredentialsExpiredError and ErrClosed.
func New(ctx context.Context, c Config) (*Client, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	k := &Client{cluster: c.Cluster, log: c.Log, pools: map[weak.Pointer[http.Transport]]*pooledTransport{}}
	clock := c.Now
	if clock == nil {
		clock = time.Now
	}
	// Round(0) drops the monotonic clock, which stands still while a machine sleeps or
	// a function is frozen.
	k.now = func() time.Time { return clock().Round(0) }
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if c.inCluster() {
		if err := k.useServiceAccount(); err != nil {
			return nil, err
		}
		return k, nil
	}
	err := k.discover(ctx, c)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		k.toAWS.Close()
		return nil, err
	}
	k.ctx, k.end = context.WithCancel(ctx)
	k.conns.life = k.ctx
	keeper, err := token.NewKeeper(token.KeeperConfig{Minter: minter{k}, MaxAge: c.TokenMaxAge, Now: c.Now})
	if err != nil {
		k.end()
		k.toAWS.Close()
		return nil, err
	}
	k.keeper = keeper
	k.running.Go(func() {
		k.keeper.Run(k.ctx, func(err error) { k.log.Warn("renewing the token failed", "cluster", k.cluster, "error", err) })
		k.conns.close()
		k.toAWS.Close()
	})
	return k, nil
}

// useServiceAccount is New for the cluster that the program runs in.
func (k *Client) useServiceAccount() error {
	conf, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return &ConfigError{Field: "Cluster", Reason: "is required outside of a cluster"}
	}
	if err != nil {
		return &ConfigError{Field: "service account", Reason: "is not usable: " + err.Error()}
	}
	k.inside = conf
	return nil
}

// discover loads the AWS configuration and finds the cluster.
func (k *Client) discover(ctx context.Context, c Config) error {
	k.toAWS = awsconf.NewConnections(1)
	conf := c.aws()
	conf.Connections = k.toAWS
	session, err := awsconf.Load(ctx, conf)
	if err != nil {
		return explain(err)
	}
	k.session, k.region, k.fixedEndpoint = session, session.Region(), c.Endpoint != ""
	k.credentials = session.Credentials
	if c.Credentials != nil && len(c.RoleARNs)+len(c.Roles) == 0 {
		// Use the provider itself and not the session's cached copy, so that a provider
		// without a cache is called each time, and one with a cache can be invalidated.
		k.credentials = func() aws.CredentialsProvider { return c.Credentials }
	}
	k.rediscovery.turn = make(chan struct{}, 1)
	var found *clusterEndpoint
	if k.fixedEndpoint {
		var source *token.Source
		if source, err = k.source(c.Cluster); err == nil {
			found, err = newClusterEndpoint(c.Endpoint, bytes.Clone(c.CAData), source)
		}
	} else {
		found, err = k.describe(ctx)
	}
	if err != nil {
		return err
	}
	k.endpoint.Store(found)
	return nil
}

// Close stops the renewals and closes all connections, including those of watches. It
// returns when nothing of the Client is running, except for a pending call of the AWS
// SDK, which ends by itself within half a minute. After Close, requests fail with
// ErrClosed. The caller closes exec and port-forward sessions. A Client for the cluster
// that it runs in has nothing to close. Close may be called again.
func (k *Client) Close() {
	if k.inside != nil {
		return
	}
	k.mu.Lock() // so that nothing starts after it
	k.end()
	k.mu.Unlock()
	k.running.Wait()
	k.toAWS.Close()
}

// RESTConfig returns a configuration for client-go and libraries based on it. The
// caller owns it. It contains no secret. Timeouts, rate limits (client-go's default is
// 5 requests per second), proxies, dialers, the user agent and further wrappers may be
// set; the WrapTransport must stay, and rest.CopyConfig keeps it. All clients made from
// it and from its copies share tokens, connections and Close.
//
// client-go reads Host and CA only once: if EKS later reports another endpoint or CA,
// the Client uses it all the same.
func (k *Client) RESTConfig() *rest.Config {
	if k.inside != nil {
		return rest.CopyConfig(k.inside)
	}
	at := k.endpoint.Load()
	return &rest.Config{
		Host:            at.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: bytes.Clone(at.ca)},
		WrapTransport:   func(rt http.RoundTripper) http.RoundTripper { return k.wrap(at, rt) },
	}
}

// Token returns a token for the cluster, for programs that do not use RESTConfig. In
// the cluster that the program runs in, whose tokens are Kubernetes' own, it fails with
// ErrInCluster.
func (k *Client) Token(ctx context.Context) (token.Token, error) {
	if k.inside != nil {
		return token.Token{}, ErrInCluster
	}
	if k.ctx.Err() != nil {
		return token.Token{}, ErrClosed
	}
	tok, err := k.keeper.Token(ctx)
	if err != nil && k.ctx.Err() != nil {
		return token.Token{}, ErrClosed
	}
	return tok, err
}

// start runs what Close waits for. It fails with ErrClosed.
func (k *Client) start(run func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return ErrClosed
	}
	k.running.Go(run)
	return nil
}

// pooledTransportOf returns the pooledTransport of a transport of client-go's. It is
// removed with that transport.
func (k *Client) pooledTransportOf(base *http.Transport, at *clusterEndpoint) *pooledTransport {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := weak.Make(base)
	if l, ok := k.pools[key]; ok {
		return l
	}
	l := newPooledTransport(base, at, &k.conns)
	k.pools[key] = l
	// A weak pointer, because client-go shares base among Clients, and base may outlive
	// this one.
	client := weak.Make(k)
	runtime.AddCleanup(base, func(key weak.Pointer[http.Transport]) {
		if k := client.Value(); k != nil {
			k.drop(key)
		}
	}, key)
	return l
}

func (k *Client) drop(key weak.Pointer[http.Transport]) {
	k.mu.Lock()
	l := k.pools[key]
	delete(k.pools, key)
	k.mu.Unlock()
	l.closeIdle()
}
