package awsconf

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
)

// Explain turns the error of a call to an AWS API into *CredentialsError,
// *APIError, *UnreachableError, or the context's own error. Any other error it
// returns as it is.
func Explain(err error) error {
	var creds *CredentialsError
	var op *smithy.OperationError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &creds):
		return creds
	case !errors.As(err, &op):
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return &APIError{Service: op.Service(), Operation: op.Operation(), Code: api.ErrorCode(), Message: firstSentence(api.ErrorMessage())}
	}
	return &UnreachableError{Service: op.Service(), Operation: op.Operation(), Reason: innermost(op.Unwrap()), Err: err}
}

// innermost is the cause without the layers the SDK and net/http wrap around it.
func innermost(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	var u *url.Error
	if errors.As(err, &u) {
		return oneLine(u.Err.Error())
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return oneLine(network.Error())
	}
	var answer *smithy.DeserializationError
	if errors.As(err, &answer) {
		return "the answer is not one of AWS"
	}
	return oneLine(err.Error())
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
	return oneLine(message)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// explainLoading words what LoadDefaultConfig failed with.
func (s *Session) explainLoading(err error) error {
	var missing config.SharedConfigProfileNotExistError
	var role config.SharedConfigAssumeRoleError
	switch {
	case errors.As(err, &role) && errors.As(role.Err, &missing):
		return &CredentialsError{
			Cause: "profile " + quoted(s.profile) + " takes its credentials from profile " + quoted(missing.Profile) + ", which does not exist",
			Hint:  s.files.suspect(), Err: err,
		}
	case errors.As(err, &missing):
		hint := s.files.suspect()
		if hint == "" {
			hint = s.files.known()
		}
		return &CredentialsError{Cause: "the AWS profile " + quoted(s.profile) + " does not exist", Hint: hint, Err: err}
	}
	// ca_bundle in a profile is the only file that the SDK opens by itself here.
	var path *fs.PathError
	if errors.As(err, &path) {
		return &CABundleError{Path: path.Path, Reason: path.Err.Error()}
	}
	if strings.Contains(err.Error(), "custom CA bundle") {
		return &CABundleError{Path: "of profile " + s.profile, Reason: "holds no PEM certificate"}
	}
	return &CredentialsError{Cause: "the AWS configuration cannot be used: " + oneLine(err.Error()), Hint: s.files.suspect(), Err: err}
}

// explainCredentials words what a provider of credentials failed with.
func (s *Session) explainCredentials(ctx context.Context, err error, role string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var done *CredentialsError
	if errors.As(err, &done) {
		return done
	}
	fail := func(cause, hint string) error { return &CredentialsError{Cause: cause, Hint: hint, Err: err} }
	var sso *ssocreds.InvalidTokenError
	var process *processcreds.ProviderError
	switch {
	case called(err, "ec2imds"):
		return s.noCredentials(err)
	case errors.As(err, &process):
		// The SDK quotes the program's output, which may be the credentials.
		cause := "the credential_process of profile " + s.profile + " gave no credentials"
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			cause = "the credential_process of profile " + s.profile + " failed: " + exit.Error()
		}
		return fail(cause, "run the command in the profile by hand to see what it says")
	case errors.As(err, &sso), called(err, "SSO"), called(err, "SSO OIDC"), strings.Contains(err.Error(), "cached SSO token"):
		var unreachable *UnreachableError
		var api *APIError
		switch explained := Explain(err); {
		case errors.As(explained, &unreachable):
			return fail(unreachable.Error(), "check the network and the proxy settings")
		case errors.As(explained, &api) && api.Code == "ForbiddenException":
			return fail(api.Error(), "check sso_account_id and sso_role_name of profile "+s.profile)
		case errors.As(explained, &api) && !ssoExpired(api):
			return fail(api.Error(), HintFor(api))
		}
		return fail("the SSO session of profile "+s.profile+" has expired or does not exist", "run: aws sso login --profile "+shellWord(s.profile))
	case called(err, "Signin"), strings.Contains(err.Error(), "login token"), strings.Contains(err.Error(), "login session"):
		return fail("the login session of profile "+s.profile+" has expired or does not exist", "run: aws login --profile "+shellWord(s.profile))
	}
	return s.explainAssume(err, role)
}

// ssoExpired knows the answers to a session that has ended.
//
// Source: https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
// and https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html
func ssoExpired(e *APIError) bool {
	switch e.Code {
	case "UnauthorizedException", "InvalidGrantException", "ExpiredTokenException":
		return true
	}
	return false
}

func (s *Session) explainAssume(err error, role string) error {
	what := "getting credentials"
	if role == "" && called(err, "STS") {
		what = "assuming the role of profile " + s.profile
	} else if role != "" {
		what = "assuming role " + role
	}
	var api *APIError
	var unreachable *UnreachableError
	explained := Explain(err)
	switch {
	case errors.As(explained, &api) && api.Unauthorized():
		return &CredentialsError{Cause: what + ": " + api.Code + ": " + api.Message, Hint: "the role's trust policy must let the caller in, with the external id and second factor it asks for, and the caller's policies must allow sts:AssumeRole", Err: err}
	case errors.As(explained, &api):
		return &CredentialsError{Cause: what + ": " + api.Code + ": " + api.Message, Hint: HintFor(api), Err: err}
	case errors.As(explained, &unreachable):
		return &CredentialsError{Cause: what + ": " + unreachable.Reason, Hint: HintFor(unreachable), Err: err}
	}
	return &CredentialsError{Cause: what + ": " + innermost(err), Hint: s.files.suspect(), Err: err}
}

func (s *Session) noCredentials(err error) error {
	hint := s.files.suspect()
	if hint == "" {
		hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --profile, or log in with: aws sso login"
	}
	cause := "no AWS credentials found"
	if s.profile != "default" {
		cause += " in the environment or in profile " + s.profile
	}
	return &CredentialsError{Cause: cause, Hint: hint, Err: err}
}

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
		case strings.HasPrefix(api.Code, "ExpiredToken"):
			return "get new credentials: the ones in use have expired"
		case strings.HasPrefix(api.Code, "SignatureDoesNotMatch"), strings.HasPrefix(api.Code, "InvalidSignature"), api.Code == "RequestExpired":
			return "check the secret access key and this computer's clock"
		case api.BadCredentials():
			return "check the access key and its session token, and that the region belongs to the same partition and is enabled for the account"
		}
	case errors.As(err, &unreachable):
		if strings.Contains(unreachable.Reason, "x509:") {
			return "give the CA that signed the endpoint's certificate with --ca-bundle or AWS_CA_BUNDLE"
		}
		return "check the network, the region, and --endpoint-url or AWS_ENDPOINT_URL"
	}
	return ""
}

// called reports whether a failed operation of the service is in the chain.
func called(err error, service string) bool {
	var op *smithy.OperationError
	for errors.As(err, &op) {
		if op.Service() == service {
			return true
		}
		err = op.Unwrap()
	}
	return false
}

func quoted(s string) string { return `"` + s + `"` }

// shellWord quotes a profile's name for a POSIX shell where it needs it, since a
// hint is there to be copied.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./@:+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var _ aws.CredentialsProvider = (*provider)(nil)
