package fakeaws

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

// jwt is a JSON Web Token, parsed and not verified (RFC 7519, RFC 7515).
type jwt struct {
	keyID     string
	claims    jwtClaims
	signed    string // the bytes that the signature covers
	signature []byte
}

type jwtClaims struct {
	Issuer     string    `json:"iss"`
	Subject    string    `json:"sub"`
	Audience   audiences `json:"aud"`
	Authorized string    `json:"azp"`
	Expires    *int64    `json:"exp"`
	IssuedAt   *int64    `json:"iat"`
}

// audiences is one or several, as RFC 7519 allows.
type audiences []string

func (a *audiences) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// missing names the first claim that has to be there and is not.
func (c jwtClaims) missing() string {
	switch {
	case c.Issuer == "":
		return "iss"
	case c.Subject == "":
		return "sub"
	case len(c.Audience) == 0 || c.Audience[0] == "":
		return "aud"
	case c.Expires == nil:
		return "exp"
	case c.IssuedAt == nil:
		return "iat"
	}
	return ""
}

// audience is whom the token is for: azp, where it is set, goes before aud
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif).
func (c jwtClaims) audience() string {
	if c.Authorized != "" {
		return c.Authorized
	}
	return c.Audience[0]
}

var errNoJWT = errors.New("not a JWT signed by RS256")

// parseJWT takes RS256 only: the algorithm is the server's choice, never the
// token's, or "none" would be one.
func parseJWT(token string) (jwt, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || strings.ContainsAny(token, "\r\n") { // which the decoder would pass over
		return jwt{}, errNoJWT
	}
	var raw [3][]byte
	for i, part := range parts {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return jwt{}, errNoJWT
		}
		raw[i] = decoded
	}
	var header struct {
		Algorithm string          `json:"alg"`
		KeyID     string          `json:"kid"`
		Critical  json.RawMessage `json:"crit"`
	}
	if json.Unmarshal(raw[0], &header) != nil || header.Algorithm != "RS256" || header.Critical != nil {
		return jwt{}, errNoJWT
	}
	parsed := jwt{keyID: header.KeyID, signed: parts[0] + "." + parts[1], signature: raw[2]}
	if json.Unmarshal(raw[1], &parsed.claims) != nil {
		return jwt{}, errNoJWT
	}
	return parsed, nil
}

func (t jwt) signedBy(key *rsa.PublicKey) bool {
	digest := sha256.Sum256([]byte(t.signed))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], t.signature) == nil
}
