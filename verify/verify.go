package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// DefaultTimeout bounds all STS calls for one token together. It leaves
// kube-apiserver's webhook authenticator time to retry.
const DefaultTimeout = 4 * time.Second

// Config configures a Verifier: which tokens it accepts and how it connects to STS.
// Only Cluster is required.
type Config struct {
	// Cluster is the cluster name that tokens must be signed for.
	Cluster string
	// Policy configures the offline rules. The zero value accepts the hosts of every
	// partition; a server sets its Partition.
	Policy token.Policy
	// DialAddress, host:port, is dialed instead of the STS host. The Host header and
	// the TLS server name are still the URL's.
	DialAddress string
	// RootCAs are trusted for STS; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy selects an HTTP proxy for a request; nil means none. Proxy variables of the
	// environment are ignored.
	Proxy func(*http.Request) (*url.URL, error)
	// Timeout bounds all STS calls for one token together. Zero means DefaultTimeout.
	Timeout time.Duration
	// AllowRoot lets account roots pass rule V33, for callers whose mapping requires a
	// root to be named.
	AllowRoot bool
	// AllowAccounts, if not empty, are the only allowed accounts (V34).
	AllowAccounts []string
	// DenyAccounts are accounts that are always denied (V34).
	DenyAccounts []string
}

// Verifier verifies tokens of one cluster. Its only state is idle connections. It is
// safe for concurrent use.
type Verifier struct {
	cluster      string
	policy       token.Policy
	timeout      time.Duration
	allowRoot    bool
	allow, deny  map[string]bool
	header       http.Header // of each request to STS; never changed
	roundTripper http.RoundTripper
}

// ConfigError reports an invalid field of Config.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return fmt.Sprintf("verifier: %s %s", e.Field, e.Reason) }

// New returns a Verifier. It fails with *ConfigError, *token.ConfigError,
// *identity.UnknownPartitionError or *identity.UnknownRegionError.
func New(c Config) (*Verifier, error) {
	if err := token.ValidCluster(c.Cluster); err != nil {
		return nil, err
	}
	if c.DialAddress != "" && c.Proxy != nil {
		// The proxy, and its password, would be sent to that address.
		return nil, &ConfigError{Field: "Proxy", Reason: "cannot be combined with DialAddress"}
	}
	if err := checkRegions(c.Policy); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return &Verifier{
		cluster: c.Cluster, policy: c.Policy, timeout: c.Timeout, allowRoot: c.AllowRoot,
		allow: set(c.AllowAccounts), deny: set(c.DenyAccounts), roundTripper: newTransport(c),
		header: http.Header{
			"Accept":     {"application/json"},
			"User-Agent": {"ekskey"},
			http.CanonicalHeaderKey(token.ClusterHeader): {c.Cluster},
		},
	}, nil
}

// checkRegions requires configured regions and hosts to be of the verifier's partition,
// or rule V31 would check identities against another one.
func checkRegions(p token.Policy) error {
	if p.Partition == "" {
		return nil
	}
	partition, err := identity.LookupPartition(p.Partition)
	if err != nil {
		return err
	}
	regions := slices.Concat(p.Regions, p.OnlyRegions)
	for _, e := range p.ExtraHosts {
		regions = append(regions, e.Region)
	}
	for _, r := range regions {
		if !partition.HasRegion(r) {
			return &identity.UnknownRegionError{Region: r, Partition: p.Partition}
		}
	}
	return nil
}

// newTransport is an http.Transport without what a verifier must not do: no proxy from
// the environment, no compression, no HTTP/2 upgrade, no cookies and, because it is
// used without an http.Client, no redirects.
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: c.Timeout, KeepAlive: 30 * time.Second}
	dial := dialer.DialContext
	if c.DialAddress != "" {
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, c.DialAddress)
		}
	}
	return &http.Transport{
		Proxy:                  c.Proxy,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.Timeout,
		DisableCompression:     true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        50 * time.Second,
		MaxResponseHeaderBytes: maxReply,
	}
}

// Verify runs Check, Ask and Allow. It returns the identity that signed the token, or
// fails with *token.RuleError, *DeniedError or *UnavailableError and the zero value.
func (v *Verifier) Verify(ctx context.Context, raw string) (identity.Identity, error) {
	parsed, err := v.Check(raw)
	if err != nil {
		return identity.Identity{}, err
	}
	id, err := v.Ask(ctx, parsed)
	if err != nil {
		return identity.Identity{}, err
	}
	if err := v.Allow(id); err != nil {
		return identity.Identity{}, err
	}
	return id, nil
}

// Check checks a token against the offline rules, V01 to V22. It fails with
// *token.RuleError.
func (v *Verifier) Check(raw string) (*token.Parsed, error) { return v.policy.Check(raw) }

// Ask sends a checked token to STS and parses the response, V23 and V30 to V32. If STS
// cannot be reached, it retries once within the timeout. The result is valid for as
// long as the token is; account rules (Allow) must be evaluated each time. A token that
// Check would refuse, because it was parsed with another policy or has aged since, is
// refused here too.
func (v *Verifier) Ask(ctx context.Context, p *token.Parsed) (identity.Identity, error) {
	if err := v.policy.Recheck(p); err != nil {
		return identity.Identity{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	id, err := v.askOnce(ctx, p)
	var unavailable *UnavailableError
	if errors.As(err, &unavailable) && worthRetrying(unavailable) {
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
			id, err = v.askOnce(ctx, p)
		}
	}
	if err != nil {
		return identity.Identity{}, err
	}
	id.AccessKeyID = strings.Clone(p.AccessKeyID) // not a part of the token's memory
	return id, nil
}

const retryPause = 100 * time.Millisecond

// worthRetrying is true for no response and for a server error. Any other error, and an
// unknown host, would be the same again.
func worthRetrying(e *UnavailableError) bool {
	var dns *net.DNSError
	if e.Throttled || errors.As(e.Err, &dns) && dns.IsNotFound {
		return false
	}
	return e.Status == 0 || e.Status >= 500
}

// Allow checks an identity against the account rules, V33 and V34. It fails with
// *token.RuleError.
func (v *Verifier) Allow(id identity.Identity) error {
	switch {
	case id.Principal.Kind == identity.KindRoot && !v.allowRoot:
		return &token.RuleError{Code: "V33", Reason: "the account root is refused"}
	case v.deny[id.AccountID]:
		return &token.RuleError{Code: "V34", Reason: "account " + id.AccountID + " is on the deny list"}
	case len(v.allow) > 0 && !v.allow[id.AccountID]:
		return &token.RuleError{Code: "V34", Reason: "account " + id.AccountID + " is not on the allow list"}
	}
	return nil
}

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}
