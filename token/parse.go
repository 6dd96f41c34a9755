package token

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Parsed is a parsed token. It does not prove who signed it. It contains the signature,
// which every way of printing it hides. The zero value is not a token.
type Parsed struct {
	// Host is the STS host that the token is signed for.
	Host string
	// Region is the region of the credential scope.
	Region string
	// AccessKeyID is the key that signed, according to the token. It is not a secret.
	AccessKeyID string
	// SignedAt is the signing time, according to the token, in UTC.
	SignedAt time.Time
	// Expires is the value of X-Amz-Expires. STS and verifiers ignore it.
	Expires time.Duration
	// Temporary is true if there is a session token.
	Temporary bool
	// ClusterSigned is true if the cluster header is among the signed headers, so that
	// the token is valid for one cluster only.
	ClusterSigned bool
	// Length is the length of the whole token in bytes.
	Length int

	scopeDate string
	// secret is behind a function for the reason Token.value is.
	secret func() secret
}

type secret struct{ sessionToken, signature string }

// End is when STS stops accepting the token: Lifetime after SignedAt.
func (p *Parsed) End() time.Time { return p.SignedAt.Add(Lifetime) }

// RequestURL is the pre-signed URL, rebuilt from the checked values alone; it never
// contains the original URL. It is as secret as the token. It is empty unless Parse or
// Check returned p.
func (p *Parsed) RequestURL() string {
	if p.secret == nil {
		return ""
	}
	secret := p.secret()
	var b strings.Builder
	b.Grow(512 + len(secret.sessionToken)*3/2)
	b.WriteString("https://" + p.Host + "/?Action=" + action + "&Version=" + version)
	b.WriteString("&X-Amz-Algorithm=" + algorithm)
	b.WriteString("&X-Amz-Credential=" + url.QueryEscape(p.AccessKeyID+"/"+p.scopeDate+"/"+p.Region+"/"+service+"/aws4_request"))
	b.WriteString("&X-Amz-Date=" + p.SignedAt.Format(dateLayout))
	fmt.Fprintf(&b, "&X-Amz-Expires=%d", int(p.Expires/time.Second))
	if secret.sessionToken != "" {
		b.WriteString("&X-Amz-Security-Token=" + url.QueryEscape(secret.sessionToken))
	}
	b.WriteString("&X-Amz-SignedHeaders=" + url.QueryEscape(signedHeaders))
	b.WriteString("&X-Amz-Signature=" + secret.signature)
	return b.String()
}

// String describes the token without its secrets.
func (p Parsed) String() string {
	return fmt.Sprintf("token{host: %s, region: %s, key: %s, signed: %s}",
		p.Host, p.Region, p.AccessKeyID, p.SignedAt.Format(time.RFC3339))
}

// GoString hides the secrets from %#v.
func (p Parsed) GoString() string { return p.String() }

// Format hides the secrets from every verb of package fmt.
func (p Parsed) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, p.String()) }

// LogValue hides the secrets from log/slog.
func (p Parsed) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Parse parses a token and checks every rule that needs neither a clock nor a
// configuration: V01 to V15 and V18 to V21 of the verification rules, with the hosts of
// all partitions. It does no I/O. It fails with *RuleError, for the first broken rule,
// and a nil result.
func Parse(raw string) (*Parsed, error) {
	return Policy{timeless: true}.Check(raw)
}
