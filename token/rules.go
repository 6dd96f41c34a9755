package token

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ekskey/ekskey/identity"
)

// MaxLength is the longest accepted token, in bytes. Session tokens of STS have up to
// 4,096 bytes, which makes tokens of about 6.4 KB.
const MaxLength = 16 << 10

// MaxSkew is how far in the future the signing time may be; STS has the same
// limit. If Policy.MaxAge is shorter, the limit is MaxAge plus ClockTolerance.
const MaxSkew = 15 * time.Minute

// ClockTolerance is the clock difference that a shorter Policy.MaxAge allows.
const ClockTolerance = 30 * time.Second

// MaxExpires is the maximum of X-Amz-Expires.
const MaxExpires = 900 * time.Second

const (
	algorithm     = "AWS4-HMAC-SHA256"
	dateLayout    = "20060102T150405Z"
	signedHeaders = "host;" + ClusterHeader

	escapedSignedHeaders = "host%3B" + ClusterHeader
)

// Code identifies a verification rule: V01 to V34. docs/token-format.md lists them.
type Code string

// RuleError reports the rule that a token breaks, and how. It never quotes a signature
// or a session token.
type RuleError struct {
	Code   Code
	Reason string
}

func (e *RuleError) Error() string { return string(e.Code) + ": " + e.Reason }

// Policy configures the rules. The zero value accepts the hosts of every partition and
// the full Lifetime, by the system clock.
type Policy struct {
	// Partition limits hosts to one partition. Empty allows all.
	Partition string
	// Regions are regions newer than the table, whose hosts follow the partition's
	// rule. Names that match no partition add no host.
	Regions []string
	// OnlyRegions, if not empty, are the only regions whose hosts are accepted, ExtraHosts
	// apart. The global host is of us-east-1.
	OnlyRegions []string
	// ExtraHosts are additional hosts, with an optional port, each with its signing
	// region. For sandboxes and tests.
	ExtraHosts []identity.STSEndpoint
	// MaxAge is the maximum age of a token. Zero, and anything above Lifetime,
	// means Lifetime. A token signed further in the future than MaxAge plus
	// ClockTolerance is refused too: it would be valid until its signing time plus
	// MaxAge.
	MaxAge time.Duration
	// DeniedKeys are access key IDs that are refused.
	DeniedKeys []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	timeless bool
}

// candidate is a token whose rules are being checked.
type candidate struct {
	policy *Policy
	now    time.Time
	raw    string
	url    string
	// authority, path and query are the parts after https://, split at the first / or
	// ?.
	authority, path, query string
	values                 values
	endpoint               identity.STSEndpoint
	// scoped and dated are true if the credential scope and SignedAt could be parsed:
	// an empty scope and the zero time are valid values.
	scoped bool
	dated  bool
	out    Parsed
	secret secret
}

// rule is one row of the verification rules. check returns a reason, or "".
type rule struct {
	code Code
	// gate is set if later rules cannot be checked once this one is broken.
	gate bool
	// context is set if the rule needs a clock or a configuration.
	context bool
	// policy is set if the rule is checked without a configuration too, but another
	// one may decide otherwise.
	policy bool
	check  func(*candidate) string
}

// rules are in the order in which they are checked.
var rules = [...]rule{
	{code: "V01", gate: true, check: checkLength},
	{code: "V02", gate: true, check: checkPrefix},
	{code: "V03", gate: true, check: checkEncoding},
	{code: "V04", gate: true, check: checkText},
	{code: "V05", gate: true, check: checkScheme},
	{code: "V06", check: checkAuthority},
	{code: "V07", policy: true, check: checkHost},
	{code: "V08", check: checkPath},
	{code: "V09", gate: true, check: checkQuery},
	{code: "V10", check: func(c *candidate) string { return c.exactly("Action", action) }},
	{code: "V11", check: func(c *candidate) string { return c.exactly("Version", version) }},
	{code: "V12", check: func(c *candidate) string { return c.exactly("X-Amz-Algorithm", algorithm) }},
	{code: "V13", check: checkCredential},
	{code: "V14", policy: true, check: checkRegion},
	{code: "V15", check: checkDate},
	{code: "V16", context: true, check: checkFuture},
	{code: "V17", context: true, check: checkAge},
	{code: "V18", check: checkExpires},
	{code: "V19", check: checkSignedHeaders},
	{code: "V20", check: checkSignature},
	{code: "V21", check: checkSessionToken},
	{code: "V22", context: true, check: checkDenied},
}

