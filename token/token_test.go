package token_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

const (
	keyID  = "AKIAIOSFODNN7EXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var clock = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func source(t *testing.T, c token.Config) *token.Source {
	t.Helper()
	if c.Cluster == "" {
		c.Cluster = "demo"
	}
	if c.Credentials == nil {
		c.Credentials = token.StaticKeys(keyID, secret, "")
	}
	if c.Now == nil {
		c.Now = func() time.Time { return clock }
	}
	s, err := token.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mint(t *testing.T, c token.Config) token.Token {
	t.Helper()
	tok, err := source(t, c).Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func signedURL(t *testing.T, tok token.Token) string {
	t.Helper()
	body, ok := strings.CutPrefix(tok.Value(), "k8s-aws-v1.")
	if !ok {
		t.Fatal("no prefix")
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A whole token at a fixed clock and key. If an upgrade of the SDK signs one
// header more, or orders the parameters anew, this is where it shows.
func TestTokenIsGolden(t *testing.T) {
	tok := mint(t, token.Config{Region: "eu-central-1"})
	const want = "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15" +
		"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-central-1%2Fsts%2Faws4_request" +
		"&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id" +
		"&X-Amz-Signature=93f4068d1b75d52c3618497b2522069d1099c20cda54c552b78a1c9c97b3f3a2"
	if got := signedURL(t, tok); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if want := "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(signedURL(t, tok))); tok.Value() != want {
		t.Errorf("value %q", tok.Value())
	}
	if want := clock.Truncate(time.Second).Add(14 * time.Minute); !tok.Expiry.Equal(want) {
		t.Errorf("expiry %s, want %s", tok.Expiry, want)
	}
}

// keys gives the names of the query's parameters in their order.
func keys(t *testing.T, raw string) (order []string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range strings.Split(u.RawQuery, "&") {
		k, _, _ := strings.Cut(pair, "=")
		order = append(order, k)
	}
	return order
}

func TestParameterOrder(t *testing.T) {
	const plain = "Action Version X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-SignedHeaders X-Amz-Signature"
	const temporary = "Action Version X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-Security-Token X-Amz-SignedHeaders X-Amz-Signature"
	if got := strings.Join(keys(t, signedURL(t, mint(t, token.Config{}))), " "); got != plain {
		t.Errorf("%s", got)
	}
	creds := token.StaticKeys("ASIAIOSFODNN7EXAMPLE", secret, "session/+=token")
	if got := strings.Join(keys(t, signedURL(t, mint(t, token.Config{Credentials: creds}))), " "); got != temporary {
		t.Errorf("%s", got)
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		region  string
		variant identity.STSVariant
		host    string
	}{
		{"", identity.STSVariant{}, "sts.amazonaws.com"},
		{"us-east-1", identity.STSVariant{}, "sts.us-east-1.amazonaws.com"},
		{"us-east-1", identity.STSVariant{FIPS: true}, "sts-fips.us-east-1.amazonaws.com"},
		{"us-east-1", identity.STSVariant{DualStack: true}, "sts.us-east-1.api.aws"},
		{"us-gov-west-1", identity.STSVariant{FIPS: true}, "sts.us-gov-west-1.amazonaws.com"},
		{"cn-north-1", identity.STSVariant{}, "sts.cn-north-1.amazonaws.com.cn"},
		{"eu-west-9", identity.STSVariant{FIPS: true, DualStack: true}, "sts-fips.eu-west-9.api.aws"},
	} {
		tok := mint(t, token.Config{Region: c.region, Variant: c.variant})
		p, err := token.Policy{Regions: []string{"eu-west-9"}, Now: func() time.Time { return clock }}.Check(tok.Value())
		if err != nil {
			t.Errorf("%s: %v", c.host, err)
			continue
		}
		if p.Host != c.host {
			t.Errorf("%s %+v: host %s, want %s", c.region, c.variant, p.Host, c.host)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ok := token.Config{Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(keyID, secret, "")}
	for name, change := range map[string]func(*token.Config){
		"no cluster":                  func(c *token.Config) { c.Cluster = "" },
		"a long cluster":              func(c *token.Config) { c.Cluster = strings.Repeat("a", 254) },
		"a space in the cluster":      func(c *token.Config) { c.Cluster = "a b" },
		"a newline in the cluster":    func(c *token.Config) { c.Cluster = "demo\r\nX-Evil: 1" },
		"a cluster that is not ASCII": func(c *token.Config) { c.Cluster = "d\u00e9mo" },
		"no credentials":              func(c *token.Config) { c.Credentials = nil },
		"no region of AWS":            func(c *token.Config) { c.Region = "evil.com/#" },
	} {
		c := ok
		change(&c)
		if s, err := token.New(c); err == nil {
			t.Errorf("%s: %v", name, s.Endpoint())
		}
	}
	if _, err := token.New(ok); err != nil {
		t.Error(err)
	}
}

// credentials end when they end; a provider may know newer ones.
type provider struct {
	creds       []aws.Credentials
	invalidated int
}

func (p *provider) Retrieve(context.Context) (aws.Credentials, error) {
	return p.creds[min(p.invalidated, len(p.creds)-1)], nil
}
func (p *provider) Invalidate() { p.invalidated++ }

func ending(in time.Duration) aws.Credentials {
	return aws.Credentials{AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: secret, SessionToken: "s", CanExpire: true, Expires: clock.Add(in)}
}

func TestExpiry(t *testing.T) {
	signed := clock.Truncate(time.Second)
	for _, c := range []struct {
		name  string
		creds []aws.Credentials
		want  time.Time
	}{
		{"credentials that outlive the token", []aws.Credentials{ending(time.Hour)}, signed.Add(14 * time.Minute)},
		{"credentials that end first", []aws.Credentials{ending(10 * time.Minute)}, clock.Add(9 * time.Minute)},
		{"credentials with two minutes left", []aws.Credentials{ending(2 * time.Minute), ending(time.Hour)}, clock.Add(time.Minute)},
		{"credentials about to end, renewed", []aws.Credentials{ending(119 * time.Second), ending(time.Hour)}, signed.Add(14 * time.Minute)},
		{"credentials about to end, not renewable", []aws.Credentials{ending(90 * time.Second)}, clock.Add(30 * time.Second)},
		{"never before now", []aws.Credentials{ending(30 * time.Second)}, signed},
		{"ended, renewed", []aws.Credentials{ending(-time.Second), ending(time.Hour)}, signed.Add(14 * time.Minute)},
	} {
		tok := mint(t, token.Config{Credentials: &provider{creds: c.creds}})
		if !tok.Expiry.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, tok.Expiry.Sub(signed), c.want.Sub(signed))
		}
	}
	_, err := source(t, token.Config{Credentials: &provider{creds: []aws.Credentials{ending(-time.Second)}}}).Token(context.Background())
	var expired *token.CredentialsExpiredError
	if !errors.As(err, &expired) || !expired.Expired.Equal(clock.Add(-time.Second)) {
		t.Errorf("credentials already expired: %v", err)
	}
}

func TestTokenSaysWhyCredentialsFailed(t *testing.T) {
	cause := errors.New("no credentials")
	failing := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, cause })
	if _, err := source(t, token.Config{Credentials: failing}).Token(context.Background()); !errors.Is(err, cause) {
		t.Error(err)
	}
	if _, err := source(t, token.Config{Credentials: token.StaticKeys("", "", "")}).Token(context.Background()); err == nil {
		t.Error("empty keys signed")
	}
}

// Nothing but Value gives the token away, whichever verb or encoder is used.
func TestSecretsStayHidden(t *testing.T) {
	tok := mint(t, token.Config{Credentials: token.StaticKeys(keyID, secret, "SESSION-TOKEN-CANARY")})
	parsed, err := token.Parse(tok.Value())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(parsed.RequestURL())
	if err != nil {
		t.Fatal(err)
	}
	hidden := []string{tok.Value(), tok.Value()[20:60], u.Query().Get("X-Amz-Signature"), "SESSION-TOKEN-CANARY"}
	var b bytes.Buffer
	for _, v := range []any{tok, &tok, *parsed, parsed, []token.Token{tok}, map[string]any{"t": tok, "p": parsed}, struct{ T token.Token }{tok}, struct{ t token.Token }{tok}, struct{ p token.Parsed }{*parsed}, struct{ p *token.Parsed }{parsed}} {
		fmt.Fprintf(&b, "%v %+v %#v %s %q %x %d\n", v, v, v, v, v, v, v)
		_ = json.NewEncoder(&b).Encode(v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	}
	for _, h := range hidden {
		if strings.Contains(b.String(), h) || strings.Contains(b.String(), fmt.Sprintf("%x", h)) {
			t.Errorf("%q came through:\n%s", h, b.String())
		}
	}
}

func TestAllocations(t *testing.T) {
	s := source(t, token.Config{Region: "us-east-1", Now: time.Now})
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() {
		if _, err := s.Token(ctx); err != nil {
			t.Fatal(err)
		}
	}); n > 85 {
		t.Errorf("%v allocations a token, at most 85", n)
	}
}
