package verify

import "fmt"

// DeniedError says that STS answered with its own error document and a code that
// means no.
type DeniedError struct {
	// Code is STS's, such as SignatureDoesNotMatch. It is one of a fixed list.
	Code string
	// Status is the HTTP status.
	Status int
}

// STS's message is left out on purpose: it quotes the request, and with it the
// session token.
func (e *DeniedError) Error() string { return fmt.Sprintf("sts denied the token: %s", e.Code) }

// UnavailableError says that STS could not be asked, or that what answered is
// not to be believed. The token may be good.
type UnavailableError struct {
	// Throttled says that STS asked for fewer requests.
	Throttled bool
	// Status is the HTTP status, or 0 where there was no answer.
	Status int
	// Reason is for a log. It holds nothing of the request.
	Reason string
	// Err is the cause where there is one.
	Err error
}

func (e *UnavailableError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("sts is not available: %s: %v", e.Reason, e.Err)
	}
	return "sts is not available: " + e.Reason
}

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
