package awsconf

import (
	"crypto/tls"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Connections are HTTP connections to AWS that the Sessions of one command share.
// The SDK gives each client of a service a pool of its own, and with many
// accounts and regions, TLS handshakes are most of the work. It is safe for
// concurrent use.
type Connections struct {
	atOnce int

	mu      sync.Mutex
	clients map[string]*pooledClient // by the CA bundle that they trust
}

// NewConnections keeps as many idle connections as there are calls at once.
func NewConnections(atOnce int) *Connections {
	return &Connections{atOnce: atOnce, clients: map[string]*pooledClient{}}
}

// of is the client for those who trust the CAs of a file, made like the first
// that is asked for.
func (c *Connections) of(caFile string, like aws.HTTPClient) aws.HTTPClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.clients[caFile]
	if shared == nil {
		shared = &pooledClient{atOnce: c.atOnce, like: like}
		c.clients[caFile] = shared
	}
	return shared
}

// pooledClient is a client with one pool of connections for all who use it. It is made
// at the first request.
type pooledClient struct {
	atOnce int
	like   aws.HTTPClient

	once   sync.Once
	client *http.Client
	err    error
}

// Do sends a request.
func (p *pooledClient) Do(r *http.Request) (*http.Response, error) {
	p.once.Do(func() {
		b, ok := p.like.(*awshttp.BuildableClient)
		if bundle, is := p.like.(*bundleClient); is {
			p.err, b, ok = bundle.load(), bundle.client, true
		}
		if !ok || p.err != nil {
			return
		}
		t := b.GetTransport()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*p.atOnce, p.atOnce
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(p.atOnce)
		// Not the SDK's type, of which it would make a copy for each of its clients. No
		// API of AWS that is called with it leads elsewhere.
		p.client = &http.Client{
			Transport: t, Timeout: b.GetTimeout(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	switch {
	case p.err != nil:
		return nil, &smithy.CanceledError{Err: p.err}
	case p.client == nil:
		return p.like.Do(r)
	}
	return p.client.Do(r)
}

// Close closes the connections that are idle. Others can still be made.
func (c *Connections) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, shared := range c.clients {
		if shared.client != nil {
			shared.client.CloseIdleConnections()
		}
	}
}

// RetriesChosen reports whether the environment or a profile say how often calls
// are tried, or in which mode (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE).
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
func (s *Session) RetriesChosen() bool {
	return s.cfg.RetryMaxAttempts != 0 || s.cfg.RetryMode != ""
}
