package token

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

const sessionTokenKey = "X-Amz-Security-Token" // #nosec G101 -- a parameter's name

// known are the query keys that a token may have, each once. Required keys are checked
// by the rule of each.
var known = [...]string{
	"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date",
	"X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", sessionTokenKey,
}

// values are those of the known keys, in the order of known. A value is never empty.
type values [len(known)]string

func (v *values) get(key string) (string, bool) {
	i := place(key)
	if i < 0 {
		return "", false
	}
	return v[i], v[i] != ""
}

// place is the place of a key in known, or -1.
func place(key string) int {
	for i, k := range known {
		if k == key {
			return i
		}
	}
	return -1
}

func checkQuery(c *candidate) string {
	for pair := range strings.SplitSeq(c.query, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		i := place(key)
		if i < 0 {
			return "the query has an unknown key"
		}
		if c.values[i] != "" {
			return key + " stands there twice"
		}
		if strings.ContainsAny(raw, ";=") {
			return key + " has a separator in its value"
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return key + " has a broken percent escape"
		}
		if value == "" {
			return key + " is empty"
		}
		c.values[i] = value
	}
	return ""
}

func checkCredential(c *candidate) string {
	value, ok := c.values.get("X-Amz-Credential")
	if !ok {
		return "X-Amz-Credential is missing"
	}
	parts := strings.Split(value, "/")
	if len(parts) != 5 {
		return "the credential does not have five parts"
	}
	if !ValidAccessKeyID(parts[0]) {
		return "the access key id is not 16 to 128 letters and digits"
	}
	if parts[3] != service || parts[4] != "aws4_request" {
		return "the credential scope does not end in sts/aws4_request"
	}
	c.out.AccessKeyID, c.out.scopeDate, c.out.Region = parts[0], parts[1], parts[2]
	c.scoped = true
	return ""
}

// ValidAccessKeyID reports whether s has the shape of an access key id: 16 to 128
// letters, digits and underscores.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
func ValidAccessKeyID(s string) bool { return len(s) >= 16 && len(s) <= 128 && only(s, isWord) }

func checkDate(c *candidate) string {
	value, ok := c.values.get("X-Amz-Date")
	if !ok {
		return "X-Amz-Date is missing"
	}
	// The length rejects forms that time.Parse would accept, such as fractions.
	at, err := time.Parse(dateLayout, value)
	if err != nil || len(value) != len(dateLayout) {
		return "X-Amz-Date does not have the form " + dateLayout
	}
	c.out.SignedAt, c.dated = at, true
	if c.scoped && c.out.scopeDate != value[:8] {
		return "the credential scope has another date than X-Amz-Date"
	}
	return ""
}

func checkExpires(c *candidate) string {
	value, ok := c.values.get("X-Amz-Expires")
	if !ok {
		return "X-Amz-Expires is missing"
	}
	seconds, err := strconv.ParseUint(value, 10, 16)
	if err != nil || strconv.FormatUint(seconds, 10) != value || seconds > uint64(MaxExpires/time.Second) {
		return "X-Amz-Expires is not a plain number from 0 to 900"
	}
	c.out.Expires = time.Duration(seconds) * time.Second
	return ""
}

func checkSignedHeaders(c *candidate) string {
	value, _ := c.values.get("X-Amz-SignedHeaders")
	for h := range strings.SplitSeq(value, ";") {
		c.out.ClusterSigned = c.out.ClusterSigned || h == ClusterHeader
	}
	return c.exactly("X-Amz-SignedHeaders", signedHeaders)
}

func checkSignature(c *candidate) string {
	value, ok := c.values.get("X-Amz-Signature")
	if !ok {
		return "X-Amz-Signature is missing"
	}
	if len(value) != 64 || !only(value, isLowerHex) {
		return "X-Amz-Signature is not 64 lower-case hexadecimal digits"
	}
	c.secret.signature = value
	return ""
}

func checkSessionToken(c *candidate) string {
	value, ok := c.values.get(sessionTokenKey)
	if !ok {
		return ""
	}
	c.out.Temporary = true
	if !only(value, func(b byte) bool { return b > ' ' && b < 0x7f }) {
		return sessionTokenKey + " has a character that is not printable ASCII"
	}
	c.secret.sessionToken = value
	return ""
}

func only(s string, ok func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
}

func isLowerHex(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' }
