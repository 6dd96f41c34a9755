package awsconf

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/credcache"
)

// Signer is what minting tokens needs of AWS configuration.
type Signer struct {
	// Region is empty if nothing names one.
	Region string
	// Variant says which of the region's STS hosts the settings ask for.
	Variant     identity.STSVariant
	Credentials aws.CredentialsProvider
}

// Signer returns what minting needs of the session.
func (s *Session) Signer() Signer {
	return Signer{Region: s.Region(), Variant: s.STSVariant(), Credentials: s.Credentials()}
}

// Cached returns what minting needs if the credentials that c leads to are cached.
// The SDK's configuration is not loaded for it. It sets c.Fingerprint, for a Load that
// follows.
func Cached(c *Config) (Signer, bool) {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Fingerprint = c.fingerprint(); c.Fingerprint == nil {
		return Signer{}, false
	}
	e, ok := c.Store.Get(c.Fingerprint.Key(), time.Time{})
	if !ok || c.Store.Due(e) {
		return Signer{}, false
	}
	env, err := config.NewEnvConfig()
	if err != nil {
		return Signer{}, false // Load says what is wrong
	}
	region := first(c.Region, env.Region, e.Settings.Region)
	if region == globalRegion {
		region = ""
	}
	if region != "" {
		if _, err := identity.PartitionOfRegion(region); err != nil {
			return Signer{}, false
		}
	}
	variant := identity.STSVariant{FIPS: aws.ToBool(e.Settings.FIPS), DualStack: aws.ToBool(e.Settings.DualStack)}
	if state, ok := fipsSetting(env); ok {
		variant.FIPS = state == aws.FIPSEndpointStateEnabled
	}
	if state, ok := dualStackSetting(env); ok {
		variant.DualStack = state == aws.DualStackEndpointStateEnabled
	}
	return Signer{
		Region: region, Variant: variant,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return e.Credentials, nil }),
	}, true
}

// profileSettings are the settings of the profile in use that minting needs.
func profileSettings(sources []any) credcache.Settings {
	for _, source := range sources {
		c, ok := source.(config.SharedConfig)
		if !ok {
			continue
		}
		out := credcache.Settings{Region: c.Region}
		if state, ok := fipsSetting(c); ok {
			out.FIPS = aws.Bool(state == aws.FIPSEndpointStateEnabled)
		}
		if state, ok := dualStackSetting(c); ok {
			out.DualStack = aws.Bool(state == aws.DualStackEndpointStateEnabled)
		}
		return out
	}
	return credcache.Settings{}
}
