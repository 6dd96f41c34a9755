package fakeaws

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// OIDCProvider is an OpenID Connect provider that an account trusts, such as a
// cluster's issuer of service account tokens.
type OIDCProvider struct {
	Account   string
	Issuer    string                    // the tokens' iss, such as https://oidc.eks.eu-west-1.amazonaws.com/id/ABC
	Audiences []string                  // accepted; empty means sts.amazonaws.com
	Keys      map[string]*rsa.PublicKey // by key id; what AWS would fetch from the issuer
}

// AddOIDCProvider adds a provider and returns its ARN, which is what a role's
// trust policy names as Federated.
func (s *Server) AddOIDCProvider(p OIDCProvider) (string, error) {
	u, err := url.Parse(p.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("adding OIDC provider: %q is not an issuer", p.Issuer)
	}
	for id, key := range p.Keys {
		if key == nil || key.N.BitLen() < 2048 {
			return "", fmt.Errorf("adding OIDC provider: key %q is not an RSA key of 2048 bits", id)
		}
	}
	acct, err := s.account(p.Account, "aws")
	if err != nil {
		return "", fmt.Errorf("adding OIDC provider: %w", err)
	}
	p.Keys = maps.Clone(p.Keys)
	p.Audiences = slices.Clone(p.Audiences)
	if len(p.Audiences) == 0 {
		p.Audiences = []string{"sts.amazonaws.com"}
	}
	arn := p.arn(acct.partition)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.oidc[arn]; exists {
		return "", fmt.Errorf("adding OIDC provider: %s exists", arn)
	}
	s.oidc[arn] = &p
	return arn, nil
}

func (p *OIDCProvider) arn(partition string) string {
	return "arn:" + partition + ":iam::" + p.Account + ":oidc-provider/" + strings.TrimPrefix(p.Issuer, "https://")
}

type webIdentityRole struct {
	assumedRole
	SubjectFromWebIdentityToken string
	Provider                    string
	Audience                    string
}

// webIdentityParams are the parameters that are understood, as with AssumeRole.
var webIdentityParams = []string{"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "WebIdentityToken"}

// assumeRoleWithWebIdentity needs no signature: the token says who is calling
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
func (s *Server) assumeRoleWithWebIdentity(c *call) (any, *apiError) {
	duration, err := checkRoleRequest(c.params, webIdentityParams)
	if err != nil {
		return nil, err
	}
	// The member is marked sensitive, so its value is not quoted.
	if n := len(c.params["WebIdentityToken"]); n < 4 || n > 20000 {
		return nil, validation("1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length between 4 and 20000, inclusive")
	}
	role := s.principalByARN(c.params["RoleArn"])
	if role == nil || role.kind != kindRole {
		return nil, accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	claims, provider, err := s.verifyWebIdentity(c.params["WebIdentityToken"], role.account, c.at)
	if err != nil {
		return nil, err
	}
	ctx := map[string]string{
		"sts:rolesessionname":                   c.params["RoleSessionName"],
		strings.ToLower(provider.name + ":sub"): claims.Subject,
		strings.ToLower(provider.name + ":aud"): claims.audience(),
	}
	if s.trustOf(role).decide(AssumeRoleWithWebIdentity, "", ctx, provider.isNamed) != allowed {
		return nil, accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	if duration > role.maxSession {
		return nil, validation(messageTooLong)
	}
	session := s.newSession(role, c.params["RoleSessionName"], c.at.Add(duration))
	return webIdentityRole{
		assumedRole:                 newAssumedRole(session),
		SubjectFromWebIdentityToken: claims.Subject,
		Provider:                    claims.Issuer,
		Audience:                    claims.audience(),
	}, nil
}

// webProvider is a provider that vouched for a token.
type webProvider struct {
	arn  string
	name string // the issuer without its scheme, as condition keys have it
}

// isNamed reports whether a statement is about the provider's callers.
func (p webProvider) isNamed(st statement) bool {
	return slices.Contains(st.federated, p.arn) || slices.Contains(st.principals, "*")
}

// verifyWebIdentity checks all that does not depend on the role: who issued the
// token, for whom, its signature, and its time.
func (s *Server) verifyWebIdentity(token string, acct *account, now time.Time) (jwtClaims, webProvider, *apiError) {
	fail := func(err *apiError) (jwtClaims, webProvider, *apiError) { return jwtClaims{}, webProvider{}, err }
	parsed, err := parseJWT(token)
	if err != nil {
		return fail(invalidIdentity("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"))
	}
	claims := parsed.claims
	if claim := claims.missing(); claim != "" {
		return fail(invalidIdentity("Missing a required claim: " + claim))
	}
	named := OIDCProvider{Account: acct.id, Issuer: claims.Issuer}
	arn := named.arn(acct.partition)
	s.mu.Lock()
	provider := s.oidc[arn]
	s.mu.Unlock()
	if provider == nil || provider.Issuer != claims.Issuer {
		return fail(invalidIdentity("No OpenIDConnect provider found in your account for " + claims.Issuer))
	}
	key := provider.Keys[parsed.keyID]
	if key == nil {
		return fail(invalidIdentity("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"))
	}
	if !parsed.signedBy(key) {
		return fail(invalidIdentity("The web identity token that was passed could not be validated by Amazon Web Services"))
	}
	if expires := *claims.Expires; now.Unix() >= expires {
		return fail(&apiError{"ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), expires), http.StatusBadRequest})
	}
	if !slices.Contains(provider.Audiences, claims.audience()) {
		return fail(invalidIdentity("Incorrect token audience"))
	}
	return claims, webProvider{arn: arn, name: strings.TrimPrefix(claims.Issuer, "https://")}, nil
}

func invalidIdentity(message string) *apiError {
	return &apiError{"InvalidIdentityToken", message, http.StatusBadRequest}
}
