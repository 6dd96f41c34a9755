package awsconf

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
)

// explainLoading words what LoadDefaultConfig failed with.
func (s *Session) explainLoading(err error) error {
	var missing config.SharedConfigProfileNotExistError
	var role config.SharedConfigAssumeRoleError
	var file config.SharedConfigLoadError
	switch {
	case errors.As(err, &file):
		return &CredentialsError{
			Cause: "the AWS configuration file " + file.Filename + " cannot be read: " + reasonOf(file.Err),
			Hint:  "fix the file, or name another with AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE", Err: err,
		}
	case errors.As(err, &role) && errors.As(role.Err, &missing):
		return &CredentialsError{
			Cause: "profile " + quoted(s.profile) + " takes its credentials from profile " + quoted(missing.Profile) + ", which does not exist",
			Hint:  first(s.files.suspect(), s.files.known()), Err: err,
		}
	case errors.As(err, &missing):
		hint := first(s.files.suspect(), s.files.known())
		return &CredentialsError{Cause: "the AWS profile " + quoted(s.profile) + " does not exist", Hint: hint, Err: err}
	}
	if errors.As(err, &role) {
		return s.explainSourceProfile(role)
	}
	// ca_bundle in a profile is the only other file that the SDK opens by itself here.
	var path *fs.PathError
	if errors.As(err, &path) {
		return &CABundleError{Path: path.Path, Reason: path.Err.Error()}
	}
	if strings.Contains(err.Error(), "custom CA bundle") {
		return &CABundleError{Path: "of profile " + s.profile, Reason: "holds no PEM certificate"}
	}
	text := err.Error()
	hint := s.files.suspect()
	var half config.CredentialRequiresARNError
	switch {
	case strings.Contains(text, "partial credentials found"):
		return &CredentialsError{
			Cause: "profile " + s.profile + " has one half of an access key only",
			Hint:  first(hint, "give it both, or neither"), Err: err,
		}
	case errors.As(err, &half):
		hint = first(hint, "give profile "+half.Profile+" a role_arn")
	case strings.Contains(text, "credential_source"):
		hint = first(hint, "credential_source is Environment, EcsContainer or Ec2InstanceMetadata")
	case strings.Contains(text, "sso"), strings.Contains(text, "SSO"):
		hint = first(hint, "the profile needs sso_session, sso_account_id and sso_role_name, and the [sso-session] needs sso_region and sso_start_url")
	}
	var badURL *url.Error
	if errors.As(err, &badURL) {
		text = "a URL in it: " + badURL.Err.Error() // without the URL, which may hold a password
	}
	return &CredentialsError{Cause: "the AWS configuration cannot be used: " + oneLine(text), Hint: hint, Err: err}
}

// explainSourceProfile words that a chain of source profiles leads to none with
// credentials, for which the SDK has one error.
func (s *Session) explainSourceProfile(role config.SharedConfigAssumeRoleError) error {
	if loop := s.files.sourceLoop(s.profile); len(loop) > 0 {
		return &CredentialsError{
			Cause: "the source profiles go round in a loop: " + strings.Join(loop, " → "),
			Hint:  "give one of them credentials of its own, or another source_profile", Err: role,
		}
	}
	hint := s.files.suspect()
	if hint == "" {
		hint = "give profile " + role.Profile + " credentials, or name another source_profile"
	}
	return &CredentialsError{Cause: "profile " + quoted(s.profile) + " takes its credentials from profile " + quoted(role.Profile) + ", which has none", Hint: hint, Err: role}
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
		return s.explainSSO(err)
	case called(err, "Signin"), strings.Contains(err.Error(), "login token"), strings.Contains(err.Error(), "login session"):
		return fail("the login session of profile "+s.profile+" has expired or does not exist", "run: aws login --profile "+shellWord(s.profile))
	case isWebIdentity(err):
		return s.explainWebIdentity(err)
	case isContainer(err):
		return s.explainContainer(err)
	}
	return s.explainAssume(err, role)
}

// ExplainCredentials turns what a provider of the caller's own failed with into
// *CredentialsError, or the context's error, as those of Credentials are.
func (s *Session) ExplainCredentials(ctx context.Context, err error) error {
	return s.explainCredentials(ctx, err, "")
}

func (s *Session) explainSSO(err error) error {
	fail := func(cause, hint string) error { return &CredentialsError{Cause: cause, Hint: hint, Err: err} }
	var unreachable *UnreachableError
	var api *APIError
	switch explained := Explain(err); {
	case errors.As(explained, &unreachable):
		return fail(unreachable.Error(), "check the network and the proxy settings")
	case errors.As(explained, &api) && (api.Code == "ForbiddenException" || api.NotFound()):
		return fail(api.Error(), "check sso_account_id and sso_role_name of profile "+s.profile)
	case errors.As(explained, &api) && !ssoExpired(api):
		return fail(api.Error(), HintFor(api))
	}
	return fail("the SSO session of profile "+s.profile+" has expired or does not exist", "run: aws sso login --profile "+shellWord(s.profile))
}

// ssoExpired knows the answers to a session that has ended, and to a program
// whose registration has, which a login renews.
//
// Source: https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
// and https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html
func ssoExpired(e *APIError) bool {
	switch e.Code {
	case "UnauthorizedException", "InvalidGrantException", "ExpiredTokenException", "InvalidClientException":
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
	case errors.As(explained, &api):
		if api.Expired() {
			return &CredentialsError{Cause: what + ": the AWS credentials from " + s.baseSource() + " have expired", Hint: hintExpired, Err: err}
		}
		return &CredentialsError{Cause: what + ": " + api.reason(), Hint: assumeHint(api), Err: err}
	case errors.As(explained, &unreachable):
		return &CredentialsError{Cause: what + ": " + unreachable.Reason, Hint: HintFor(unreachable), Err: err}
	}
	return &CredentialsError{Cause: what + ": " + innermost(err), Hint: s.files.suspect(), Err: err}
}

// assumeHint knows STS's refusals to assume a role by their words, where one code
// stands for many.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html
// and https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func assumeHint(e *APIError) string {
	says := func(text string) bool { return strings.Contains(e.Message, text) }
	switch {
	case says("invalid MFA one time pass code"):
		return "wait for the next code and try again: a code works once, and for half a minute"
	case says("unable to validate MFA code"):
		return "check the serial number of the second factor (--mfa-serial, or mfa_serial in the profile): it must be one of the caller's own"
	case says("at 'tokenCode'"):
		return "the code of a second factor is six digits"
	case says("role chaining"):
		return "a role assumed by another role's session has an hour at most: ask for no more with --duration, or duration_seconds in the profile"
	case says("MaxSessionDuration"), says("at 'durationSeconds'"):
		return "ask for less with --duration, or duration_seconds in the profile, or raise the role's maximum session duration"
	case e.Unauthorized():
		return "the role's trust policy must let the caller in, with the external id and second factor it asks for, and the caller's policies must allow sts:AssumeRole"
	}
	return HintFor(e)
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
