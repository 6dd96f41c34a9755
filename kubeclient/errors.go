package kubeclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/token"
)

// ErrClosed is what requests fail with after Close.
var ErrClosed = errors.New("the Kubernetes client is closed")

// ErrInCluster says that there are no tokens of EKS for the service account of the
// cluster that the program runs in.
var ErrInCluster = errors.New("the program runs as a service account, which has no token of EKS")

// ConfigError says which field of Config, or which setting, is wrong.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return "kubernetes client: " + e.Field + " " + e.Reason }

// CredentialsError says why there are no usable AWS credentials.
type CredentialsError struct {
	Reason string
	// Hint is what to do about it; empty where nothing is known.
	Hint string
	// Err is the AWS SDK's error. Its text may hold secrets: do not print it.
	Err error
}

func (e *CredentialsError) Error() string { return e.Reason }

// Unwrap gives the SDK's error.
func (e *CredentialsError) Unwrap() error { return e.Err }

// RoleRefusedError says that AWS does not let the caller assume a role.
type RoleRefusedError struct {
	// Code is AWS's, such as AccessDenied.
	Code   string
	Reason string
	// Err is the AWS SDK's error. Its text may hold secrets: do not print it.
	Err error
}

func (e *RoleRefusedError) Error() string { return e.Reason }

// Unwrap gives the SDK's error.
func (e *RoleRefusedError) Unwrap() error { return e.Err }

// ClusterNotFoundError says that EKS knows no such cluster.
type ClusterNotFoundError struct {
	Cluster, Region string
	// Err is why EKS was asked again; nil if it was asked for the first time.
	Err error
}

func (e *ClusterNotFoundError) Error() string {
	return "there is no cluster " + e.Cluster + " in " + e.Region + " for this account"
}

// Unwrap gives the cause.
func (e *ClusterNotFoundError) Unwrap() error { return e.Err }

// ClusterNotReadyError says that a cluster has no API server to talk to.
type ClusterNotReadyError struct {
	Cluster string
	// Status is EKS's, such as CREATING.
	Status string
}

func (e *ClusterNotReadyError) Error() string {
	return "cluster " + e.Cluster + " has no endpoint to connect to: it is " + e.Status
}

// DescribeError says that EKS did not tell where a cluster is.
type DescribeError struct {
	Cluster, Region string
	// Code is AWS's, such as AccessDeniedException; empty if the answer was odd.
	Code   string
	Reason string
}

func (e *DescribeError) Error() string {
	text := "asking EKS in " + e.Region + " for cluster " + e.Cluster + ": "
	if e.Code != "" {
		text += e.Code
		if e.Reason == "" {
			return text
		}
		text += ": "
	}
	return text + e.Reason
}

// Cause is why something cannot be reached.
type Cause string

// The causes.
const (
	CauseDNS     Cause = "dns"     // its name cannot be resolved
	CauseTLS     Cause = "tls"     // its certificate is not to be trusted, or it speaks no TLS
	CauseConnect Cause = "connect" // it takes no connection
	CauseOther   Cause = "other"   // it gave no answer
)

// UnreachableError says that an API server, or a service of AWS, cannot be
// reached.
type UnreachableError struct {
	// Host is the API server's host[:port], or the name of AWS's service.
	Host  string
	Cause Cause
	// Err is what the network said.
	Err error

	reason string
}

func (e *UnreachableError) Error() string { return "reaching " + e.Host + ": " + e.reason }

// Unwrap gives what the network said.
func (e *UnreachableError) Unwrap() error { return e.Err }

// causeOf says why a connection did not come about; CauseOther if it did.
func causeOf(err error) Cause {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		invalid     x509.CertificateInvalidError
		dial        *net.OpError
	)
	switch {
	case errors.As(err, &dial) && dial.Op == "proxyconnect": // whatever keeps the proxy from being reached
		return CauseConnect
	case errors.As(err, &name):
		return CauseDNS
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return CauseTLS
	case errors.As(err, &dial) && dial.Op == "dial":
		return CauseConnect
	}
	return CauseOther
}

// explain turns what awsconf, token and credentials providers fail with into
// the errors of this package.
func explain(err error) error {
	var (
		expired *token.CredentialsExpiredError
		creds   *awsconf.CredentialsError
		setting *awsconf.ConfigError
		bundle  *awsconf.CABundleError
		api     *awsconf.APIError
		away    *awsconf.UnreachableError
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &expired):
		return err
	case errors.As(err, &setting):
		return &ConfigError{Field: setting.Setting, Reason: "cannot be: " + setting.Reason}
	case errors.As(err, &bundle):
		return &ConfigError{Field: "CA bundle", Reason: "cannot be read: " + bundle.Error()}
	}
	inner, reason, hint := err, "", ""
	if errors.As(err, &creds) {
		inner, reason, hint = creds.Err, creds.Cause, creds.Hint
	}
	inner = awsconf.Explain(inner)
	switch {
	case errors.As(inner, &api):
		if reason == "" {
			reason = api.Error()
		}
		if api.Unauthorized() && strings.HasPrefix(api.Operation, "AssumeRole") {
			return &RoleRefusedError{Code: api.Code, Reason: reason, Err: err}
		}
	case errors.As(inner, &away) && away.Service != "ec2imds": // which is seldom there at all
		return &UnreachableError{Host: "AWS " + away.Service, Cause: causeOf(away.Err), Err: away.Err, reason: away.Reason}
	case reason == "":
		reason = "getting credentials: " + err.Error()
	}
	return &CredentialsError{Reason: reason, Hint: hint, Err: err}
}
