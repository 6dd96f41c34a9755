//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/token"
)

// TestNoSecretInLogs searches what every program of the sandbox has written.
func TestNoSecretInLogs(t *testing.T) {
	good := shared.mint(t, "dev", nil)
	secrets := map[string]string{}
	for what, tok := range map[string]string{
		"a good token": good, "a bad token": tamper(t, good), "no token at all": "letmein-canary", "half a token": token.Prefix + "half-a-canary",
	} {
		shared.status(t, tok)
		secrets[what] = strings.TrimPrefix(tok, token.Prefix)
	}
	rewrite(t, good, func(url string) string {
		_, secrets["a signature"], _ = strings.Cut(url, "X-Amz-Signature=")
		return url + "x"
	})
	for _, id := range shared.Record().Identities {
		if id.SecretAccessKey != "" {
			secrets["the secret key of "+id.Name] = id.SecretAccessKey
		}
	}
	logs := glob(t, shared.Layout().Path("logs", "*"))
	if len(logs) < 4 {
		t.Fatalf("logs: %v", logs)
	}
	for _, log := range logs {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range secrets {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s is in %s", what, log)
			}
		}
	}
}
