package awsconf

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/safefile"
)

// setting asks the sources in the SDK's order (options, environment, files)
// for a value, and takes the first that has one.
func setting[T any](sources []any, ask func(any) (T, bool)) T {
	for _, source := range sources {
		if v, ok := ask(source); ok {
			return v
		}
	}
	var none T
	return none
}

func fipsSetting(source any) (aws.FIPSEndpointState, bool) {
	s, ok := source.(interface {
		GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
	})
	if !ok {
		return aws.FIPSEndpointStateUnset, false
	}
	v, found, err := s.GetUseFIPSEndpoint(context.Background())
	return v, found && err == nil
}

func dualStackSetting(source any) (aws.DualStackEndpointState, bool) {
	s, ok := source.(interface {
		GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
	})
	if !ok {
		return aws.DualStackEndpointStateUnset, false
	}
	v, found, err := s.GetUseDualStackEndpoint(context.Background())
	return v, found && err == nil
}

// regionOf is the region that something names, without the default.
func regionOf(sources []any) string {
	region := setting(sources, func(source any) (string, bool) {
		var r string
		switch c := source.(type) {
		case config.LoadOptions:
			r = c.Region
		case config.EnvConfig:
			r = c.Region
		case config.SharedConfig:
			r = c.Region
		}
		return r, r != ""
	})
	if region == globalRegion {
		return ""
	}
	return region
}

func readCABundle(path string) ([]byte, error) {
	text, err := safefile.Read(path, maxFile)
	if err != nil {
		return nil, &awserr.CABundleError{Path: path, Reason: awserr.ReasonOf(err)}
	}
	if !holdsCertificate(text) {
		return nil, &awserr.CABundleError{Path: path, Reason: "holds no PEM certificate"}
	}
	return text, nil
}

// holdsCertificate looks no further than the first certificate: the SDK reads them
// all, and a system's bundle takes milliseconds.
func holdsCertificate(text []byte) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			return true
		}
	}
}

// sdkLogger takes the SDK's own messages, which would go to stderr otherwise.
// Requests and responses are not among them: that mode is never turned on.
type sdkLogger struct{ log *slog.Logger }

func (l sdkLogger) Logf(_ logging.Classification, format string, _ ...any) {
	if l.log != nil {
		// Without the arguments: nobody vouches for what the SDK puts into them.
		l.log.Debug("aws sdk", "message", format)
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
