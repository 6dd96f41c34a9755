package token

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Prefix begins every token.
const Prefix = "k8s-aws-v1."

// ClusterHeader is the signed HTTP header that binds a token to one cluster.
const ClusterHeader = "x-k8s-aws-id"

// Lifetime is how long STS accepts a pre-signed GetCallerIdentity after it was signed,
// whatever X-Amz-Expires says.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
// and the verifiers of EKS and aws-iam-authenticator, which refuse older ones.
const Lifetime = 15 * time.Minute

// Margin is how long before its end a token counts as expired, so that one that is used
// just before still arrives in time.
const Margin = time.Minute

const redacted = Prefix + "REDACTED"

// Token is a minted token. Its value is a secret, and every way of printing the struct
// hides it; only Value returns it. The zero value is not a token.
type Token struct {
	// value is behind a function, because package fmt calls no methods on values in
	// unexported fields of another struct: it prints a function as an address, but
	// would print a string and, with the wrong verb, a pointer's target.
	value func() string
	// Expiry is when the token should no longer be used: Margin before the end of
	// Lifetime, or before the credentials that signed it expire.
	Expiry time.Time
	// SignedAt is the signing time, in whole seconds.
	SignedAt time.Time
	// AccessKeyID is the key that signed it. It is not a secret.
	AccessKeyID string
}

// Value is the token itself, to be sent as a bearer token. Never log it.
func (t Token) Value() string {
	if t.value == nil {
		return ""
	}
	return t.value()
}

// String hides the value.
func (t Token) String() string { return redacted }

// GoString hides the value from %#v.
func (t Token) GoString() string { return "token.Token{" + redacted + "}" }

// Format hides the value from every verb of package fmt.
func (t Token) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue hides the value from log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the value from encoding/json.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
