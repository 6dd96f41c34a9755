// Package verify finds out whose token it is.
//
// A Verifier holds a token against the offline rules of package token, sends
// the URL that it rebuilt from the checked values to STS, with the name of its
// own cluster in the signed header, and holds the answer against further rules.
// What comes out is an AWS identity; what it may do in Kubernetes is for a
// mapping to say.
//
// Every refusal is one of three types. *token.RuleError: a rule of the
// verification rules is broken. *DeniedError: STS itself said no.
// *UnavailableError: nobody said anything that can be relied on, which is never
// to be taken for a no, let alone for a yes.
package verify
