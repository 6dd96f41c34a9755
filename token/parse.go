package token

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
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
	// checked is what the rules passed. It is behind a function for the reason
	// Token.value is, and nil unless every rule was passed.
	checked func() *checked
}

// checked is the rebuilt URL and what it was built from, so that a caller who changes
// an exported field cannot change what is sent.
type checked struct {
	digest                   [sha256.Size]byte
	url, host, region, keyID string
	signedAt                 time.Time
}

type secret struct{ sessionToken, signature string }

// End is when STS stops accepting the token: Lifetime after SignedAt.
func (p *Parsed) End() time.Time { return p.SignedAt.Add(Lifetime) }

// RequestURL is the pre-signed URL, rebuilt from the checked values alone; it never
// contains the original URL. It is as secret as the token. It is empty unless Parse or
// Check returned p.
func (p *Parsed) RequestURL() string {
	if p.checked == nil {
		return ""
	}
	return p.checked().url
}

// Digest is the SHA-256 of RequestURL: equal for every spelling of one token, different
// for any two tokens, and not a secret. It is zero unless Parse or Check returned p.
func (p *Parsed) Digest() [sha256.Size]byte {
	if p.checked == nil {
		return [sha256.Size]byte{}
	}
	return p.checked().digest
}

// seal rebuilds the URL of a candidate that passed every rule.
func (c *candidate) seal() {
	p := &c.out
	scope := p.AccessKeyID + "/" + p.scopeDate + "/" + p.Region + "/" + service + "/aws4_request"
	u := make([]byte, 0, 512+len(c.secret.sessionToken)*5/4)
	u = append(u, "https://"...)
	u = append(u, p.Host...)
	u = append(u, "/?Action="+action+"&Version="+version+"&X-Amz-Algorithm="+algorithm+"&X-Amz-Credential="...)
	u = append(u, url.QueryEscape(scope)...)
	u = append(u, "&X-Amz-Date="...)
	u = p.SignedAt.AppendFormat(u, dateLayout)
	u = append(u, "&X-Amz-Expires="...)
	u = strconv.AppendInt(u, int64(p.Expires/time.Second), 10)
	if c.secret.sessionToken != "" {
		u = append(u, "&X-Amz-Security-Token="...)
		u = append(u, url.QueryEscape(c.secret.sessionToken)...)
	}
	u = append(u, "&X-Amz-SignedHeaders="+escapedSignedHeaders+"&X-Amz-Signature="...)
	u = append(u, c.secret.signature...)
	done := &checked{digest: sha256.Sum256(u), url: string(u), host: p.Host, region: p.Region, keyID: p.AccessKeyID, signedAt: p.SignedAt}
	p.checked = func() *checked { return done }
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
