package awsconf

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// sourceKind is where credentials come from.
type sourceKind int

const (
	kindRole sourceKind = iota
	kindWebIdentity
	kindSSO
	kindLogin
	kindProcess
	kindContainer
	kindMetadata
)

// namedSource is a source of credentials whose errors say which profile it is of, at
// whatever depth of source profiles it stands.
type namedSource struct {
	aws.CredentialsProvider
	kind    sourceKind
	profile string // empty for the environment's
	file    string // that it reads; empty for none
}

// Retrieve gives the credentials, or a *sourceError.
func (n *namedSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &sourceError{namedSource: n, err: err}
	}
	return creds, nil
}

// ProviderSources says where the credentials come from.
func (n *namedSource) ProviderSources() []aws.CredentialSource {
	if p, ok := n.CredentialsProvider.(aws.CredentialProviderSource); ok {
		return p.ProviderSources()
	}
	return nil
}

// sourceError is what a source failed with.
type sourceError struct {
	*namedSource
	err error
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// failedSource is the innermost source that failed; nil if none did.
func failedSource(err error) *sourceError {
	var last *sourceError
	for next := last; errors.As(err, &next); err = next.err {
		last = next
	}
	return last
}
