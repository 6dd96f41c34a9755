package token

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ekskey/ekskey/identity"
)

const (
	action  = "GetCallerIdentity"
	version = "2011-06-15"
	service = "sts"
	// presignSeconds is the value of X-Amz-Expires. STS ignores it, older verifiers
	// require 0 to 900, and the AWS CLI writes 60.
	presignSeconds = "60"
	// emptyBodySHA256 is the SHA-256 of the empty body of a GET.
	emptyBodySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// refreshBelow is the minimum remaining validity of credentials: with less, they are
// refreshed first, because a token signed with them would expire early.
const refreshBelow = 2 * time.Minute

// Config configures a Source: the cluster and the credentials.
type Config struct {
	// Cluster is the cluster's name (for a local cluster on Outposts, its ID), the
	// value of the signed header. Required.
	Cluster string
	// Region selects the STS host. Empty means the global host.
	Region string
	// Variant selects among the region's STS hosts. The global host has none.
	Variant identity.STSVariant
	// Endpoint, if its Host is set, replaces Region and Variant. Clusters accept only
	// AWS's own hosts, so this is for sandboxes and tests.
	Endpoint identity.STSEndpoint
	// Credentials sign the tokens. Required. A provider with an Invalidate method
	// (aws.CredentialsCache) is told to refresh credentials that are about to expire.
	Credentials aws.CredentialsProvider
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Source mints tokens. It stores none: each call signs a new one. It is safe for
// concurrent use if its credentials provider is.
type Source struct {
	cluster     string
	endpoint    identity.STSEndpoint
	credentials aws.CredentialsProvider
	now         func() time.Time
	signer      *v4.Signer
}

// ConfigError reports an invalid field of Config.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return e.Field + " " + e.Reason }

// CredentialsExpiredError reports that the only available credentials have expired.
type CredentialsExpiredError struct {
	// Expired is when they expired.
	Expired time.Time
	// Source is the SDK's name of their provider, if known.
	Source string
}

func (e *CredentialsExpiredError) Error() string {
	return "the AWS credentials expired at " + e.Expired.UTC().Format(time.RFC3339)
}

// MalformedCredentialsError reports credentials that no AWS service gave like this: a
// token made with them would be refused. It holds nothing of them.
type MalformedCredentialsError struct {
	// What is "access key ID", "secret access key" or "session token".
	What   string
	Reason string
	// Source is the SDK's name of their provider, if known.
	Source string
}

func (e *MalformedCredentialsError) Error() string { return "the AWS " + e.What + " " + e.Reason }

// checkCredentials checks what a token is about to be made with by the rules for tokens
// (V13 and V21): it fails with *MalformedCredentialsError.
func checkCredentials(c aws.Credentials) error {
	fail := func(what, reason string) error {
		return &MalformedCredentialsError{What: what, Reason: reason, Source: c.Source}
	}
	for _, part := range []struct{ what, value string }{
		{"access key ID", c.AccessKeyID}, {"secret access key", c.SecretAccessKey}, {"session token", c.SessionToken},
	} {
		for i := 0; i < len(part.value); i++ {
			switch b := part.value[i]; {
			case b == '\n' || b == '\r':
				return fail(part.what, "has a line break in it")
			case b == ' ' || b == '\t':
				return fail(part.what, "has a blank in it")
			case b < ' ' || b >= 0x7f:
				return fail(part.what, "has a character in it that is not printable ASCII")
			case b == '"' || b == '\'' || b == '`':
				return fail(part.what, "has a quote in it")
			}
		}
	}
	switch {
	case !ValidAccessKeyID(c.AccessKeyID):
		return fail("access key ID", "is not of 16 to 128 letters and digits")
	case strings.HasPrefix(c.AccessKeyID, "ASIA") && c.SessionToken == "":
		return fail("session token", "is missing: an access key ID that begins with ASIA is of a session")
	}
	return nil
}

// maxClusterName is larger than EKS's limit (100), for verifiers other than EKS.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
const maxClusterName = 253

// ValidCluster checks whether a cluster name can be the value of the signed header. It
// fails with *ConfigError.
func ValidCluster(name string) error {
	if name == "" {
		return &ConfigError{Field: "cluster name", Reason: "is required"}
	}
	if len(name) > maxClusterName {
		return &ConfigError{Field: "cluster name", Reason: fmt.Sprintf("is longer than %d characters", maxClusterName)}
	}
	for i := 0; i < len(name); i++ {
		// The signer would fold a space, and a control character would end the header.
		if name[i] <= ' ' || name[i] >= 0x7f {
			return &ConfigError{Field: "cluster name", Reason: fmt.Sprintf("%q contains a character other than printable ASCII", name)}
		}
	}
	return nil
}

// New returns a Source. It fails with *ConfigError or *identity.UnknownRegionError and
// uses neither network nor credentials.
func New(c Config) (*Source, error) {
	if err := ValidCluster(c.Cluster); err != nil {
		return nil, err
	}
	if c.Credentials == nil {
		return nil, &ConfigError{Field: "Credentials", Reason: "is required"}
	}
	endpoint := c.Endpoint
	if endpoint.Host == "" {
		var err error
		if endpoint, err = identity.STSEndpointOf(c.Region, c.Variant); err != nil {
			return nil, err
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Source{
		cluster: c.Cluster, endpoint: endpoint, credentials: c.Credentials, now: c.Now, signer: v4.NewSigner(),
	}, nil
}

// StaticKeys is a credentials provider for fixed keys. The session token is empty for
// long-lived keys.
func StaticKeys(accessKeyID, secretAccessKey, sessionToken string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if accessKeyID == "" || secretAccessKey == "" {
			return aws.Credentials{}, errors.New("access key ID and secret access key are required")
		}
		return aws.Credentials{
			AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey, SessionToken: sessionToken, Source: "StaticKeys",
		}, nil
	})
}

// Endpoint is the STS host that the tokens are minted for.
func (s *Source) Endpoint() identity.STSEndpoint { return s.endpoint }

// Token mints a token. Its Expiry is the earlier of 14 minutes from now and one minute
// before the credentials expire, but never before now. It fails with
// *CredentialsExpiredError, *MalformedCredentialsError, or with the error of the
// credentials provider.
func (s *Source) Token(ctx context.Context) (Token, error) {
	creds, err := s.retrieve(ctx)
	if err != nil {
		return Token{}, err
	}
	// The signature has whole seconds; expiry counts from the signing time.
	now := s.now().UTC().Truncate(time.Second)
	signed, err := s.presign(ctx, creds, now)
	if err != nil {
		return Token{}, fmt.Errorf("signing the token: %w", err)
	}
	expiry := now.Add(Lifetime - Margin)
	if creds.CanExpire {
		if end := creds.Expires.Add(-Margin); end.Before(expiry) {
			expiry = end
		}
		if expiry.Before(now) {
			expiry = now
		}
	}
	value := Prefix + base64.RawURLEncoding.EncodeToString([]byte(signed))
	return Token{
		value: func() string { return value }, Expiry: expiry, SignedAt: now, AccessKeyID: creds.AccessKeyID,
	}, nil
}

// retrieve returns credentials, and refreshed ones if the first are about to expire and
// the provider can refresh them.
func (s *Source) retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := s.credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if creds.CanExpire && creds.Expires.Sub(s.now()) < refreshBelow {
		if cache, ok := s.credentials.(interface{ Invalidate() }); ok {
			cache.Invalidate()
			if newer, err := s.credentials.Retrieve(ctx); err == nil {
				creds = newer
			}
		}
	}
	if creds.CanExpire && !creds.Expires.After(s.now()) {
		return aws.Credentials{}, &CredentialsExpiredError{Expired: creds.Expires, Source: creds.Source}
	}
	if !creds.HasKeys() {
		return aws.Credentials{}, errors.New("the credentials have no keys")
	}
	return creds, checkCredentials(creds)
}

func (s *Source) presign(ctx context.Context, creds aws.Credentials, now time.Time) (string, error) {
	req := &http.Request{
		Method: http.MethodGet,
		Host:   s.endpoint.Host,
		URL: &url.URL{
			Scheme: "https", Host: s.endpoint.Host, Path: "/",
			RawQuery: "Action=" + action + "&Version=" + version + "&X-Amz-Expires=" + presignSeconds,
		},
		Header: http.Header{http.CanonicalHeaderKey(ClusterHeader): {s.cluster}},
	}
	signed, _, err := s.signer.PresignHTTP(ctx, creds, req, emptyBodySHA256, service, s.endpoint.Region, now)
	return signed, err
}
