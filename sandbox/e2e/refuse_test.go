//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

func at(d time.Duration) func(*token.Config) {
	return func(c *token.Config) { c.Now = func() time.Time { return time.Now().Add(d) } }
}

// badTokens are tokens that nobody may be let in with. The offline ones must
// not even be sent to STS.
func badTokens(t *testing.T, b *box) (offline, online map[string]string) {
	t.Helper()
	good := b.mint(t, "admin", nil)
	admin := b.person(t, "admin")
	replace := func(old, with string) string {
		return rewrite(t, good, func(url string) string { return strings.Replace(url, old, with, 1) })
	}
	ended, err := b.AWS().AddSession(fakeaws.Session{RoleARN: b.person(t, "platform").ARN, Name: "ended"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AWS().ExpireSession(ended.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	root, err := b.AWS().AddAccessKey("arn:aws:iam::"+seed.Account+":root", fakeaws.Key{})
	if err != nil {
		t.Fatal(err)
	}
	offline = map[string]string{
		"expired":            b.mint(t, "admin", at(-16*time.Minute)),
		"expired long ago":   b.mint(t, "creator", at(-48*time.Hour)),
		"from the future":    b.mint(t, "admin", at(17*time.Minute)),
		"another host":       replace("https://sts.us-east-1.amazonaws.com/", "https://sts.us-east-1.amazonaws.com.evil.example/"),
		"a port":             replace("amazonaws.com/", "amazonaws.com:8443/"),
		"user information":   replace("https://", "https://sts.us-east-1.amazonaws.com@"),
		"http":               replace("https://", "http://"),
		"another action":     replace("GetCallerIdentity", "GetSessionToken"),
		"a second action":    replace("Action=", "Action=AssumeRole&Action="),
		"fewer headers":      replace("host%3Bx-k8s-aws-id", "host"),
		"another region":     replace("%2Fus-east-1%2F", "%2Feu-west-1%2F"),
		"nothing":            token.Prefix,
		"another prefix":     "k8s-aws-v2." + strings.TrimPrefix(good, token.Prefix),
		"padding":            good + "==",
		"too long":           token.Prefix + strings.Repeat("A", 16<<10),
		"a word":             "letmein",
		"an unsigned JWT":    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.",
		"a GovCloud token":   b.mint(t, "admin", func(c *token.Config) { c.Region = "us-gov-west-1" }),
		"a token from China": b.mint(t, "admin", func(c *token.Config) { c.Region = "cn-north-1" }),
	}
	online = map[string]string{
		"for another cluster": b.mint(t, "admin", func(c *token.Config) { c.Cluster = "staging" }),
		"tampered signature":  tamper(t, good),
		"tampered key":        replace(admin.AccessKeyID, b.person(t, "creator").AccessKeyID),
		"tampered time": rewrite(t, good, func(url string) string {
			i := strings.Index(url, "Z&X-Amz-Expires")
			digit := "0"
			if url[i-1] == '0' {
				digit = "1"
			}
			return url[:i-1] + digit + url[i:]
		}),
		"tampered lifetime": replace("X-Amz-Expires=60", "X-Amz-Expires=900"),
		"not mapped":        b.mint(t, "stranger", at(-time.Minute)), // none that is remembered

		"a made-up key":      mint(t, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", nil),
		"another's secret":   mint(t, admin.AccessKeyID, b.person(t, "creator").SecretAccessKey, "", nil),
		"an ended session":   mint(t, ended.AccessKeyID, ended.SecretAccessKey, ended.SessionToken, nil),
		"the account's root": mint(t, root.AccessKeyID, root.SecretAccessKey, "", nil),
	}
	return offline, online
}

func TestRefused(t *testing.T) {
	stsCalls := func() int { return shared.AWS().Counts()[fakeaws.GetCallerIdentity] }
	if code := shared.status(t, shared.mint(t, "admin", nil)); code != http.StatusOK {
		t.Fatalf("a good token got %d", code)
	}
	offline, online := badTokens(t, shared)
	for name, tok := range offline {
		t.Run(name, func(t *testing.T) {
			before := stsCalls()
			if code := shared.status(t, tok); code != http.StatusUnauthorized {
				t.Errorf("got %d, want 401", code)
			}
			if n := stsCalls() - before; n != 0 {
				t.Errorf("STS was asked %d times", n)
			}
		})
	}
	for name, tok := range online {
		t.Run(name, func(t *testing.T) {
			before := stsCalls()
			if code := shared.status(t, tok); code != http.StatusUnauthorized {
				t.Errorf("got %d, want 401", code)
			}
			if stsCalls() == before {
				t.Error("STS was never asked: the refusal is for another reason")
			}
		})
	}
	t.Run("no token", func(t *testing.T) {
		if code := shared.status(t, ""); code != http.StatusUnauthorized {
			t.Errorf("got %d, want 401", code)
		}
	})
	if code := shared.status(t, shared.mint(t, "admin", at(-time.Minute))); code != http.StatusOK {
		t.Errorf("after all that, a good token got %d", code)
	}
}

func TestSTSInTrouble(t *testing.T) {
	defer shared.AWS().ClearFaults()
	for name, fault := range map[string]fakeaws.Fault{
		"throttled": {Code: "Throttling"},
		"down":      {Code: "ServiceUnavailable"},
		"cut":       {Cut: true},
		"a proxy's page that says 200": {Raw: &fakeaws.RawAnswer{
			Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>arn:aws:iam::111122223333:user/creator</html>"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			shared.AWS().SetFault(fakeaws.GetCallerIdentity, fault)
			// Tokens of their own: what is remembered is not asked again.
			tok := shared.mint(t, "creator", at(-time.Duration(len(name))*time.Second))
			client, err := shared.Client()
			if err != nil {
				t.Fatal(err)
			}
			// kube-apiserver tries for half a minute: nothing is learnt by waiting.
			client.Timeout = 5 * time.Second
			code, err := ask(t, client, shared.Record().APIServer, tok)
			if err == nil && code < 400 {
				t.Errorf("got %d, and STS said nothing", code)
			}
			shared.AWS().ClearFaults()
			waitFor(t, "the same token to be good", func() bool { return shared.status(t, tok) == http.StatusOK })
		})
	}
}
