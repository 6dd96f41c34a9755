package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

const account = "111122223333"

// world is an AWS with a user, over TLS under the names of STS.
type world struct {
	aws    *fakeaws.Server
	tls    *tlstest.Server
	key    fakeaws.Key
	mu     sync.Mutex
	seen   []*http.Request
	config verify.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{aws: fakeaws.New(fakeaws.Config{})}
	if err := w.aws.AddAccount(account, "aws"); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = w.aws.AddUser(fakeaws.User{Account: account, Path: "/eng/", Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	record := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r.Clone(context.Background()))
		w.mu.Unlock()
		w.aws.ServeHTTP(rw, r)
	})
	w.tls = tlstest.Serve(t, record, "sts.us-east-1.amazonaws.com", "sts.amazonaws.com", "sts.eu-central-1.amazonaws.com")
	w.config = verify.Config{
		Cluster: "demo", Policy: token.Policy{Partition: "aws"}, DialAddress: w.tls.Address, RootCAs: w.tls.Pool,
	}
	return w
}

func (w *world) verifier(t *testing.T) *verify.Verifier {
	t.Helper()
	v, err := verify.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) token(t *testing.T, change ...func(*token.Config)) string {
	t.Helper()
	c := token.Config{Cluster: "demo", Region: "us-east-1", Credentials: static(w.key)}
	for _, f := range change {
		f(&c)
	}
	s, err := token.New(c)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value()
}

