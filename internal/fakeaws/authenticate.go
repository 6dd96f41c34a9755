package fakeaws

import (
	"crypto/subtle"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// authenticate finds out who signed the request, or why it is refused.
func (s *Server) authenticate(c *call) (*credential, *apiError) {
	a := c.auth
	if err := c.checkScope(); err != nil {
		return nil, err
	}
	if err := c.checkSignedHeaders(); err != nil {
		return nil, err
	}
	who := s.credentialOf(a.keyID)
	if who == nil || who.owner.account.partition != partitionOf(a.region) {
		return nil, invalidToken()
	}
	if subtle.ConstantTimeCompare([]byte(a.token), []byte(who.key.SessionToken)) != 1 {
		return nil, invalidToken()
	}
	if err := a.checkAge(c.at, c.service); err != nil {
		return nil, err
	}
	canonical, ok := c.canonicalRequest()
	if !ok {
		return nil, mismatch(messageMismatch)
	}
	want := a.sign(canonical, who.key.SecretAccessKey)
	if subtle.ConstantTimeCompare([]byte(want), []byte(a.signature)) != 1 {
		return nil, mismatch(messageMismatch)
	}
	if who.expired(c.at) {
		return nil, expiredToken()
	}
	return who, nil
}

// checkScope holds the credential scope against the host: AWS's own hosts each
// belong to one service and region. Any other host takes all of them.
func (c *call) checkScope() *apiError {
	a := c.auth
	service, region, known := awsHost(c.r.Host)
	if !known {
		service, region = c.service, a.region
	}
	if a.service != service {
		return mismatch(fmt.Sprintf("Credential should be scoped to correct service: '%s'.", service))
	}
	if a.region != region || !validRegion(a.region) {
		return mismatch("Credential should be scoped to a valid region.")
	}
	return nil
}

// checkSignedHeaders refuses a request whose host, or any x-amz- header, is
// outside the signature, and one whose stated payload digest is not its body's.
func (c *call) checkSignedHeaders() *apiError {
	if !slices.Contains(c.auth.signedHeaders, "host") {
		return mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range c.r.Header {
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(c.auth.signedHeaders, strings.ToLower(name)) {
			return mismatch(fmt.Sprintf("'%s' must be a 'SignedHeader' in the AWS Authorization.", textproto.CanonicalMIMEHeaderKey(name)))
		}
	}
	if digest := c.r.Header.Get("X-Amz-Content-Sha256"); digest != "" && digest != hexDigest(c.body) {
		return mismatch(messageMismatch)
	}
	return nil
}
