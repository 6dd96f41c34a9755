// Package verify verifies tokens.
//
// A Verifier checks a token against the offline rules of package token, sends the URL
// that it rebuilt from the checked values to STS, with the name of its own cluster in
// the signed header, and checks the response against further rules. The result is an
// AWS identity; a mapping decides what that identity is in Kubernetes.
//
// Every refusal has one of three types. *token.RuleError: the token breaks a
// verification rule. *DeniedError: STS denied the token. *UnavailableError: there is no
// reliable answer; it must be treated neither as a denial nor as a success.
package verify