func static(k fakeaws.Key) aws.CredentialsProvider {
	return token.StaticKeys(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	for _, region := range []string{"us-east-1", "", "eu-central-1"} {
		id, err := w.verifier(t).Verify(context.Background(), w.token(t, func(c *token.Config) { c.Region = region }))
		if err != nil {
			t.Fatalf("%q: %v", region, err)
		}
		if id.ARN != "arn:aws:iam::111122223333:user/eng/alice" || id.CanonicalARN != id.ARN || id.AccountID != account || id.AccessKeyID != w.key.AccessKeyID {
			t.Errorf("%+v", id)
		}
	}
}

// What goes out is ours: the cluster's own name, nothing the client chose.
func TestRequestIsOurs(t *testing.T) {
	w := newWorld(t)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	if _, err := w.verifier(t).Verify(context.Background(), w.token(t)); err != nil {
		t.Fatal(err)
	}
	r := w.seen[0]
	for _, k := range []string{"Accept", "User-Agent", "X-K8s-Aws-Id"} {
		if len(r.Header[k]) != 1 {
			t.Errorf("%s: %q", k, r.Header[k])
		}
		delete(r.Header, k)
	}
	if len(r.Header) != 0 || r.Method != http.MethodGet || r.Host != "sts.us-east-1.amazonaws.com" || r.URL.Path != "/" || r.TLS.ServerName != r.Host {
		t.Errorf("%s %s %s %v, TLS name %s", r.Method, r.Host, r.URL.Path, r.Header, r.TLS.ServerName)
	}
}

func TestRefusedBySTS(t *testing.T) {
	w := newWorld(t)
	good := w.token(t)
	gone, err := w.aws.AddUser(fakeaws.User{Account: account, Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.aws.RemoveKey(gone.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, code string }{
		"another cluster":  {w.token(t, func(c *token.Config) { c.Cluster = "other" }), "SignatureDoesNotMatch"},
		"a wrong secret":   {w.token(t, func(c *token.Config) { c.Credentials = token.StaticKeys(w.key.AccessKeyID, "wrong", "") }), "SignatureDoesNotMatch"},
		"no such key":      {w.token(t, func(c *token.Config) { c.Credentials = token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "wrong", "") }), "InvalidClientTokenId"},
		"a removed key":    {w.token(t, func(c *token.Config) { c.Credentials = static(gone) }), "InvalidClientTokenId"},
		"a session forged": {w.token(t, func(c *token.Config) { c.Credentials = token.StaticKeys(w.key.AccessKeyID, w.key.SecretAccessKey, "x") }), "InvalidClientTokenId"},
	} {
		id, err := w.verifier(t).Verify(context.Background(), c.token)
		var denied *verify.DeniedError
		if !errors.As(err, &denied) || denied.Code != c.code || id != (identity.Identity{}) {
			t.Errorf("%s: %+v, %v; want %s", name, id, err, c.code)
		}
	}
	if _, err := w.verifier(t).Verify(context.Background(), good); err != nil {
		t.Error(err)
	}
}

const reply = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","Arn":"arn:aws:iam::111122223333:user/a","UserId":"AIDAEXAMPLEEXAMPLE1AB"},"ResponseMetadata":{"RequestId":"x"}}}`

// One mutation of STS's answer a row.
func TestAnswersThatAreNotBelieved(t *testing.T) {
	w := newWorld(t)
	assumed := strings.NewReplacer("iam::", "sts::", "user/a", "assumed-role/r/s", "AIDAEXAMPLEEXAMPLE1AB", "AROAEXAMPLEEXAMPLE1AB:s").Replace(reply)
	deny := func(code string) string {
		return fmt.Sprintf(`{"Error":{"Code":%q,"Message":"m","Type":"Sender"},"RequestId":"x"}`, code)
	}
	const xmlDeny = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>m</Message></Error><RequestId>x</RequestId></ErrorResponse>`
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		want                    string // "", a rule's code, denied, unavailable, throttled
	}{
		{"as it should be", "application/json", reply, 200, ""},
		{"a charset", "application/json; charset=utf-8", reply, 200, ""},
		{"an assumed role", "application/json", assumed, 200, ""},
		{"HTML", "text/html", "<html>login</html>", 200, "unavailable"},
		{"JSON called HTML", "text/html", reply, 200, "unavailable"},
		{"no type", "", reply, 200, "unavailable"},
		{"XML", "text/xml", "<GetCallerIdentityResponse/>", 200, "unavailable"},
		{"empty", "application/json", "", 200, "unavailable"},
		{"null", "application/json", "null", 200, "unavailable"},
		{"a list", "application/json", "[" + reply + "]", 200, "unavailable"},
		{"trailing bytes", "application/json", reply + "x", 200, "unavailable"},
		{"a second document", "application/json", reply + reply, 200, "unavailable"},
		{"cut", "application/json", reply[:len(reply)-1], 200, "unavailable"},
		{"2 MB", "application/json", reply + strings.Repeat(" ", 2<<20), 200, "unavailable"},
		{"64 KiB and one", "application/json", reply + strings.Repeat(" ", 64<<10-len(reply)+1), 200, "unavailable"},
		{"a twin in another case", "application/json", strings.Replace(reply, `"ResponseMetadata"`, `"getcalleridentityresult":{"Account":"444455556666","Arn":"arn:aws:iam::444455556666:user/b","UserId":"AIDAEXAMPLEEXAMPLE1AB"},"ResponseMetadata"`, 1), 200, "unavailable"},
		{"a twin", "application/json", strings.Replace(reply, `"UserId"`, `"Arn":"arn:aws:iam::111122223333:root","UserId"`, 1), 200, "unavailable"},
		{"a Kelvin twin", "application/json", strings.Replace(reply, `"UserId"`, `"AC\u017fount":"x","K":1,"\u212a":2,"UserId"`, 1), 200, "unavailable"},
		{"an escaped twin", "application/json", strings.Replace(reply, `"UserId"`, `"\u0041rn":"x","UserId"`, 1), 200, "unavailable"},
		{"only a lower-case name", "application/json", strings.Replace(reply, `"Arn"`, `"arn"`, 1), 200, "unavailable"},
		{"not UTF-8", "application/json", strings.Replace(reply, `"x"`, "\"\xff\"", 1), 200, "unavailable"},
		{"deep", "application/json", strings.Repeat("[", 100), 200, "unavailable"},
		{"an account that is a number", "application/json", strings.Replace(reply, `"111122223333"`, `111122223333`, 1), 200, "unavailable"},
		{"201", "application/json", reply, 201, "unavailable"},
		{"another account", "application/json", strings.Replace(reply, `"111122223333"`, `"444455556666"`, 1), 200, "V31"},
		{"another partition", "application/json", strings.Replace(reply, "arn:aws:", "arn:aws-cn:", 1), 200, "V31"},
		{"no ARN", "application/json", strings.Replace(reply, "arn:aws:", "arm:aws:", 1), 200, "V31"},
		{"an empty ARN", "application/json", strings.Replace(reply, "arn:aws:iam::111122223333:user/a", "", 1), 200, "unavailable"},
		{"another session", "application/json", strings.Replace(assumed, ":s\"", ":t\"", 1), 200, "V32"},
		{"a user with a session", "application/json", strings.Replace(reply, "1AB\"", "1AB:s\"", 1), 200, "V32"},
		{"the root", "application/json", strings.NewReplacer("user/a", "root", "AIDAEXAMPLEEXAMPLE1AB", account).Replace(reply), 200, "V33"},
		{"denied", "application/json", deny("InvalidClientTokenId"), 403, "denied"},
		{"denied in XML", "text/xml", xmlDeny, 403, "denied"},
		{"a bad signature", "application/json", deny("SignatureDoesNotMatch"), 403, "denied"},
		{"an incomplete one", "application/json", deny("IncompleteSignature"), 400, "denied"},
		{"an unknown code", "application/json", deny("SomethingNew"), 403, "unavailable"},
		{"a code twice", "application/json", strings.Replace(deny("AccessDenied"), `"Type"`, `"code":"Throttling","Type"`, 1), 403, "unavailable"},
		{"a denial with 200", "application/json", deny("AccessDenied"), 200, "unavailable"},
		{"a denial with 500", "application/json", deny("AccessDenied"), 500, "unavailable"},
		{"a denial in a page", "text/html", deny("AccessDenied"), 403, "unavailable"},
		{"a proxy's 403", "text/html", "<html>forbidden</html>", 403, "unavailable"},
		{"a proxy's 407", "text/html", "<html>who?</html>", 407, "unavailable"},
		{"throttled with 400", "application/json", deny("Throttling"), 400, "throttled"},
		{"429", "text/html", "slow", 429, "throttled"},
		{"500", "application/json", deny("InternalFailure"), 500, "unavailable"},
		{"503", "application/json", deny("ServiceUnavailable"), 503, "unavailable"},
		{"a redirect", "text/html", "", 302, "unavailable"},
	} {
		w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Raw: &fakeaws.RawAnswer{
			Status: c.status, Body: []byte(c.body),
			Header: http.Header{"Content-Type": {c.contentType}, "Location": {"https://" + w.tls.Address + "/"}},
		}})
		id, err := w.verifier(t).Verify(context.Background(), w.token(t))
		if got := kind(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
		if err != nil && id != (identity.Identity{}) {
			t.Errorf("%s: an error and %+v", c.name, id)
		}
	}
}

// kind names the type of an error, or the rule broken.
func kind(err error) string {
	var broken *token.RuleError
	var denied *verify.DeniedError
	var unavailable *verify.UnavailableError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &broken):
		return string(broken.Code)
	case errors.As(err, &denied):
		return "denied"
	case errors.As(err, &unavailable) && unavailable.Throttled:
		return "throttled"
	case errors.As(err, &unavailable):
		return "unavailable"
	}
	return err.Error()
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	tok := w.token(t)
	check := func(name string, err error) {
		t.Helper()
		if kind(err) != "unavailable" {
			t.Errorf("%s: %v", name, err)
		}
		for _, secret := range []string{tok, "Signature=", "X-Amz"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes the request: %v", name, err)
			}
		}
	}
	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Cut: true})
	_, err := w.verifier(t).Verify(context.Background(), tok)
	check("cut", err)

	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Latency: time.Minute})
	w.config.Timeout = 50 * time.Millisecond
	_, err = w.verifier(t).Verify(context.Background(), tok)
	check("slow", err)
	w.aws.ClearFaults()
	w.config.Timeout = 0

	pool := w.config.RootCAs
	w.config.RootCAs = tlstest.Serve(t, w.aws).Pool
	_, err = w.verifier(t).Verify(context.Background(), tok)
	check("an unknown CA", err)
	w.config.RootCAs = pool

	_, err = w.verifier(t).Verify(context.Background(), w.token(t, func(c *token.Config) { c.Region = "eu-west-3" }))
	check("a certificate without the name", err)

	w.config.DialAddress = "127.0.0.1:1"
	_, err = w.verifier(t).Verify(context.Background(), tok)
	check("nobody there", err)
}

func TestTriedTwice(t *testing.T) {
	w := newWorld(t)
	v := w.verifier(t)
	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Cut: true, Times: 1})
	if _, err := v.Verify(context.Background(), w.token(t)); err != nil {
		t.Errorf("one broken connection: %v", err)
	}
	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "InternalFailure", Times: 1})
	if _, err := v.Verify(context.Background(), w.token(t)); err != nil {
		t.Errorf("one 500: %v", err)
	}
	w.seen = nil
	w.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "Throttling", Times: 1})
	if _, err := v.Verify(context.Background(), w.token(t)); kind(err) != "throttled" || len(w.seen) != 1 {
		t.Errorf("throttling is not tried again: %v, %d requests", err, len(w.seen))
	}
}

func TestAccounts(t *testing.T) {
	w := newWorld(t)
	root, err := w.aws.AddAccessKey("arn:aws:iam::"+account+":root", fakeaws.Key{})
	if err != nil {
		t.Fatal(err)
	}
	rootToken := w.token(t, func(c *token.Config) { c.Credentials = static(root) })
	for _, c := range []struct {
		name, token string
		change      func(*verify.Config)
		want        string
	}{
		{"the root", rootToken, func(*verify.Config) {}, "V33"},
		{"the root, allowed", rootToken, func(c *verify.Config) { c.AllowRoot = true }, ""},
		{"another account allowed", w.token(t), func(c *verify.Config) { c.AllowAccounts = []string{"444455556666"} }, "V34"},
		{"allowed", w.token(t), func(c *verify.Config) { c.AllowAccounts = []string{account} }, ""},
		{"denied", w.token(t), func(c *verify.Config) { c.DenyAccounts = []string{account} }, "V34"},
		{"denied and allowed", w.token(t), func(c *verify.Config) {
			c.DenyAccounts, c.AllowAccounts = []string{account}, []string{account}
		}, "V34"},
	} {
		saved := w.config
		c.change(&w.config)
		if _, err := w.verifier(t).Verify(context.Background(), c.token); kind(err) != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		w.config = saved
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]verify.Config{
		"no cluster":            {},
		"no such partition":     {Cluster: "demo", Policy: token.Policy{Partition: "aws-moon"}},
		"a region of another":   {Cluster: "demo", Policy: token.Policy{Partition: "aws", Regions: []string{"cn-north-9"}}},
		"a region that is none": {Cluster: "demo", Policy: token.Policy{Partition: "aws", Regions: []string{"evil.com"}}},
	} {
		if _, err := verify.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
