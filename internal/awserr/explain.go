package awserr

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Explain turns the error of a call to an AWS API into *CredentialsError,
// *APIError, *UnreachableError, *CABundleError, or the context's own error. Any other error it
// returns as it is. It is meant to be called at once, because it holds the date
// of the answer against the clock.
func Explain(err error) error {
	var creds *CredentialsError
	var bundle *CABundleError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &creds):
		return creds
	case errors.As(err, &bundle):
		return bundle
	}
	op := failedOperation(err)
	if op == nil {
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return &APIError{
			Service: op.Service(), Operation: op.Operation(), Code: api.ErrorCode(),
			Message: withoutValues(firstSentence(api.ErrorMessage())), Skew: skewOf(err, api),
		}
	}
	return &UnreachableError{Service: op.Service(), Operation: op.Operation(), Reason: Innermost(op.Unwrap()), Err: err}
}

// failedOperation is the call that failed: the last of those that were made one
// for the other, as AssumeRole for DescribeCluster. Nil if there is none.
func failedOperation(err error) *smithy.OperationError {
	var last *smithy.OperationError
	for op := last; errors.As(err, &op); err = op.Unwrap() {
		last = op
	}
	return last
}

// Innermost is the cause without the layers the SDK and net/http wrap around it.
func Innermost(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	var u *url.Error
	if errors.As(err, &u) {
		return OneLine(u.Err.Error())
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return OneLine(network.Error())
	}
	var answer *smithy.DeserializationError
	if errors.As(err, &answer) {
		return "the answer is not one of AWS"
	}
	return OneLine(err.Error())
}

// firstSentence is all that is kept of a service's message: for a signature that
// does not match, AWS goes on with the canonical request, and in it the session
// token.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
func firstSentence(message string) string {
	message, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	if i := strings.Index(message, ". "); i >= 0 {
		message = message[:i+1]
	}
	return OneLine(message)
}

// withoutValues leaves out what the services quote of a parameter that breaks a
// constraint, "Value 'x' at 'tokenCode' failed …", because it may be a secret.
func withoutValues(message string) string {
	const before, after = "Value '", "' at '"
	var b strings.Builder
	for {
		start := strings.Index(message, before)
		if start < 0 {
			return b.String() + message
		}
		b.WriteString(message[:start] + "Value")
		_, rest, ok := strings.Cut(message[start+len(before):], after)
		if !ok {
			return b.String() // cut off within the value
		}
		b.WriteString(" at '")
		message = rest
	}
}

// skewOf is how far this computer's clock is ahead of the one that dated a
// refusal, where the refusal is for that. Zero means that it is not, or that the
// difference is too small to explain it.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
func skewOf(err error, api smithy.APIError) time.Duration {
	switch code := api.ErrorCode(); {
	case code == "RequestExpired", code == "RequestTimeTooSkewed", code == "RequestInTheFuture":
	case strings.HasPrefix(api.ErrorMessage(), "Signature expired"), strings.HasPrefix(api.ErrorMessage(), "Signature not yet current"):
	default:
		return 0
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return 0
	}
	date, dateErr := http.ParseTime(response.Response.Header.Get("Date"))
	if dateErr != nil {
		return 0
	}
	if skew := time.Since(date); skew.Abs() >= time.Minute {
		return skew
	}
	return 0
}

// OneLine is a text with its white space as single spaces.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// HintFor says what to do about an error of this package; empty if it is not
// known.
func HintFor(err error) string {
	var creds *CredentialsError
	var region *NoRegionError
	var api *APIError
	var unreachable *UnreachableError
	switch {
	case errors.As(err, &creds):
		return creds.Hint
	case errors.As(err, &region):
		return "give one with --region, AWS_REGION or a profile"
	case errors.As(err, &api):
		switch {
		case api.Skew != 0:
			return "set this computer's clock: AWS and clusters refuse what is signed by a wrong one"
		case api.Expired():
			return HintExpired
		case api.Throttled():
			return "wait a moment and try again"
		case api.Code == "RegionDisabledException":
			return "choose another region, or activate STS in this one for the account"
		case strings.HasPrefix(api.Code, "SignatureDoesNotMatch"), strings.HasPrefix(api.Code, "InvalidSignature"), api.Code == "RequestExpired":
			return "check the secret access key and this computer's clock"
		case api.BadCredentials():
			return "check the access key and its session token, and that the region belongs to the same partition and is enabled for the account"
		}
	case errors.As(err, &unreachable):
		if strings.Contains(unreachable.Reason, "x509:") {
			return "give the CA that signed the endpoint's certificate with --ca-bundle or AWS_CA_BUNDLE"
		}
		return cmp.Or(ProxyHint(unreachable.Err), "check the network, the region, and --endpoint-url or AWS_ENDPOINT_URL")
	}
	return ""
}

// HintExpired is what to do about credentials that have expired.
const HintExpired = "get new credentials, and try again"
