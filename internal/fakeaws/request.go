package fakeaws

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The services, by the name that a credential scope gives them.
const (
	serviceSTS = "sts"
	serviceEKS = "eks"
	serviceIAM = "iam"
	serviceEC2 = "ec2"

	servicePortal = "awsssoportal"
	serviceOIDC   = "sso-oauth"
)

// isREST reports whether a service speaks JSON, its actions being routes.
func isREST(service string) bool {
	return service == serviceEKS || service == servicePortal || service == serviceOIDC
}

// call is one request on its way to an answer.
type call struct {
	r         *http.Request
	w         http.ResponseWriter
	at        time.Time // the server's clock when the request came
	requestID string

	path   string // as sent, still escaped
	query  []pair // as sent, in order, unescaped
	body   []byte
	params map[string]string // of the query protocol: URL and form
	labels []string          // of a REST path: what stands for its placeholders, unescaped

	signed  bool           // or claims to be
	auth    *authorization // nil if there is none that parses
	service string
	action  Action

	callerARN string // once verified
	status    int    // once answered
	code      string
}

// pair is one name and value of a query string or form.
type pair struct{ key, value string }

// parseTarget takes the request target apart exactly as it was sent: Go's own
// URL has lost the difference between some spellings that are signed
// differently.
func (c *call) parseTarget() *apiError {
	target := c.r.RequestURI
	if target == "" {
		target = c.r.URL.RequestURI() // a request that came over no wire
	}
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		return &apiError{"MalformedQueryString", "The request target must be in origin form.", http.StatusBadRequest}
	}
	c.path = path
	pairs, err := parsePairs(query)
	if err != nil {
		return malformedQuery()
	}
	c.query = pairs
	return nil
}

// parsePairs reads a query string. Verifying the signature and running the
// action both use what it returns, so that what was signed is what is done.
func parsePairs(raw string) ([]pair, error) {
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return nil, err
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// parseParams gathers the parameters of the query protocol, from the URL and,
// for a form, from the body. A name given twice is refused: which of the two
// counts is not something to guess at.
func (c *call) parseParams() *apiError {
	c.params = map[string]string{}
	pairs := c.query
	if !isREST(c.service) && c.r.Method == http.MethodPost && len(c.body) <= maxBody {
		mediaType, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
		if strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
			form, err := parsePairs(string(c.body))
			if err != nil {
				return malformedQuery()
			}
			pairs = append(pairs[:len(pairs):len(pairs)], form...)
		}
	}
	for _, p := range pairs {
		if _, twice := c.params[p.key]; twice && !(c.service == serviceEKS && p.key == tagKeys) {
			return malformedQuery()
		}
		c.params[p.key] = p.value
	}
	return nil
}

// has reports the value of a query parameter and whether it was given.
func (c *call) has(key string) (string, bool) {
	for _, p := range c.query {
		if p.key == key {
			return p.value, true
		}
	}
	return "", false
}

// serviceOf decides whose words a request is answered in: the scope's service,
// and, for a request without one that is known, the likeliest.
func serviceOf(c *call) string {
	if c.auth != nil {
		switch c.auth.service {
		case serviceSTS, serviceEKS, serviceIAM, serviceEC2:
			return c.auth.service
		}
	}
	if service, _, ok := awsHost(c.r.Host); ok {
		return service
	}
	for _, prefix := range []string{"/clusters", "/access-policies", "/tags/"} {
		if strings.HasPrefix(c.path, prefix) {
			return serviceEKS
		}
	}
	for service, known := range routes {
		if _, ok := known[c.r.Method+" "+c.path]; ok {
			return service
		}
	}
	return serviceSTS
}

// checkRoute refuses, once the signature holds, what no service has.
func (c *call) checkRoute() *apiError {
	if isREST(c.service) {
		return nil // its actions are the routes
	}
	if c.path != "/" {
		return &apiError{"UnknownOperationException", "Unknown operation.", http.StatusNotFound}
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodPost {
		return &apiError{"InvalidAction", "Only GET and POST are supported.", http.StatusMethodNotAllowed}
	}
	return nil
}

func (c *call) record() Record {
	rec := Record{Time: c.at, Action: c.action, Host: c.r.Host, CallerARN: c.callerARN, Status: c.status, Code: c.code}
	if c.auth != nil {
		rec.Region, rec.AccessKeyID = c.auth.region, c.auth.keyID
	}
	return rec
}
