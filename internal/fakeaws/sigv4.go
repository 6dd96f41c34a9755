package fakeaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/textproto"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// canonicalRequest builds the text that the signature covers, from the request
// as it was sent
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
// It reports false where a header that should be signed does not exist.
func (c *call) canonicalRequest() (string, bool) {
	var b strings.Builder
	b.WriteString(c.r.Method)
	b.WriteByte('\n')
	b.WriteString(canonicalPath(c.path))
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(c.query))
	b.WriteByte('\n')
	for _, name := range c.auth.signedHeaders {
		values, ok := c.header(name)
		if !ok {
			return "", false
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(collapseSpaces(v))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(c.auth.signedHeaders, ";"))
	b.WriteByte('\n')
	b.WriteString(hexDigest(c.body))
	return b.String(), true
}

// header gives the values of a header as they were sent. Go's server takes Host
// out of the header map.
func (c *call) header(name string) ([]string, bool) {
	if name == "host" {
		return []string{c.r.Host}, true
	}
	values, ok := c.r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	if !ok && name == "content-length" && c.r.ContentLength >= 0 {
		return []string{strconv.FormatInt(c.r.ContentLength, 10)}, true
	}
	return values, ok
}

// sign computes the signature that the request should bear, in hex.
func (a *authorization) sign(canonical, secret string) string {
	scope := strings.Join([]string{a.date, a.region, a.service, terminator}, "/")
	toSign := strings.Join([]string{algorithm, a.signedAt.Format(timeFormat), scope, hexDigest([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.date, a.region, a.service, terminator, toSign} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(key)
}

// canonicalPath normalises a path and escapes it once more, as every service
// but S3 has it: what was sent as %20 is signed as %2520.
func canonicalPath(raw string) string {
	clean := path.Clean(raw)
	if strings.HasSuffix(raw, "/") && clean != "/" {
		clean += "/"
	}
	return escape(clean, true)
}

// canonicalQuery escapes each name and value, sorts them by name and then by
// value, and leaves the signature itself out.
func canonicalQuery(query []pair) string {
	escaped := make([]pair, 0, len(query))
	for _, p := range query {
		if p.key != "X-Amz-Signature" {
			escaped = append(escaped, pair{escape(p.key, false), escape(p.value, false)})
		}
	}
	slices.SortFunc(escaped, func(a, b pair) int {
		if n := strings.Compare(a.key, b.key); n != 0 {
			return n
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range escaped {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.key)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

// escape percent-encodes all but RFC 3986's unreserved characters, and `/`
// where it is to stay.
func escape(s string, keepSlash bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch ch := s[i]; {
		case 'A' <= ch && ch <= 'Z', 'a' <= ch && ch <= 'z', '0' <= ch && ch <= '9',
			ch == '-', ch == '_', ch == '.', ch == '~', ch == '/' && keepSlash:
			b.WriteByte(ch)
		default:
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	return b.String()
}

func collapseSpaces(s string) string {
	s = strings.TrimSpace(s)
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checkAge refuses a signature outside the window around the server's clock.
// STS and IAM allow 15 minutes to either side and take no notice of
// X-Amz-Expires; EKS allows 5. Both are in the words of AWS's own refusals.
func (a *authorization) checkAge(now time.Time, service string) *apiError {
	window := 15 * time.Minute
	if service == serviceEKS {
		window = 5 * time.Minute
	}
	now = now.Truncate(time.Second)
	if oldest := now.Add(-window); a.signedAt.Before(oldest) {
		return mismatch(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			a.signedAt.Format(timeFormat), oldest.Format(timeFormat), now.Format(timeFormat), window/time.Minute))
	}
	if newest := now.Add(window); a.signedAt.After(newest) {
		return mismatch(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			a.signedAt.Format(timeFormat), newest.Format(timeFormat), now.Format(timeFormat), window/time.Minute))
	}
	return nil
}
