package kubeclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/token"
)

// ErrClosed is the error of requests after Close.
var ErrClosed = errors.New("the Kubernetes client is closed")

// ErrInCluster reports that the service account of the cluster that the program runs in
// has no EKS tokens.
var ErrInCluster = errors.New("the program runs as a service account, which has no EKS token")

// ConfigError reports an invalid field of Config, or an invalid setting.
type ConfigError struct{ Field, Reason string }

func (e *ConfigError) Error() string { return e.Field + " " + e.Reason }

// CredentialsError reports that there are no usable AWS credentials.
type CredentialsError struct {
	Reason string
	// Hint is what to do about it; empty if unknown.
	Hint string
	// Err is the AWS SDK's error. Its text may contain secrets: do not print it.
	Err error
}

func (e *CredentialsError) Error() string { return e.Reason }

// Unwrap returns the SDK's error.
func (e *CredentialsError) Unwrap() error { return e.Err }

// RoleRefusedError reports that AWS denied assuming a role.
type RoleRefusedError struct {
	// Code is the AWS error code, such as AccessDenied.
	Code   string
	Reason string
	// Err is the AWS SDK's error. Its text may contain secrets: do not print it.
	Err error
}

func (e *RoleRefusedError) Error() string { return e.Reason }

// Unwrap returns the SDK's error.
func (e *RoleRefusedError) Unwrap() error { return e.Err }

// ClusterNotFoundError reports that EKS has no such cluster.
type ClusterNotFoundError struct {
	Cluster, Region string
	// Err is the reason why EKS was called again; nil for the first call.
	Err error
}

func (e *ClusterNotFoundError) Error() string {
	return "there is no cluster " + e.Cluster + " in " + e.Region + " for this account"
}

// Unwrap returns the cause.
func (e *ClusterNotFoundError) Unwrap() error { return e.Err }

// ClusterNotReadyError reports that a cluster has no endpoint yet, or no longer.
type ClusterNotReadyError struct {
	Cluster string
	// Status is the cluster's status, such as CREATING.
	Status string
}

func (e *ClusterNotReadyError) Error() string {
	return "cluster " + e.Cluster + " has no endpoint to connect to: it is " + e.Status
}

// DescribeError reports that EKS did not return the endpoint.
type DescribeError struct {
	Cluster, Region string
	// Code is the AWS error code, such as AccessDeniedException; empty if the response
	// was invalid.
	Code   string
	Reason string
}

func (e *DescribeError) Error() string {
	text := "describing cluster " + e.Cluster + " in " + e.Region + ": "
	if e.Code != "" {
		text += e.Code
		if e.Reason == "" {
			return text
		}
		text += ": "
	}
	return text + e.Reason
}

// Cause is why a connection failed.
type Cause string

// The causes.
const (
	CauseDNS     Cause = "dns"     // its name does not resolve
	CauseTLS     Cause = "tls"     // its certificate is not trusted, or it does not speak TLS
	CauseConnect Cause = "connect" // it refuses connections
	CauseOther   Cause = "other"   // it did not answer
)

// UnreachableError reports that an API server or an AWS service cannot be reached.
type UnreachableError struct {
	// Host is the API server's host[:port], or the name of the AWS service.
	Host  string
	Cause Cause
	// Err is the network error.
	Err error

	reason string
}

func (e *UnreachableError) Error() string { return "connecting to " + e.Host + ": " + e.reason }

// Unwrap returns the network error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// causeOf says why a connection failed; CauseOther if it did not.
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
	case errors.As(err, &dial) && dial.Op == "proxyconnect": // for whatever reason the proxy cannot be reached
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

// explain converts errors of awsconf, token and credentials providers to those of this
// package.
func explain(err error) error {
	var (
		expired *token.CredentialsExpiredError
		creds   *awserr.CredentialsError
		setting *awserr.ConfigError
		bundle  *awserr.CABundleError
		api     *awserr.APIError
		away    *awserr.UnreachableError
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &expired):
		return err
	case errors.As(err, &setting):
		return &ConfigError{Field: setting.Setting, Reason: "is invalid: " + setting.Reason}
	case errors.As(err, &bundle):
		return &ConfigError{Field: "CA bundle", Reason: "is not usable: " + bundle.Error()}
	}
	inner, reason, hint := err, "", ""
	if errors.As(err, &creds) {
		inner, reason, hint = creds.Err, creds.Cause, creds.Hint
	}
	inner = awserr.Explain(inner)
	switch {
	case errors.As(inner, &api):
		if reason == "" {
			reason = api.Error()
		}
		if api.Unauthorized() && strings.HasPrefix(api.Operation, "AssumeRole") {
			return &RoleRefusedError{Code: api.Code, Reason: reason, Err: err}
		}
	case errors.As(inner, &away) && away.Service != "ec2imds": // which rarely exists
		return &UnreachableError{Host: "AWS " + away.Service, Cause: causeOf(away.Err), Err: away.Err, reason: away.Reason}
	case reason == "":
		reason = "getting credentials: " + err.Error()
	}
	return &CredentialsError{Reason: reason, Hint: hint, Err: err}
}
