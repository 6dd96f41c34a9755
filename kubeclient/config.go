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

// Config says which cluster, and as whom. The zero value is the cluster that the
// program runs in, as the service account of its pod; that is used only where
// neither Cluster nor Endpoint is set. Everything that is left empty is as the
// environment and AWS's own files say, by the rules of the AWS SDK for Go.
type Config struct {
	// Cluster is the EKS cluster's name. For a local cluster on Outposts whose
	// Endpoint is given, it is the cluster's id.
	Cluster string
	// Region is the cluster's.
	Region string
	// Profile is a profile of AWS's files by name.
	Profile string
	// Credentials are those to begin with, as keys at hand (token.StaticKeys) or
	// the Credentials of an aws.Config. Nil means those of the environment or the
	// profile. A provider that does not cache is asked for each token.
	Credentials aws.CredentialsProvider
	// RoleARNs are roles to assume one after the other, each with the credentials
	// of the one before. The last one signs tokens and asks EKS.
	RoleARNs []string
	// Roles is RoleARNs for roles that need more than that. Only one of the two may
	// be set.
	Roles []Role
	// Endpoint is the API server's URL, https://host[:port]. With CAData, which it
	// needs, nothing is asked of EKS, at no time.
	Endpoint string
	// CAData are the PEM certificates that the API server's is held against.
	CAData []byte
	// TokenMaxAge is the age at which tokens are no longer used, for clusters that
	// take only younger ones than EKS does. Zero means 14 minutes.
	TokenMaxAge time.Duration
	// Log gets what happens in the background: failures as warnings, renewals of
	// what is known of the cluster as information. Nil means nothing.
	Log *slog.Logger
	// Now is the clock that tokens are signed and judged by; nil means time.Now.
	Now func() time.Time
}

// Role is one hop of a chain of roles.
type Role struct {
	ARN string
	// ExternalID is what some trust policies ask for. Empty sends none.
	ExternalID string
	// SessionName names the session; empty means AWS_ROLE_SESSION_NAME, else "ekskey".
	SessionName string
}

// inCluster reports whether the Config is for the cluster the program runs in.
func (c *Config) inCluster() bool { return c.Cluster == "" && c.Endpoint == "" }

func (c *Config) validate() error {
	if c.inCluster() {
		for field, set := range map[string]bool{
			"region": c.Region != "", "profile": c.Profile != "", "credentials": c.Credentials != nil,
			"roles": len(c.Roles)+len(c.RoleARNs) > 0, "CA": len(c.CAData) > 0,
		} {
			if set {
				return &ConfigError{Field: "cluster", Reason: "is empty, and the " + field + " is for one of EKS"}
			}
		}
		return nil
	}
	if err := token.ValidCluster(c.Cluster); err != nil {
		return &ConfigError{Field: "cluster", Reason: "cannot be: " + err.Error()}
	}
	if len(c.Roles) > 0 && len(c.RoleARNs) > 0 {
		return &ConfigError{Field: "roles", Reason: "and role ARNs are both given"}
	}
	if c.Profile != "" && c.Credentials != nil {
		return &ConfigError{Field: "profile", Reason: "and credentials are both given"}
	}
	if (c.Endpoint == "") != (len(c.CAData) == 0) {
		return &ConfigError{Field: "endpoint", Reason: "and CA belong together, and one of them is missing"}
	}
	if c.TokenMaxAge < 0 {
		return &ConfigError{Field: "greatest age of a token", Reason: "is negative"}
	}
	return nil
}

// aws is what awsconf needs to know.
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

// place is where a cluster is, and what its tokens are minted by. It does not
// change.
type place struct {
	url     string
	host    string
	ca      []byte
	pool    *x509.CertPool
	source  *token.Source
	account string // whose the cluster is; empty if EKS was not asked
}

// newPlace checks what was given or answered.
func newPlace(endpoint string, ca []byte, source *token.Source) (*place, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Path != "" && u.Path != "/") {
		return nil, &ConfigError{Field: "endpoint", Reason: "is not of the form https://host[:port]"}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, &ConfigError{Field: "CA", Reason: "holds no PEM certificate"}
	}
	return &place{url: "https://" + u.Host, host: u.Host, ca: ca, pool: pool, source: source}, nil
}
