package verify

import "fmt"

// DeniedError reports that STS denied a token, with an error document of its own and a
// code of a fixed list.
type DeniedError struct {
	// Code is the error code of STS, such as SignatureDoesNotMatch.
	Code string
	// Status is the HTTP status.
	Status int
}

// The message of STS is omitted on purpose: it quotes the request, including the
// session token.
func (e *DeniedError) Error() string { return fmt.Sprintf("sts denied the token: %s", e.Code) }

// UnavailableError reports that STS did not answer, or that its response cannot be
// trusted. The token may be valid.
type UnavailableError struct {
	// Throttled reports that STS throttled the request.
	Throttled bool
	// Status is the HTTP status, or 0 if there was no response.
	Status int
	// Reason is for a log. It contains nothing of the request.
	Reason string
	// Err is the cause, if there is one.
	Err error
}

func (e *UnavailableError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("sts is not available: %s: %v", e.Reason, e.Err)
	}
	return "sts is not available: " + e.Reason
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
