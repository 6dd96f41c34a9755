package token

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ekskey/ekskey/identity"
)

const (
	action  = "GetCallerIdentity"
	version = "2011-06-15"
	service = "sts"
	// presignSeconds is what goes into X-Amz-Expires. STS ignores it, older
	// verifiers want 0 to 900, and 60 is what the AWS CLI writes.
	presignSeconds = "60"
	// emptyBodySHA256 is the SHA-256 of nothing, which is what a GET carries.
	emptyBodySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// refreshBelow is how much life credentials must have left: with less, newer
// ones are asked for first, because a token signed with them would die early.
const refreshBelow = 2 * time.Minute

// Config says for which cluster, and as whom, a Source mints.
type Config struct {
	// Cluster is the cluster's name (for a local cluster on Outposts, its id), as
	// it is written into the signed header. Needed.
	Cluster string
	// Region chooses the STS host. Empty means the global host.
	Region string
	// Variant chooses among the region's STS hosts. The global host has none.
	Variant identity.STSVariant
	// Endpoint, if its Host is set, is used in place of Region and Variant.
	// Clusters accept AWS's own hosts only, so this is for sandboxes and tests.
	Endpoint identity.STSEndpoint
	// Credentials sign. Needed. A provider with an Invalidate method
	// (aws.CredentialsCache) is asked to renew credentials that are about to end.
	Credentials aws.CredentialsProvider
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Source mints tokens. It keeps none: each call signs anew. It is safe for
// concurrent use if its credentials provider is.
type Source struct {
	cluster     string
	endpoint    identity.STSEndpoint
	credentials aws.CredentialsProvider
	now         func() time.Time
	signer      *v4.Signer
}

// ConfigError says which field of Config is wrong.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return fmt.Sprintf("token source: %s %s", e.Field, e.Reason) }

// CredentialsExpiredError says that the only credentials to be had have ended.
type CredentialsExpiredError struct {
	// Expired is when they ended.
	Expired time.Time
	// Source is the SDK's name of the provider they came from, if known.
	Source string
}

func (e *CredentialsExpiredError) Error() string {
	return "the AWS credentials expired at " + e.Expired.UTC().Format(time.RFC3339)
}

// maxClusterName is EKS's limit (100), with room for verifiers other than EKS.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
const maxClusterName = 253

// ValidCluster reports why a cluster name cannot stand in the signed header:
// *ConfigError, or nil.
func ValidCluster(name string) error {
	if name == "" {
		return &ConfigError{Field: "cluster", Reason: "is empty"}
	}
	if len(name) > maxClusterName {
		return &ConfigError{Field: "cluster", Reason: fmt.Sprintf("is longer than %d characters", maxClusterName)}
	}
	for i := 0; i < len(name); i++ {
		// A space would be folded by the signer, a control byte would end the header.
		if name[i] <= ' ' || name[i] >= 0x7f {
			return &ConfigError{Field: "cluster", Reason: fmt.Sprintf("%q has a character other than printable ASCII", name)}
		}
	}
	return nil
}

// New makes a Source. It fails with *ConfigError or *identity.UnknownRegionError
// and touches neither network nor credentials.
func New(c Config) (*Source, error) {
	if err := ValidCluster(c.Cluster); err != nil {
		return nil, err
	}
	if c.Credentials == nil {
		return nil, &ConfigError{Field: "credentials", Reason: "are missing"}
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

// StaticKeys is a credentials provider for keys one has at hand. The session
// token is empty for long-lived keys.
func StaticKeys(accessKeyID, secretAccessKey, sessionToken string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if accessKeyID == "" || secretAccessKey == "" {
			return aws.Credentials{}, errors.New("the access key id or the secret access key is empty")
		}
		return aws.Credentials{
			AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey, SessionToken: sessionToken, Source: "StaticKeys",
		}, nil
	})
}

// Endpoint is the STS host that the tokens are minted for.
func (s *Source) Endpoint() identity.STSEndpoint { return s.endpoint }

// Token mints a token. Its Expiry is the earlier of 14 minutes from now and the
// credentials' own end less one minute, but never before now. It fails with
// *CredentialsExpiredError, or with what the credentials provider failed with.
func (s *Source) Token(ctx context.Context) (Token, error) {
	creds, err := s.retrieve(ctx)
	if err != nil {
		return Token{}, err
	}
	// The signature carries whole seconds; expiry counts from what was signed.
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

// retrieve gets credentials, and newer ones where the first are about to end
// and the provider can renew them.
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
	return creds, nil
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
