package fakeaws

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
)

// authorization is what a request claims about its signature; none of it is
// verified yet.
type authorization struct {
	keyID, date, region, service string // the credential scope
	signedHeaders                []string
	signature                    string
	token                        string
	signedAt                     time.Time
	presigned                    bool
}

// parseAuthorization reads the claim from the Authorization header or from the
// query string, as AWS's specification has them
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html).
// Where the scope could be read, the authorization comes back even beside an
// error, so that the answer takes its service's shape.
func parseAuthorization(c *call) (*authorization, *apiError) {
	headers := c.r.Header.Values("Authorization")
	_, inQuery := c.has("X-Amz-Algorithm")
	c.signed = len(headers) > 0 || inQuery
	switch {
	case !c.signed:
		return nil, missingToken()
	case len(headers) > 1 || len(headers) == 1 && inQuery:
		return nil, incomplete("Only one authorization may be given.")
	case inQuery:
		return parsePresigned(c)
	}
	return parseHeader(c, headers[0])
}

func parseHeader(c *call, header string) (*authorization, *apiError) {
	// AWS names a refused header by its digest, so that no signature is echoed.
	digest := sha256.Sum256([]byte(header))
	suffix := fmt.Sprintf(" (Hashed with SHA-256 and encoded with Base64) Authorization=%s", base64.StdEncoding.EncodeToString(digest[:]))
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return nil, incomplete(fmt.Sprintf("Unsupported AWS 'algorithm'.%s", suffix))
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[key]; !ok || twice {
			return nil, incomplete(fmt.Sprintf("Not a valid key=value pair (missing equal-sign) in Authorization header.%s", suffix))
		}
		fields[key] = value
	}
	var missing strings.Builder
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[key] == "" {
			fmt.Fprintf(&missing, "Authorization header requires '%s' parameter. ", key)
		}
	}
	date := c.r.Header.Get("X-Amz-Date")
	if date == "" {
		// The plain Date header counts where there is no other, in HTTP's form.
		if t, err := http.ParseTime(c.r.Header.Get("Date")); err == nil {
			date = t.UTC().Format(timeFormat)
		} else {
			missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
		}
	}
	if missing.Len() > 0 {
		return nil, incomplete(strings.TrimSpace(missing.String()) + suffix)
	}
	return newAuthorization(fields["Credential"], fields["SignedHeaders"], fields["Signature"], date,
		c.r.Header.Get("X-Amz-Security-Token"), false)
}

func parsePresigned(c *call) (*authorization, *apiError) {
	params := map[string]string{}
	for _, p := range c.query {
		if !strings.HasPrefix(p.key, "X-Amz-") {
			continue
		}
		if _, twice := params[p.key]; twice {
			return nil, incomplete(fmt.Sprintf("AWS query-string parameters must be given once: '%s'.", p.key))
		}
		params[p.key] = p.value
	}
	if params["X-Amz-Algorithm"] != algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm'.")
	}
	for _, key := range []string{"X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if params[key] == "" {
			return nil, incomplete(fmt.Sprintf("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", key))
		}
	}
	return newAuthorization(params["X-Amz-Credential"], params["X-Amz-SignedHeaders"], params["X-Amz-Signature"],
		params["X-Amz-Date"], params["X-Amz-Security-Token"], true)
}

func newAuthorization(credential, signedHeaders, signature, date, token string, presigned bool) (*authorization, *apiError) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 {
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	a := &authorization{
		keyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signedHeaders: strings.Split(signedHeaders, ";"),
		signature:     signature,
		token:         token,
		presigned:     presigned,
	}
	if scope[4] != terminator {
		return a, mismatch(fmt.Sprintf("Credential should be scoped with a valid terminator: '%s'.", terminator))
	}
	signedAt, err := time.Parse(timeFormat, date)
	if err != nil {
		return a, incomplete("Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	a.signedAt = signedAt
	if day := signedAt.Format("20060102"); a.date != day {
		return a, mismatch(fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			a.date, day, signedAt.Format(timeFormat)))
	}
	// Names in another case or order would leave two spellings of one request.
	if !slices.IsSorted(a.signedHeaders) || strings.ToLower(signedHeaders) != signedHeaders ||
		len(slices.Compact(slices.Clone(a.signedHeaders))) != len(a.signedHeaders) {
		return a, mismatch(messageMismatch)
	}
	return a, nil
}