// Check checks a token against V01 to V22, in their order. It does no I/O. It fails
// with *RuleError, for the first broken rule, and a nil result.
func (p Policy) Check(raw string) (*Parsed, error) {
	parsed, broken := p.run(raw, true)
	if len(broken) > 0 {
		return nil, broken[0]
	}
	return parsed, nil
}

// Inspect is Check that continues after a broken rule if it can: it returns every
// broken rule and the parsed values, which are nil only if nothing could be parsed. If
// rules are broken, show the values to a person and do not act on them.
func (p Policy) Inspect(raw string) (*Parsed, []*RuleError) {
	return p.run(raw, false)
}

func (p Policy) run(raw string, first bool) (*Parsed, []*RuleError) {
	c := candidate{policy: &p, raw: raw}
	if p.Now == nil {
		p.Now = time.Now
	}
	c.now = p.Now()
	var broken []*RuleError
	for i := range rules {
		r := &rules[i]
		if r.context && p.timeless {
			continue
		}
		if reason := r.check(&c); reason != "" {
			broken = append(broken, &RuleError{Code: r.code, Reason: reason})
			if first {
				return nil, broken
			}
			if r.gate {
				break
			}
		}
	}
	if c.url == "" {
		return nil, broken
	}
	c.out.Length = len(raw)
	if len(broken) > 0 {
		return &c.out, broken
	}
	c.seal()
	out := c.out // without the rest of the candidate, which would stay in memory
	return &out, nil
}

// Recheck checks a token again that Check or Parse returned, against the rules that
// depend on the policy and the clock: V07, V14, V16, V17 and V22. It fails with
// *RuleError, also for a Parsed that neither of them returned or whose exported fields
// were changed since.
func (p Policy) Recheck(t *Parsed) error {
	if t.checked == nil {
		return &RuleError{Code: "V23", Reason: "the token was not checked"}
	}
	done := t.checked()
	if t.Host != done.host || t.Region != done.region || t.AccessKeyID != done.keyID || !t.SignedAt.Equal(done.signedAt) {
		return &RuleError{Code: "V23", Reason: "the token was changed after it was checked"}
	}
	c := candidate{policy: &p, authority: done.host, scoped: true, dated: true, out: *t}
	if p.Now == nil {
		p.Now = time.Now
	}
	c.now = p.Now()
	for i := range rules {
		if r := &rules[i]; r.context || r.policy {
			if reason := r.check(&c); reason != "" {
				return &RuleError{Code: r.code, Reason: reason}
			}
		}
	}
	return nil
}

func checkLength(c *candidate) string {
	if len(c.raw) > MaxLength {
		return fmt.Sprintf("the token is longer than %d bytes", MaxLength)
	}
	return ""
}

func checkPrefix(c *candidate) string {
	if !strings.HasPrefix(c.raw, Prefix) {
		return "the token does not begin with " + Prefix
	}
	return ""
}

func checkEncoding(c *candidate) string {
	body := c.raw[len(Prefix):]
	// Go's decoder skips line breaks; a strict decoder does not.
	if strings.ContainsAny(body, "\r\n") {
		return "the token has a line break"
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return "the token is not unpadded base64url"
	}
	c.url = string(decoded)
	return ""
}

func checkText(c *candidate) string {
	for i := 0; i < len(c.url); i++ {
		if b := c.url[i]; b <= ' ' || b >= 0x7f || b == '\\' {
			if !utf8.ValidString(c.url) {
				return "the URL is not UTF-8"
			}
			return fmt.Sprintf("the URL has the byte 0x%02x", b)
		}
	}
	query, plain := plainURL(c.url)
	if !plain {
		u, err := url.Parse(c.url)
		if err != nil {
			return "the URL does not parse"
		}
		query = u.RawQuery
	}
	// url.Parse does not check the query: a broken escape in it is found here.
	for {
		i := strings.IndexByte(query, '%')
		if i < 0 {
			return ""
		}
		if query = query[i+1:]; len(query) < 2 || !isHex(query[0]) || !isHex(query[1]) {
			return "the URL has a broken percent escape"
		}
		query = query[2:]
	}
}

