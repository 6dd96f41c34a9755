package main

import (
	"context"
	"errors"
	"net/url"

	"github.com/aws/aws-lambda-go/lambda/messages"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ekskey/ekskey/kubeclient"
	"github.com/ekskey/ekskey/token"
)

// The types of error that callers of the function are told, beside its reasons for
// being what Kubernetes calls them.
const (
	kindSetting      = "Setting"            // a variable is wrong
	kindTimeout      = "Timeout"            // the function's time was over
	kindRole         = "RoleRefused"        // AWS does not let it assume the role
	kindCredentials  = "CredentialsMissing" // #nosec G101 -- a name
	kindNotFound     = "ClusterNotFound"
	kindNotReady     = "ClusterNotReady"
	kindDescribe     = "ClusterNotDescribed" // EKS did not tell where it is
	kindUnreachable  = "Unreachable"         // the API server, or a service of AWS
	kindUnauthorized = "Unauthorized"        // the cluster does not know who asks
	kindForbidden    = "Forbidden"           // the cluster knows, and does not let it
	kindKubernetes   = "Kubernetes"          // the API server says something else
	kindOther        = "Error"
)

// explain gives an error its type. The text is that of errors which were made to be
// shown: none of kubeclient's says what the AWS SDK said, or holds a token.
func explain(err error) messages.InvokeResponse_Error {
	e := messages.InvokeResponse_Error{Type: kindOf(err), Message: err.Error()}
	switch e.Type {
	case kindUnauthorized:
		e.Message += ": the cluster has no access entry for the role that asks, or does not know it yet"
	case kindForbidden:
		e.Message += ": the role's group needs a ClusterRole that may get and list pods"
	}
	return e
}

func kindOf(err error) string {
	var (
		setting     *settingError
		config      *kubeclient.ConfigError
		refused     *kubeclient.RoleRefusedError
		credentials *kubeclient.CredentialsError
		expired     *token.CredentialsExpiredError
		gone        *kubeclient.ClusterNotFoundError
		notReady    *kubeclient.ClusterNotReadyError
		describe    *kubeclient.DescribeError
		unreachable *kubeclient.UnreachableError
	)
	switch {
	case errors.As(err, &setting), errors.As(err, &config):
		return kindSetting
	case errors.As(err, &refused):
		return kindRole
	case errors.As(err, &credentials), errors.As(err, &expired):
		return kindCredentials
	case errors.As(err, &gone):
		return kindNotFound
	case errors.As(err, &notReady):
		return kindNotReady
	case errors.As(err, &describe):
		return kindDescribe
	case errors.As(err, &unreachable):
		return kindUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return kindTimeout
	case apierrors.IsUnauthorized(err):
		return kindUnauthorized
	case apierrors.IsForbidden(err):
		return kindForbidden
	case answered(err):
		return kindKubernetes
	}
	return kindOther
}

// answered reports whether it is the API server itself that says no, so that there
// is nothing wrong with the way to it.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// bare takes away what net/http says about the request: its URL, which is long.
func bare(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
