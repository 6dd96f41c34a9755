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

// Lifetime is how long STS honours a pre-signed GetCallerIdentity after it was
// signed, whatever X-Amz-Expires says.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
// and the verifiers of EKS and aws-iam-authenticator, which refuse older ones.
const Lifetime = 15 * time.Minute

// Margin is how long before its end a token is called expired, so that one
// handed out just before still arrives in time.
const Margin = time.Minute

const redacted = Prefix + "REDACTED"

// Token is a minted token. Its value is a secret, and every way of printing the
// struct hides it; Value alone gives it. The zero value is no token.
type Token struct {
	// value is behind a function, because package fmt calls no methods on what
	// stands in somebody's unexported field: it prints a function as an address,
	// where a string, and with the wrong verb a pointer, would be printed whole.
	value func() string
	// Expiry is when the token should no longer be handed out: Margin before the
	// end of Lifetime, or before the end of the credentials that signed it.
	Expiry time.Time
	// SignedAt is the second at which the token was signed.
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
