package fakeaws

import "net/http"

// apiError is a refusal in STS's vocabulary. EKS says most of them otherwise;
// forService translates.
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

func malformedQuery() *apiError {
	return &apiError{"MalformedQueryString", "The query string contains a syntax error.", http.StatusNotFound}
}

func unknownAction(c *call) *apiError {
	if c.service == serviceEKS {
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

// eksWords are the same refusals as EKS words them, which answers like API
// Gateway: it names them as exceptions, throttles with 429 and refuses
// incomplete signatures with 403.
var eksWords = map[string]struct {
	code   string
	status int
}{
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
}

// forService gives the error in the words of one service.
func (e *apiError) forService(service string) *apiError {
	if words, ok := eksWords[e.code]; ok && service == serviceEKS {
		return &apiError{words.code, e.message, words.status}
	}
	return e
}
