package awsconf

import (
	"crypto/tls"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Connections are HTTP connections to AWS that the Sessions of one command share.
// The SDK gives each client of a service a pool of its own, and with many
// accounts and regions, TLS handshakes are most of the work. It is safe for
// concurrent use.
type Connections struct {
	atOnce int

	mu      sync.Mutex
	clients map[string]*http.Client // by the CA bundle that they trust
}

// NewConnections keeps as many idle connections as there are calls at once.
func NewConnections(atOnce int) *Connections {
	return &Connections{atOnce: atOnce, clients: map[string]*http.Client{}}
}

// of is the client for those who trust the CAs of a file, made like the first
// that is asked for.
func (c *Connections) of(caFile string, like aws.HTTPClient) aws.HTTPClient {
	b, ok := like.(*awshttp.BuildableClient)
	if !ok {
		return like
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared, ok := c.clients[caFile]; ok {
		return shared
	}
	t := b.GetTransport()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*c.atOnce, c.atOnce
	t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(c.atOnce)
	// Not the SDK's type, of which it would make a copy for each of its clients. No
	// API of AWS that is called with it leads elsewhere.
	shared := &http.Client{
		Transport: t, Timeout: b.GetTimeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.clients[caFile] = shared
	return shared
}

// Close closes the connections that are idle. Others can still be made.
func (c *Connections) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, shared := range c.clients {
		shared.CloseIdleConnections()
	}
}

// RetriesChosen reports whether the environment or a profile say how often calls
// are tried, or in which mode (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE).
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
func (s *Session) RetriesChosen() bool {
	return s.cfg.RetryMaxAttempts != 0 || s.cfg.RetryMode != ""
}
