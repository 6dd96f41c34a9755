package awsconf

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/safefile"
)

// explainWebIdentity explains the error of a web identity. The token is in no
// answer of STS's, and the file is never quoted.
func (s *Session) explainWebIdentity(err error, path string) error {
	fail := func(cause, hint string) error { return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err} }
	const mounted = "in a pod, check that the service account's token is mounted there; on other machines, check the program that writes the file"
	token, readErr := safefile.Read(path, maxFile)
	switch {
	case readErr != nil:
		return fail("the web identity token file "+path+" cannot be read: "+awserr.ReasonOf(readErr), mounted)
	case len(token) == 0:
		return fail("the web identity token file "+path+" is empty", mounted)
	}
	var api *awserr.APIError
	if !errors.As(awserr.Explain(err), &api) {
		return s.explainCall(err, "assuming a role with the web identity token in "+path, "")
	}
	switch {
	case api.Expired():
		return fail("the web identity token in "+path+" has expired", "whoever writes the file must renew it: in a pod, is it the mounted file, and not a copy?")
	case api.Code == "InvalidIdentityToken", api.Code == "IDPRejectedClaim", api.Code == "IDPCommunicationError":
		return fail("STS does not accept the web identity token in "+path+": "+api.Reason(),
			"the role's account needs an OIDC identity provider for the token's issuer, with the token's audience")
	case api.Unauthorized():
		return fail("assuming a role with the web identity token in "+path+": "+api.Reason(),
			"the role must exist, and its trust policy must name the OIDC identity provider and the token's subject and audience")
	}
	return fail("assuming a role with the web identity token in "+path+": "+api.Reason(), assumeHint(api))
}

// explainContainer explains the error of a request to a container's credentials
// endpoint. Its message is not passed on, nor its address: an answer may quote
// what was asked, and either may hold the authorization.
func (s *Session) explainContainer(err error, path string) error {
	fail := func(cause, hint string) error { return &awserr.CredentialsError{Cause: cause, Hint: hint, Err: err} }
	const (
		fileVariable = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
		check        = "check AWS_CONTAINER_AUTHORIZATION_TOKEN or " + fileVariable + ", and that a role is associated with the task or the pod's service account"
	)
	if strings.Contains(err.Error(), "resolve auth token: ") {
		if _, readErr := safefile.Read(path, maxFile); path != "" && readErr != nil {
			return fail("the file of "+fileVariable+" ("+path+") cannot be read: "+awserr.ReasonOf(readErr), "the file is there only inside the container that it was mounted for")
		}
		return fail("the container authorization token has a line break in it", check)
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fail("the container credentials endpoint: "+awserr.Innermost(err), "check AWS_CONTAINER_CREDENTIALS_FULL_URI, or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, which are for inside the container only")
	}
	cause := "the container credentials endpoint refused"
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) && answer.HTTPStatusCode() != 0 {
		cause += ": " + strconv.Itoa(answer.HTTPStatusCode())
		if code := api.ErrorCode(); isCode(code) {
			cause += " " + code
		} else {
			cause += " " + http.StatusText(answer.HTTPStatusCode())
		}
	}
	return fail(strings.TrimSpace(cause), check)
}

// isCode reports whether a text is a plain error code and not a whole answer.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
