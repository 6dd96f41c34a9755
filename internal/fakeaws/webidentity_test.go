package fakeaws_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
	subject = "system:serviceaccount:apps:web"
)

var issuerKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// sign makes a JWT.
func sign(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	part := func(v map[string]any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(header) + "." + part(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func goodClaims() map[string]any {
	now := time.Now()
	return map[string]any{"iss": issuer, "sub": subject, "aud": []string{"sts.amazonaws.com"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// newIssuer is a cloud that trusts an issuer, and a role for one of its subjects.
func newIssuer(t *testing.T) (c *cloud, role string) {
	t.Helper()
	c = newCloud(t, fakeaws.Config{})
	provider, err := c.AddOIDCProvider(fakeaws.OIDCProvider{Account: account, Issuer: issuer, Keys: map[string]*rsa.PublicKey{"k1": &issuerKey().PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	return c, c.role(t, fakeaws.Role{Name: "web", TrustPolicy: webTrust(provider, subject)})
}

func webTrust(provider, subject string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub":%q,"oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud":"sts.amazonaws.com"}}}]}`, provider, subject)
}

func (c *cloud) assumeWeb(in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	cfg := c.sdk(fakeaws.Key{}, "eu-west-1")
	cfg.Credentials = aws.AnonymousCredentials{}
	return sts.NewFromConfig(cfg).AssumeRoleWithWebIdentity(context.Background(), in)
}

func TestWebIdentity(t *testing.T) {
	c, role := newIssuer(t)
	token := sign(t, issuerKey(), map[string]any{"alg": "RS256", "kid": "k1"}, goodClaims())
	out, err := c.assumeWeb(&sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("pod"), WebIdentityToken: &token, DurationSeconds: aws.Int32(1800)})
	if err != nil {
		t.Fatal(err)
	}
	if *out.SubjectFromWebIdentityToken != subject || *out.Provider != issuer || *out.Audience != "sts.amazonaws.com" || time.Until(*out.Credentials.Expiration) > 30*time.Minute {
		t.Errorf("%s %s %s %s", *out.SubjectFromWebIdentityToken, *out.Provider, *out.Audience, out.Credentials.Expiration)
	}
	key := fakeaws.Key{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
	if got := *c.whoami(t, key).Arn; got != "arn:aws:sts::111122223333:assumed-role/web/pod" {
		t.Errorf("the pod is %s", got)
	}
	// The same role cannot be assumed by a key, nor another by the token.
	_, _, err = c.assume(c.alice, assumeInput(role))
	wantCode(t, err, "AccessDenied", 403)
	open := c.role(t, fakeaws.Role{Name: "open"})
	_, err = c.assumeWeb(&sts.AssumeRoleWithWebIdentityInput{RoleArn: &open, RoleSessionName: aws.String("pod"), WebIdentityToken: &token})
	wantCode(t, err, "AccessDenied", 403)
}

func TestWebIdentityRefused(t *testing.T) {
	c, role := newIssuer(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := c.role(t, fakeaws.Role{Name: "elsewhere", Account: "444455556666", TrustPolicy: webTrust("arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC", subject)})
	denying := c.role(t, fakeaws.Role{Name: "denying", TrustPolicy: strings.Replace(webTrust("arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC", subject),
		`"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*"},`, 1)})
	type request struct {
		header, claims map[string]any
		key            *rsa.PrivateKey
		token          func(string) string
		in             sts.AssumeRoleWithWebIdentityInput
	}
	claim := func(name string, value any) func(*request) {
		return func(r *request) {
			if value == nil {
				delete(r.claims, name)
				return
			}
			r.claims[name] = value
		}
	}
	header := func(name string, value any) func(*request) { return func(r *request) { r.header[name] = value } }
	past := time.Now().Add(-time.Minute).Unix()
	tests := []struct {
		name    string
		mutate  func(*request)
		code    string
		message string // its beginning
	}{
		{"nothing wrong", func(*request) {}, "", ""},
		{"one audience as text", claim("aud", "sts.amazonaws.com"), "", ""},
		{"azp in place of aud", func(r *request) { r.claims["aud"], r.claims["azp"] = "x", "sts.amazonaws.com" }, "", ""},
		{"another issuer", claim("iss", issuer+"D"), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://"},
		{"issuer without scheme", claim("iss", strings.TrimPrefix(issuer, "https://")), "InvalidIdentityToken", "No OpenIDConnect provider"},
		{"another audience", claim("aud", "other"), "InvalidIdentityToken", "Incorrect token audience"},
		{"azp before aud", claim("azp", "other"), "InvalidIdentityToken", "Incorrect token audience"},
		{"another subject", claim("sub", subject+"2"), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{"expired", claim("exp", past), "ExpiredTokenException", "Token expired: current date/time "},
		{"no expiry", claim("exp", nil), "InvalidIdentityToken", "Missing a required claim: exp"},
		{"no subject", claim("sub", nil), "InvalidIdentityToken", "Missing a required claim: sub"},
		{"no audience", claim("aud", []string{}), "InvalidIdentityToken", "Missing a required claim: aud"},
		{"no date", claim("iat", nil), "InvalidIdentityToken", "Missing a required claim: iat"},
		{"no issuer", claim("iss", nil), "InvalidIdentityToken", "Missing a required claim: iss"},
		{"expiry that is text", claim("exp", "never"), "InvalidIdentityToken", "The ID Token provided is not a valid JWT"},
		{"another key", func(r *request) { r.key = stranger }, "InvalidIdentityToken", "The web identity token that was passed could not be validated"},
		{"another key's id", header("kid", "k2"), "InvalidIdentityToken", "Couldn't retrieve verification key"},
		{"no algorithm", header("alg", "none"), "InvalidIdentityToken", "The ID Token provided is not a valid JWT"},
		{"a shared secret", header("alg", "HS256"), "InvalidIdentityToken", "The ID Token provided is not a valid JWT"},
		{"critical", header("crit", []string{"b64"}), "InvalidIdentityToken", "The ID Token provided is not a valid JWT"},
		{"unsigned", func(r *request) { r.token = func(s string) string { return s[:strings.LastIndex(s, ".")+1] } }, "InvalidIdentityToken", "The web identity token"},
		{"two parts", func(r *request) { r.token = func(s string) string { return s[:strings.LastIndex(s, ".")] } }, "InvalidIdentityToken", "The ID Token provided is not"},
		{"another's claims", func(r *request) {
			other := maps.Clone(r.claims)
			other["sub"] = subject + "2"
			body := strings.Split(sign(t, issuerKey(), r.header, other), ".")[1]
			r.claims["sub"] = subject + "2"
			r.token = func(s string) string {
				parts := strings.Split(sign(t, issuerKey(), r.header, goodClaims()), ".")
				return parts[0] + "." + body + "." + parts[2]
			}
		}, "InvalidIdentityToken", "The web identity token"},
		{"padded", func(r *request) { r.token = func(s string) string { return s + "=" } }, "InvalidIdentityToken", "The ID Token provided is not"},
		{"a newline", func(r *request) { r.token = func(s string) string { return s + "\n" } }, "InvalidIdentityToken", "The ID Token provided is not"},
		{"empty", func(r *request) { r.token = func(string) string { return "" } }, "ValidationError", "1 validation error detected: Value at 'webIdentityToken'"},
		{"huge", func(r *request) { r.token = func(s string) string { return s + strings.Repeat("x", 20000) } }, "ValidationError", "1 validation error detected: Value at 'webIdentityToken'"},
		{"no such role", func(r *request) { r.in.RoleArn = aws.String(role + "x") }, "AccessDenied", ""},
		{"provider of another account", func(r *request) { r.in.RoleArn = &elsewhere }, "InvalidIdentityToken", "No OpenIDConnect provider"},
		{"denied", func(r *request) { r.in.RoleArn = &denying }, "AccessDenied", ""},
		{"too long", func(r *request) { r.in.DurationSeconds = aws.Int32(3601) }, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"session policy", func(r *request) { r.in.Policy = aws.String("{}") }, "ValidationError", ""},
		{"session name", func(r *request) { r.in.RoleSessionName = aws.String("a/b") }, "ValidationError", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request{
				header: map[string]any{"alg": "RS256", "kid": "k1"}, claims: goodClaims(), key: issuerKey(), token: func(s string) string { return s },
				in: sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("pod")},
			}
			tt.mutate(&r)
			token := r.token(sign(t, r.key, r.header, r.claims))
			r.in.WebIdentityToken = &token
			_, err := c.assumeWeb(&r.in)
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			status := 400
			if tt.code == "AccessDenied" {
				status = 403
			}
			wantCode(t, err, tt.code, status)
			if !strings.Contains(err.Error(), tt.message) || len(token) > 4 && strings.Contains(err.Error(), token) {
				t.Errorf("got %v, want %q", err, tt.message)
			}
		})
	}
}

func TestAddOIDCProviderRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := fakeaws.OIDCProvider{Account: account, Issuer: issuer}
	for name, mutate := range map[string]func(*fakeaws.OIDCProvider){
		"":          func(*fakeaws.OIDCProvider) {},
		"account":   func(p *fakeaws.OIDCProvider) { p.Account = "1" },
		"scheme":    func(p *fakeaws.OIDCProvider) { p.Issuer = "http://x" },
		"query":     func(p *fakeaws.OIDCProvider) { p.Issuer += "?x" },
		"small key": func(p *fakeaws.OIDCProvider) { p.Keys = map[string]*rsa.PublicKey{"k": &small.PublicKey} },
		"no key":    func(p *fakeaws.OIDCProvider) { p.Keys = map[string]*rsa.PublicKey{"k": nil} },
	} {
		p := good
		mutate(&p)
		s := fakeaws.New(fakeaws.Config{})
		if _, err := s.AddOIDCProvider(p); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := s.AddOIDCProvider(p); err == nil {
			t.Errorf("%q: added twice", name)
		}
	}
}

// FuzzWebIdentity holds that no token but a signed one opens anything.
func FuzzWebIdentity(f *testing.F) {
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`","sub":"x","aud":"sts.amazonaws.com","exp":9999999999,"iat":1}`)) + ".AAAA")
	server := fakeaws.New(fakeaws.Config{})
	provider, err := server.AddOIDCProvider(fakeaws.OIDCProvider{Account: account, Issuer: issuer, Keys: map[string]*rsa.PublicKey{"k1": &issuerKey().PublicKey, "": &issuerKey().PublicKey}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := server.AddRole(fakeaws.Role{Account: account, Name: "web", TrustPolicy: fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity"}]}`, provider)}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if code := postForm(server, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::"+account+":role/web&RoleSessionName=pod", token); code < 400 {
			t.Errorf("got %d", code)
		}
	})
}
