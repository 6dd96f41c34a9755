package awsconf

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/awsfiles"
)

// explainCredentials explains the error of a credentials provider.
func (s *Session) explainCredentials(ctx context.Context, err error, role string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var done *awserr.CredentialsError
	if errors.As(err, &done) {
		return done
	}
	fail := func(cause, hint string) error { return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err} }
	source := failedSource(err)
	var process *processcreds.ProviderError
	switch {
	case source != nil:
	case errors.As(err, &process): // of a caller of kubeclient's; the SDK quotes the program's output
		return fail("the credential_process gave no credentials", "run the command by hand to see what it says")
	case strings.Contains(err.Error(), "failed to load credentials, "): // as much; it may quote what was asked
		return s.explainContainer(err, awsfiles.Path(os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")))
	default:
		return s.explainAssume(err, role)
	}
	err = source // and not what was wanted with the credentials
	profile := source.profile
	switch source.kind {
	case kindMetadata:
		return s.noCredentials(err)
	case kindProcess:
		return fail("the credential_process of profile "+profile+" "+awserr.OneLine(source.Error()),
			"run the command in the profile by hand to see what it says, or see what it writes to stderr with --log-level debug")
	case kindSSO:
		return s.explainSSO(err, profile)
	case kindLogin:
		return s.explainLogin(err, profile)
	case kindWebIdentity:
		return s.explainWebIdentity(err, source.file)
	case kindContainer:
		return s.explainContainer(err, source.file)
	}
	return s.explainProfileRole(source)
}

// ExplainCredentials turns what a provider of the caller's own failed with into
// *awserr.CredentialsError, or the context's error, as those of Credentials are.
func (s *Session) ExplainCredentials(ctx context.Context, err error) error {
	return s.explainCredentials(ctx, err, "")
}

func (s *Session) explainSSO(err error, profile string) error {
	fail := func(cause, hint string) error { return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err} }
	var unreachable *awserr.UnreachableError
	var api *awserr.APIError
	switch explained := awserr.Explain(err); {
	case errors.As(explained, &unreachable):
		return fail(unreachable.Error(), first(awserr.ProxyHint(err), "check the network and the proxy settings"))
	case errors.As(explained, &api) && (api.Code == "ForbiddenException" || api.NotFound()):
		return fail(api.Error(), "check sso_account_id and sso_role_name of profile "+profile)
	case errors.As(explained, &api) && !ssoExpired(api):
		return fail(api.Error(), awserr.HintFor(api))
	}
	return fail("the SSO session of profile "+profile+" has expired or does not exist", "run: aws sso login --profile "+awserr.ShellWord(profile))
}

// explainLogin explains the error of a session of `aws login`.
func (s *Session) explainLogin(err error, profile string) error {
	fail := func(cause, hint string) error { return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err} }
	var unreachable *awserr.UnreachableError
	if explained := awserr.Explain(err); errors.As(explained, &unreachable) {
		return fail(unreachable.Error(), awserr.HintFor(unreachable))
	}
	return fail("the login session of profile "+profile+" has expired or does not exist", "run: aws login --profile "+awserr.ShellWord(profile))
}

// ssoExpired knows the answers to a session that has ended, and to a program
// whose registration has, which a login renews.
//
// Source: https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
// and https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html
func ssoExpired(e *awserr.APIError) bool {
	switch e.Code {
	case "UnauthorizedException", "InvalidGrantException", "ExpiredTokenException", "InvalidClientException":
		return true
	}
	return false
}

// explainAssume explains why a role of the chain could not be assumed.
func (s *Session) explainAssume(err error, role string) error {
	what := "getting credentials"
	if role != "" {
		what = "assuming role " + role
	}
	return s.explainCall(err, what, "the AWS credentials from "+s.baseSource())
}

// explainProfileRole explains why the role of a profile could not be assumed.
func (s *Session) explainProfileRole(source *sourceError) error {
	return s.explainCall(source, "assuming the role of profile "+source.profile, "the AWS credentials from "+s.baseSource())
}

func (s *Session) explainCall(err error, what, signing string) error {
	fail := func(cause, hint string) error {
		return &awserr.CredentialsError{Cause: what + ": " + cause, Hint: hint, Err: err}
	}
	var api *awserr.APIError
	var unreachable *awserr.UnreachableError
	var bundle *awserr.CABundleError
	explained := awserr.Explain(err)
	switch {
	case errors.As(explained, &api) && api.Expired():
		return fail(signing+" have expired", awserr.HintExpired)
	case errors.As(explained, &api):
		return fail(api.Reason(), assumeHint(api))
	case errors.As(explained, &unreachable):
		return fail(unreachable.Reason, awserr.HintFor(unreachable))
	case errors.As(explained, &bundle):
		return bundle
	}
	return fail(awserr.Innermost(err), "")
}

// assumeHint knows STS's refusals to assume a role by their words, where one code
// stands for many.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html
// and https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func assumeHint(e *awserr.APIError) string {
	says := func(text string) bool { return strings.Contains(e.Message, text) }
	switch {
	case says("invalid MFA one time pass code"):
		return "wait for the next code and try again: a code works once, and for half a minute"
	case says("unable to validate MFA code"):
		return "check the serial number of the MFA device (--mfa-serial, or mfa_serial in the profile): it must be one of the caller's own"
	case says("at 'tokenCode'"):
		return "the MFA code is six digits"
	case says("role chaining"):
		return "a role assumed by another role's session has an hour at most: ask for no more with --duration, or duration_seconds in the profile"
	case says("MaxSessionDuration"), says("at 'durationSeconds'"):
		return "ask for less with --duration, or duration_seconds in the profile, or raise the role's maximum session duration"
	case e.Unauthorized():
		return "the role's trust policy must allow the caller, with the external ID and MFA that it requires, and the caller's policies must allow sts:AssumeRole"
	}
	return awserr.HintFor(e)
}

func (s *Session) noCredentials(err error) error {
	cause := "no AWS credentials found"
	if s.profile != awsfiles.DefaultProfile {
		cause += " in the environment or in profile " + s.profile
	}
	hint := s.profiles.Hint(s.profile)
	if hint == "" {
		hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with --profile, or log in with: aws sso login"
		if c := s.profiles.Files; c != nil {
			for _, file := range []*awsfiles.File{c.Files().Config, c.Files().Credentials} {
				if file.Variable != "" && !file.Exists && file.Path != os.DevNull {
					hint += "; " + file.Variable + " names " + file.Path + ", which does not exist"
				}
			}
		}
	}
	return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err}
}

// shellWord quotes a profile's name for a POSIX shell where it needs it, since a
var _ aws.CredentialsProvider = (*provider)(nil)
