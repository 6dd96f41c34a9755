package fakeaws

import (
	"net/http"
	"strings"
	"unicode"
)

// apiError is a refusal in STS's vocabulary. Other services say them
// otherwise; forService translates.
type apiError struct {
	code    string
	message string
	status  int
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// messageMismatch is what AWS says of a signature that is simply wrong.
const messageMismatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// The errors common to all of AWS's query services, with their statuses
// (https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).

func incomplete(message string) *apiError {
	return &apiError{"IncompleteSignature", message, http.StatusBadRequest}
}

func mismatch(message string) *apiError {
	return &apiError{"SignatureDoesNotMatch", message, http.StatusForbidden}
}

func missingToken() *apiError {
	return &apiError{"MissingAuthenticationToken", "Request is missing Authentication Token", http.StatusForbidden}
}

func invalidToken() *apiError {
	return &apiError{"InvalidClientTokenId", "The security token included in the request is invalid.", http.StatusForbidden}
}

func expiredToken() *apiError {
	return &apiError{"ExpiredToken", "The security token included in the request is expired", http.StatusForbidden}
}

func accessDenied(message string) *apiError {
	return &apiError{"AccessDenied", message, http.StatusForbidden}
}

func validation(message string) *apiError {
	return &apiError{"ValidationError", message, http.StatusBadRequest}
}

// invalidRequest is how the SSO services refuse what is not whole.
func invalidRequest(message string) *apiError {
	return &apiError{"InvalidRequestException", message, http.StatusBadRequest}
}

func malformedQuery() *apiError {
	return &apiError{"MalformedQueryString", "The query string contains a syntax error.", http.StatusNotFound}
}

func unknownAction(c *call) *apiError {
	if isREST(c.service) {
		return &apiError{"UnknownOperationException", "Unknown operation.", http.StatusNotFound}
	}
	version, ok := c.params["Version"]
	if !ok {
		version = "NO_VERSION_SPECIFIED"
	}
	action := c.params["Action"]
	if action == "" {
		return &apiError{"MissingAction", "The request must contain the parameter Action.", http.StatusBadRequest}
	}
	return &apiError{"InvalidAction", "Could not find operation " + action + " for version " + version, http.StatusBadRequest}
}

// knownErrors gives the message and the status of the codes that a Fault may name
// without either.
var knownErrors = map[string]apiError{
	"Throttling":         {"Throttling", "Rate exceeded", http.StatusBadRequest},
	"InternalFailure":    {"InternalFailure", "The request processing has failed because of an unknown error, exception or failure.", http.StatusInternalServerError},
	"ServiceUnavailable": {"ServiceUnavailable", "The request has failed due to a temporary failure of the server.", http.StatusServiceUnavailable},
	"AccessDenied":       *accessDenied("Access denied"),
	"ExpiredToken":       *expiredToken(),
	"RequestExpired":     {"RequestExpired", "Request has expired.", http.StatusBadRequest},

	"SignatureDoesNotMatch":      *mismatch(messageMismatch),
	"InvalidClientTokenId":       *invalidToken(),
	"IncompleteSignature":        *incomplete("The request signature does not conform to AWS standards."),
	"MissingAuthenticationToken": *missingToken(),
	"RegionDisabledException":    {"RegionDisabledException", "STS is not activated in this region for account. Your account administrator can activate STS in this region using the IAM Console.", http.StatusForbidden},
}

// words are the same refusals as other services word them. EKS answers like API
// Gateway: it names them as exceptions, throttles with 429 and refuses
// incomplete signatures with 403. The two of SSO know few of them.
var words = map[string]map[string]struct {
	code   string
	status int
}{
	serviceEKS: {
		"SignatureDoesNotMatch":      {"InvalidSignatureException", http.StatusForbidden},
		"InvalidClientTokenId":       {"UnrecognizedClientException", http.StatusForbidden},
		"ExpiredToken":               {"ExpiredTokenException", http.StatusForbidden},
		"IncompleteSignature":        {"IncompleteSignatureException", http.StatusForbidden},
		"MissingAuthenticationToken": {"MissingAuthenticationTokenException", http.StatusForbidden},
		"AccessDenied":               {"AccessDeniedException", http.StatusForbidden},
		"Throttling":                 {"ThrottlingException", http.StatusTooManyRequests},
		"InternalFailure":            {"ServerException", http.StatusInternalServerError},
		"ServiceUnavailable":         {"ServiceUnavailableException", http.StatusServiceUnavailable},
		"MalformedQueryString":       {"InvalidParameterException", http.StatusBadRequest},
	},
	// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
	serviceEC2: {
		"AccessDenied":         {"UnauthorizedOperation", http.StatusForbidden},
		"InvalidClientTokenId": {"AuthFailure", http.StatusUnauthorized},
		"ExpiredToken":         {"RequestExpired", http.StatusBadRequest},
		"Throttling":           {"RequestLimitExceeded", http.StatusServiceUnavailable},
		"InternalFailure":      {"InternalError", http.StatusInternalServerError},
		"ServiceUnavailable":   {"Unavailable", http.StatusServiceUnavailable},
	},
	servicePortal: {
		"ExpiredToken": {"UnauthorizedException", http.StatusUnauthorized},
		"AccessDenied": {"ForbiddenException", http.StatusForbidden},
		"Throttling":   {"TooManyRequestsException", http.StatusTooManyRequests},
	},
	serviceOIDC: {
		"ExpiredToken":    {"ExpiredTokenException", http.StatusBadRequest},
		"AccessDenied":    {"AccessDeniedException", http.StatusBadRequest},
		"Throttling":      {"SlowDownException", http.StatusBadRequest},
		"InternalFailure": {"InternalServerException", http.StatusInternalServerError},
	},
}

// forService gives the error in the words of one service.
func (e *apiError) forService(service string) *apiError {
	if w, ok := words[service][e.code]; ok {
		return &apiError{w.code, e.message, w.status}
	}
	return e
}

// oauthError is the error that OAuth's own vocabulary has for a code of
// SSO-OIDC: InvalidGrantException is invalid_grant
// (https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html#API_CreateToken_Errors).
func oauthError(code string) string {
	if code == "InternalServerException" {
		return "server_error"
	}
	var b strings.Builder
	for i, r := range strings.TrimSuffix(code, "Exception") {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
