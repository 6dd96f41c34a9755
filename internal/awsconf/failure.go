package awsconf

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/internal/credprocess"
)

// failureKind says what a failure to get credentials means for those that are
// cached and for other processes.
type failureKind string

const (
	// failedAway: AWS gave no answer, or had too many calls.
	failedAway failureKind = "no answer"
	// failedLogin: a person has to log in again.
	failedLogin failureKind = "login is over"
	// failedDenied: AWS refused.
	failedDenied failureKind = "denied"
	// failedOther: anything else that another process would run into as well.
	failedOther failureKind = "other"
	// failedOwn: it depends on this process, such as its terminal or its program for
	// codes.
	failedOwn failureKind = "own"
)

// failure is why credentials could not be had, explained.
type failure struct {
	kind failureKind
	err  error // *awserr.CredentialsError, or the context's error
}

func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the explained error.
func (f *failure) Unwrap() error { return f.err }

// shared is what other processes are told.
func (f *failure) shared() credcache.Failure {
	out := credcache.Failure{Kind: string(f.kind), Cause: f.err.Error()}
	var creds *awserr.CredentialsError
	if errors.As(f.err, &creds) {
		out.Hint = creds.Hint
	}
	return out
}

// newFailure is the failure of another process.
func newFailure(f credcache.Failure) *failure {
	return &failure{kind: failureKind(f.Kind), err: &awserr.CredentialsError{Cause: f.Cause, Hint: f.Hint}}
}

// failureOf explains the error of a source of credentials.
func (s *Session) failureOf(ctx context.Context, err error, role string) *failure {
	var done *failure
	if errors.As(err, &done) {
		return done
	}
	return &failure{kind: kindOf(ctx, err), err: s.explainCredentials(ctx, err, role)}
}

// ownError is an error that depends on this process alone.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

func kindOf(ctx context.Context, err error) failureKind {
	var own ownError
	var process *credprocess.Error
	switch {
	case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.As(err, &own), errors.As(err, &process):
		return failedOwn
	case isAway(err):
		return failedAway
	case isLoginOver(err):
		return failedLogin
	}
	var api *awserr.APIError
	if !errors.As(awserr.Explain(err), &api) {
		return failedOther
	}
	switch {
	case isCodeRefused(api):
		return failedOwn // whose code it was
	case api.Skew != 0:
		return failedOther
	case api.Unauthorized(), api.BadCredentials(), api.NotFound(), api.Code == "ForbiddenException":
		return failedDenied
	}
	return failedOther
}

// isLoginOver reports whether somebody has to log in again, or renew a web identity
// token or the keys of the environment.
func isLoginOver(err error) bool {
	source := failedSource(err)
	var api *awserr.APIError
	answered := errors.As(awserr.Explain(err), &api)
	switch {
	case source != nil && source.kind == kindSSO:
		return !answered || ssoExpired(api)
	case source != nil && source.kind == kindLogin:
		return true
	}
	return answered && api.Expired()
}

// isCodeRefused reports whether STS did not accept the MFA code.
func isCodeRefused(e *awserr.APIError) bool {
	for _, text := range []string{"invalid MFA one time pass code", "unable to validate MFA code", "at 'tokenCode'"} {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// connectionScope is a digest of what decides how this process connects to AWS: its
// proxies and certificates, and the computer and network that it is on. A failure is
// shared only with processes that connect in the same way.
func connectionScope(getenv func(string) string) string {
	h := credcache.NewHash("connections")
	for _, name := range []string{
		"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG",
	} {
		h.Add(name, getenv(name))
	}
	host, _ := os.Hostname() // where it is unknown, it is as good as any other
	boot, _ := bootID()
	h.Add("host", host)
	h.Add("boot", boot)
	return h.Sum().String()
}
