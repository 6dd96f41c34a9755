package kubeclient

import (
	"crypto/x509"
	"log/slog"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/token"
)

// Config selects the cluster and the credentials. The zero value is the cluster that
// the program runs in, with the service account of its pod; it is used only if neither
// Cluster nor Endpoint is set. The environment and AWS's configuration files replace
// empty fields, by the rules of the AWS SDK for Go.
type Config struct {
	// Cluster is the name of the EKS cluster. For a local cluster on Outposts with a
	// set Endpoint, it is the cluster's ID.
	Cluster string
	// Region is the cluster's region.
	Region string
	// Profile is the name of a profile in AWS's configuration files.
	Profile string
	// Credentials are the first credentials, such as token.StaticKeys or the
	// Credentials of an aws.Config. Nil means those of the environment or the profile.
	// A provider without a cache is called for each token.
	Credentials aws.CredentialsProvider
	// RoleARNs is a role chain: each role is assumed with the credentials of the one
	// before. The last one signs tokens and calls EKS.
	RoleARNs []string
	// Roles is RoleARNs for roles with more options. Only one of the two may be set.
	Roles []Role
	// Endpoint is the API server's URL, https://host[:port]. It requires CAData; with
	// both, EKS is never called.
	Endpoint string
	// CAData are the PEM certificates of the CAs for the API server's certificate.
	CAData []byte
	// TokenMaxAge is the age up to which tokens are used, for clusters that accept only
	// younger tokens than EKS. Zero means 14 minutes.
	TokenMaxAge time.Duration
	// Log receives background events: failures as warnings, a new endpoint or CA as
	// information. Nil means no log.
	Log *slog.Logger
	// Now is the clock for signing and for expiry; nil means time.Now.
	Now func() time.Time
}

// Role is one hop of a role chain.
type Role struct {
	ARN string
	// ExternalID is required by some trust policies. Empty sends none.
	ExternalID string
	// SessionName names the session; empty means AWS_ROLE_SESSION_NAME, else "ekskey".
	SessionName string
}

// inCluster reports whether the Config is for the cluster the program runs in.
func (c *Config) inCluster() bool { return c.Cluster == "" && c.Endpoint == "" }

func (c *Config) validate() error {
	if c.inCluster() {
		for field, set := range map[string]bool{
			"Region": c.Region != "", "Profile": c.Profile != "", "Credentials": c.Credentials != nil,
			"Roles": len(c.Roles)+len(c.RoleARNs) > 0, "CAData": len(c.CAData) > 0,
		} {
			if set {
				return &ConfigError{Field: "Cluster", Reason: "is required with " + field}
			}
		}
		return nil
	}
	if err := token.ValidCluster(c.Cluster); err != nil {
		return &ConfigError{Field: "Cluster", Reason: "is invalid: " + err.Error()}
	}
	if len(c.Roles) > 0 && len(c.RoleARNs) > 0 {
		return &ConfigError{Field: "Roles", Reason: "and RoleARNs are mutually exclusive"}
	}
	if c.Profile != "" && c.Credentials != nil {
		return &ConfigError{Field: "Profile", Reason: "and Credentials are mutually exclusive"}
	}
	if (c.Endpoint == "") != (len(c.CAData) == 0) {
		return &ConfigError{Field: "Endpoint", Reason: "and CAData must be set together"}
	}
	if c.TokenMaxAge < 0 {
		return &ConfigError{Field: "TokenMaxAge", Reason: "must not be negative"}
	}
	return nil
}

// aws returns the Config for package awsconf.
func (c *Config) aws() awsconf.Config {
	conf := awsconf.Config{Profile: c.Profile, Region: c.Region, Credentials: c.Credentials, Log: c.Log}
	for _, arn := range c.RoleARNs {
		conf.Roles = append(conf.Roles, awsconf.Role{ARN: arn})
	}
	for _, r := range c.Roles {
		conf.Roles = append(conf.Roles, awsconf.Role{ARN: r.ARN, ExternalID: r.ExternalID, SessionName: r.SessionName})
	}
	return conf
}

// clusterEndpoint is the endpoint of a cluster, and the source of its tokens. It is
// immutable.
type clusterEndpoint struct {
	url     string
	host    string
	ca      []byte
	pool    *x509.CertPool
	source  *token.Source
	account string // of the cluster; empty if EKS was not called
}

// newClusterEndpoint checks a configured or described endpoint.
func newClusterEndpoint(endpoint string, ca []byte, source *token.Source) (*clusterEndpoint, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Path != "" && u.Path != "/") {
		return nil, &ConfigError{Field: "Endpoint", Reason: "must have the form https://host[:port]"}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, &ConfigError{Field: "CAData", Reason: "contains no PEM certificate"}
	}
	return &clusterEndpoint{url: "https://" + u.Host, host: u.Host, ca: ca, pool: pool, source: source}, nil
}
