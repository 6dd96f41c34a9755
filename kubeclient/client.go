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

// Client keeps what programs need to talk to one cluster. It is safe for
// concurrent use. Close it.
type Client struct {
	cluster string
	region  string
	session *awsconf.Session
	// credentials are the ones that sign, behind a function because package fmt prints
	// what stands in a field, whatever its methods say.
	credentials func() aws.CredentialsProvider
	given       bool // the endpoint is: EKS is never asked
	now         func() time.Time
	log         *slog.Logger

	inside *rest.Config // of the cluster the program runs in; else nil

	ctx     context.Context // ends when the Client does
	end     context.CancelFunc
	running sync.WaitGroup
	keeper  *token.Keeper
	place   atomic.Pointer[place]
	asking  asking
	conns   connections
	toAWS   *awsconf.Connections

	mu    sync.Mutex
	lanes map[weak.Pointer[http.Transport]]*lane
}

// New finds a cluster, and keeps its tokens fresh until Close is called or ctx
// ends: a ctx with a timeout bounds the life of the Client, not of New. It asks
// EKS where the cluster is, unless Config says so; the first token is minted in
// the background.
//
// It fails with *ConfigError, *CredentialsError, *RoleRefusedError,
// *ClusterNotFoundError, *ClusterNotReadyError, *DescribeError, *UnreachableError
// or the context's error. Later, requests fail with these as well, and with
// *token.CredentialsExpiredError and ErrClosed.
func New(ctx context.Context, c Config) (*Client, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	k := &Client{cluster: c.Cluster, log: c.Log, lanes: map[weak.Pointer[http.Transport]]*lane{}}
	clock := c.Now
	if clock == nil {
		clock = time.Now
	}
	// The time of day, which goes on while a machine sleeps or a function is frozen.
	k.now = func() time.Time { return clock().Round(0) }
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if c.inCluster() {
		if err := k.enter(); err != nil {
			return nil, err
		}
		return k, nil
	}
	err := k.find(ctx, c)
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

// enter is New for the cluster that the program runs in.
func (k *Client) enter() error {
	conf, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return &ConfigError{Field: "cluster", Reason: "is not named, and the program runs in none"}
	}
	if err != nil {
		return &ConfigError{Field: "service account", Reason: "cannot be used: " + err.Error()}
	}
	k.inside = conf
	return nil
}

// find loads what AWS's configuration says, and finds the cluster.
func (k *Client) find(ctx context.Context, c Config) error {
	k.toAWS = awsconf.NewConnections(1)
	conf := c.aws()
	conf.Connections = k.toAWS
	session, err := awsconf.Load(ctx, conf)
	if err != nil {
		return explain(err)
	}
	k.session, k.region, k.given = session, session.Region(), c.Endpoint != ""
	k.credentials = session.Credentials
	if c.Credentials != nil && len(c.RoleARNs)+len(c.Roles) == 0 {
		// Not the session's copy of them, so that a provider that does not cache is
		// asked each time, and one that does can be told to forget.
		k.credentials = func() aws.CredentialsProvider { return c.Credentials }
	}
	k.asking.turn = make(chan struct{}, 1)
	var where *place
	if k.given {
		var source *token.Source
		if source, err = k.source(c.Cluster); err == nil {
			where, err = newPlace(c.Endpoint, bytes.Clone(c.CAData), source)
		}
	} else {
		where, err = k.describe(ctx)
	}
	if err != nil {
		return err
	}
	k.place.Store(where)
	return nil
}

// Close ends the renewals and closes all connections, those of watches too. It
// returns when nothing of the Client runs any more, but for a call that AWS's SDK
// has under way where AWS does not answer: that ends by itself, within half a minute.
// Requests fail with ErrClosed from then on. What exec and port-forward have opened
// is the caller's to close. A Client of the cluster it runs in has nothing to close.
// It is safe to call it again.
func (k *Client) Close() {
	if k.inside != nil {
		return
	}
	k.mu.Lock() // so that nothing is started any more
	k.end()
	k.mu.Unlock()
	k.running.Wait()
	k.toAWS.Close()
}

// RESTConfig is a configuration for client-go and what is built on it, the
// caller's own. It holds no secret. Timeouts, rates (client-go's own are 5 a
// second), proxies, dialers, the user agent and further wrappers may be set; what
// is in WrapTransport must stay, and goes with rest.CopyConfig. All that are made
// from it, and copies of it, share tokens, connections and Close.
//
// client-go's rest.Config.Host and CA do not change after it was made: where EKS
// later says another endpoint or CA, that is used all the same.
func (k *Client) RESTConfig() *rest.Config {
	if k.inside != nil {
		return rest.CopyConfig(k.inside)
	}
	at := k.place.Load()
	return &rest.Config{
		Host:            at.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: bytes.Clone(at.ca)},
		WrapTransport:   func(rt http.RoundTripper) http.RoundTripper { return k.wrap(at, rt) },
	}
}

// Token is a token for the cluster, for what is not made from RESTConfig. It does
// not work in the cluster that the program runs in, whose tokens are Kubernetes'
// own: ErrInCluster.
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

// laneOf gives the lane of a transport of client-go's. It goes when the transport
// does.
func (k *Client) laneOf(base *http.Transport, at *place) *lane {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := weak.Make(base)
	if l, ok := k.lanes[key]; ok {
		return l
	}
	l := newLane(base, at, &k.conns)
	k.lanes[key] = l
	// Weakly, because client-go shares base among Clients, and it may outlive this one.
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
	l := k.lanes[key]
	delete(k.lanes, key)
	k.mu.Unlock()
	l.closeIdle()
}