// plainURL recognizes the form of every good token, which needs no url.Parse: https, a
// host of letters, digits, dots and hyphens, the path /, a query and no fragment.
func plainURL(s string) (query string, ok bool) {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		return "", false
	}
	i := strings.IndexByte(rest, '/')
	if i <= 0 || !only(rest[:i], func(b byte) bool { return isWord(b) && b != '_' || b == '.' || b == '-' }) {
		return "", false
	}
	query, ok = strings.CutPrefix(rest[i:], "/?")
	return query, ok && strings.IndexByte(query, '#') < 0
}

func isHex(b byte) bool { return isLowerHex(b) || b >= 'A' && b <= 'F' }

func checkScheme(c *candidate) string {
	rest, ok := strings.CutPrefix(c.url, "https://")
	if !ok {
		return "the URL must begin with https://"
	}
	c.authority = rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		c.authority, rest = rest[:i], rest[i:]
		rest, _, _ = strings.Cut(rest, "#")
		c.path, c.query, _ = strings.Cut(rest, "?")
	}
	// In a mangled URL the host may contain anything, even a signature.
	if only(c.authority, isHostByte) {
		c.out.Host = c.authority
	}
	return ""
}

func isHostByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '-' || b == ':' || b == '[' || b == ']'
}

func checkAuthority(c *candidate) string {
	switch {
	case strings.Contains(c.url, "#"):
		return "the URL has a fragment"
	case strings.Contains(c.authority, "@"):
		return "the URL has user information"
	case strings.HasSuffix(c.authority, ":"):
		return "the URL has an empty port"
	}
	return ""
}

func checkHost(c *candidate) string {
	for _, e := range c.policy.ExtraHosts {
		if e.Host == c.authority && e.Host != "" {
			c.endpoint = e
			return ""
		}
	}
	e, ok := identity.LookupSTSHost(c.authority)
	if !ok {
		e, ok = c.policy.newHost(c.authority)
	}
	if !ok {
		return "the host is not an AWS STS host"
	}
	c.endpoint = e
	if p := c.policy.Partition; p != "" && e.Partition != p {
		return fmt.Sprintf("the host is of partition %s, not %s", e.Partition, p)
	}
	if only := c.policy.OnlyRegions; len(only) > 0 && !slices.Contains(only, e.Region) {
		return fmt.Sprintf("the host is of region %s, which is not allowed", e.Region)
	}
	return ""
}

// newHost looks among the hosts of the configured regions.
func (p *Policy) newHost(host string) (identity.STSEndpoint, bool) {
	for _, region := range p.Regions {
		endpoints, err := identity.STSEndpointsOfRegion(region)
		if err != nil {
			continue
		}
		for _, e := range endpoints {
			if e.Host == host {
				return e, true
			}
		}
	}
	return identity.STSEndpoint{}, false
}

func checkPath(c *candidate) string {
	if c.path != "/" {
		return "the path is not /"
	}
	return ""
}

func (c *candidate) exactly(key, want string) string {
	switch got, ok := c.values.get(key); {
	case !ok:
		return key + " is missing"
	case got != want:
		return key + " is not " + want
	}
	return ""
}

func checkRegion(c *candidate) string {
	if c.scoped && c.endpoint.Host != "" && c.out.Region != c.endpoint.Region {
		return "the credential scope has another region than the host"
	}
	return ""
}

func checkFuture(c *candidate) string {
	limit := min(MaxSkew, c.policy.maxAge()+ClockTolerance)
	if c.dated && c.out.SignedAt.Sub(c.now) > limit {
		return fmt.Sprintf("the token was signed more than %s in the future", inMinutes(limit))
	}
	return ""
}

func checkAge(c *candidate) string {
	limit := c.policy.maxAge()
	if c.dated && c.now.Sub(c.out.SignedAt) > limit {
		return fmt.Sprintf("the token was signed more than %s ago", limit)
	}
	return ""
}

func (p *Policy) maxAge() time.Duration {
	if p.MaxAge <= 0 || p.MaxAge > Lifetime {
		return Lifetime
	}
	return p.MaxAge
}

func inMinutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + " minutes"
	}
	return d.String()
}

func checkDenied(c *candidate) string {
	for _, k := range c.policy.DeniedKeys {
		if k == c.out.AccessKeyID {
			return "the access key is on the deny list"
		}
	}
	return ""
}
