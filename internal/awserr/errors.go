// Package awserr words the errors of AWS's APIs and of AWS configuration, each a type of
// its own with a cause and what to do about it.
package awserr

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// ConfigError says that a setting, wherever it came from, cannot be.
type ConfigError struct {
	// Setting is the setting in words, such as "region".
	Setting string
	Reason  string
}

func (e *ConfigError) Error() string { return e.Setting + ": " + e.Reason }

// NoRegionError says that nothing names a region, and that one is needed.
type NoRegionError struct{}

func (e *NoRegionError) Error() string { return "no AWS region is set" }

// CABundleError says that a CA bundle cannot be used.
type CABundleError struct {
	Path   string
	Reason string
}

func (e *CABundleError) Error() string { return "reading CA bundle " + e.Path + ": " + e.Reason }

// CredentialsError says why there are no usable AWS credentials.
type CredentialsError struct {
	// Cause is one line for the user, without what the SDK wraps around it and
	// without anything a credentials source printed.
	Cause string
	// Hint is what to do about it; empty where nothing is known.
	Hint string
	// Err is the SDK's error, for errors.As. Its text may hold secrets: do not
	// print it.
	Err error
}

func (e *CredentialsError) Error() string { return e.Cause }

// Unwrap gives the SDK's error.
func (e *CredentialsError) Unwrap() error { return e.Err }

// APIError is an AWS service's own answer that it will not do what was asked.
type APIError struct {
	// Service and Operation are the SDK's names, such as EKS and DescribeCluster.
	Service, Operation string
	// Code is AWS's, such as ResourceNotFoundException.
	Code string
	// Message is AWS's own text, without the values of parameters.
	Message string
	// Skew is how far this computer's clock is ahead of AWS's, negative if it is
	// behind, where that is why AWS refused. Zero means another reason.
	Skew time.Duration
}

func (e *APIError) Error() string {
	return "calling " + e.Service + " " + e.Operation + ": " + e.Reason()
}

// Reason is the error without the call.
func (e *APIError) Reason() string {
	if e.Skew != 0 {
		direction := "ahead of"
		if e.Skew < 0 {
			direction = "behind"
		}
		return "this computer's clock is " + roughly(e.Skew.Abs()) + " " + direction + " AWS's (" + e.Code + ")"
	}
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// NotFound reports whether what was asked for does not exist.
func (e *APIError) NotFound() bool { return e.Code == "ResourceNotFoundException" }

// Expired reports whether the caller's credentials were good once.
func (e *APIError) Expired() bool {
	return e.Code == "ExpiredToken" || e.Code == "ExpiredTokenException"
}

// Throttled reports whether there were too many calls.
func (e *APIError) Throttled() bool {
	switch e.Code {
	case "Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDownException", "RequestLimitExceeded":
		return true
	}
	return false
}

// Unauthorized reports whether the caller is known and may not do this.
func (e *APIError) Unauthorized() bool {
	switch e.Code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
		return true
	}
	return false
}

// BadCredentials reports whether AWS does not accept the caller's credentials.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
// and https://docs.aws.amazon.com/eks/latest/APIReference/CommonErrors.html
func (e *APIError) BadCredentials() bool {
	switch e.Code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId",
		"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "RequestTimeTooSkewed", "RequestInTheFuture",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired":
		return true
	}
	return false
}

// UnreachableError says that an AWS service gave no answer.
type UnreachableError struct {
	Service, Operation string
	// Reason is the innermost cause, such as "connection refused".
	Reason string
	Err    error
}

func (e *UnreachableError) Error() string {
	return "calling " + e.Service + " " + e.Operation + ": " + e.Reason
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// roughly formats a duration as people say it: in the largest unit that there are
// two of.
func roughly(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d >= 2*day:
		return strconv.FormatInt(int64(d.Round(day)/day), 10) + " days"
	case d >= 2*time.Hour:
		return strconv.FormatInt(int64(d.Round(time.Hour)/time.Hour), 10) + " hours"
	case d.Round(time.Minute) == time.Minute:
		return "1 minute"
	}
	return strconv.FormatInt(int64(d.Round(time.Minute)/time.Minute), 10) + " minutes"
}

// ReasonOf leaves out the path that the caller names already.
func ReasonOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	var odd *safefile.NotRegularError
	if errors.As(err, &odd) {
		return "is not a regular file"
	}
	return err.Error()
}

// Bad is a CredentialsError of a setting.
func Bad(hint, format string, args ...any) error {
	return &CredentialsError{Cause: fmt.Sprintf(format, args...), Hint: hint}
}

// hint is there to be copied.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./@:+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
