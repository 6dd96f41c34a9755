package awsconf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/credcache"
)

func keyOf(t *testing.T, c awsconf.Config) credcache.Key {
	t.Helper()
	f, err := awsconf.NewFingerprint(c)
	if err != nil {
		t.Fatal(err)
	}
	return f.Key()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever decides whose token it is changes the key, and each change to
// another one. Changing it back gives the first key again.
func TestKeyCoversEachInput(t *testing.T) {
	writeConfig := clean(t)
	writeConfig("[profile dev]\nregion = eu-central-1\n")
	credentials := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
	write(t, credentials, "[dev]\naws_access_key_id = A\n")
	webIdentity, container := filepath.Join(t.TempDir(), "jwt"), filepath.Join(t.TempDir(), "auth")
	write(t, webIdentity, "one")
	write(t, container, "one")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", webIdentity)
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", container)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")

	const one, two = "arn:aws:iam::111122223333:role/one", "arn:aws:iam::111122223333:role/two"
	config := func() awsconf.Config {
		return awsconf.Config{Profile: "dev", Region: "eu-central-1", Roles: []awsconf.Role{
			{ARN: one, ExternalID: "x", SessionName: "s", MFASerial: "m", Duration: time.Hour}, {ARN: two},
		}}
	}
	seen := map[credcache.Key]string{keyOf(t, config()): "nothing changed"}
	other := func(t *testing.T, what string, c awsconf.Config) {
		t.Helper()
		key := keyOf(t, c)
		if was, ok := seen[key]; ok {
			t.Errorf("%s: the key is that of: %s", what, was)
		}
		seen[key] = what
	}
	if _, ok := seen[keyOf(t, config())]; !ok {
		t.Fatal("the key is not the same twice")
	}

	// Variables, known to the SDK or not.
	for _, name := range strings.Fields(`AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ACCESS_KEY AWS_SECRET_KEY
		AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME
		AWS_ENDPOINT_URL AWS_ENDPOINT_URL_STS AWS_ENDPOINT_URL_SSO AWS_ENDPOINT_URL_SSO_OIDC AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
		AWS_USE_FIPS_ENDPOINT AWS_USE_DUALSTACK_ENDPOINT AWS_STS_REGIONAL_ENDPOINTS AWS_CA_BUNDLE
		AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN
		AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_LOGIN_CACHE_DIRECTORY AWS_ACCOUNT_ID AWS_SDK_UA_APP_ID AWS_SOMETHING_NEW`) {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "changed")
			other(t, name, config())
			t.Setenv(name, "changed again")
			other(t, name+" again", config())
		})
	}
	// Files, by their bytes and by where they are.
	for name, path := range map[string]string{
		"config": os.Getenv("AWS_CONFIG_FILE"), "credentials": credentials, "web identity": webIdentity, "container": container,
	} {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{string(before) + "\n", string(before) + "# a comment\n", ""} {
				write(t, path, text)
				other(t, "file "+name+" "+text, config())
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			other(t, "no file "+name, config())
			write(t, path, string(before))
		})
	}
	t.Run("the same file elsewhere", func(t *testing.T) {
		moved := filepath.Join(t.TempDir(), "config")
		write(t, moved, "[profile dev]\nregion = eu-central-1\n")
		t.Setenv("AWS_CONFIG_FILE", moved)
		other(t, "moved", config())
	})
	t.Run("home", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		t.Setenv("USERPROFILE", home)
		other(t, "home", config())
	})
	// What is asked for.
	for what, change := range map[string]func(*awsconf.Config){
		"profile":               func(c *awsconf.Config) { c.Profile = "prod" },
		"no profile":            func(c *awsconf.Config) { c.Profile = "" },
		"endpoint":              func(c *awsconf.Config) { c.EndpointURL = "https://example.com" },
		"ca":                    func(c *awsconf.Config) { c.CABundle = "ca.pem" },
		"forward":               func(c *awsconf.Config) { c.ForwardSessionName = true },
		"profile role first":    func(c *awsconf.Config) { c.ProfileRoleFirst = true },
		"opaque":                func(c *awsconf.Config) { c.CacheOpaque = true },
		"first role":            func(c *awsconf.Config) { c.Roles[0].ARN = two },
		"first external id":     func(c *awsconf.Config) { c.Roles[0].ExternalID = "y" },
		"first session name":    func(c *awsconf.Config) { c.Roles[0].SessionName = "y" },
		"first mfa serial":      func(c *awsconf.Config) { c.Roles[0].MFASerial = "y" },
		"first duration":        func(c *awsconf.Config) { c.Roles[0].Duration = time.Hour + time.Second },
		"last role":             func(c *awsconf.Config) { c.Roles[1].ARN = one },
		"last external id":      func(c *awsconf.Config) { c.Roles[1].ExternalID = "y" },
		"external id moved":     func(c *awsconf.Config) { c.Roles[0].ExternalID, c.Roles[1].ExternalID = "", "x" },
		"session name moved":    func(c *awsconf.Config) { c.Roles[0].SessionName, c.Roles[1].SessionName = "", "s" },
		"external id as name":   func(c *awsconf.Config) { c.Roles[1].SessionName = "x" },
		"roles in turn":         func(c *awsconf.Config) { c.Roles[0].ARN, c.Roles[1].ARN = c.Roles[1].ARN, c.Roles[0].ARN },
		"the last role dropped": func(c *awsconf.Config) { c.Roles = c.Roles[:1] },
		"the first dropped":     func(c *awsconf.Config) { c.Roles = c.Roles[1:] },
		"a third role":          func(c *awsconf.Config) { c.Roles = append(c.Roles, awsconf.Role{ARN: one}) },
		"no roles":              func(c *awsconf.Config) { c.Roles = nil },
	} {
		c := config()
		change(&c)
		other(t, what, c)
	}
	if was := seen[keyOf(t, config())]; was != "nothing changed" {
		t.Errorf("with all as at first the key is that of: %s", was)
	}
}

// What others put into the environment is no reason to forget.
func TestKeyIsFreeOfTheRest(t *testing.T) {
	clean(t)
	key := keyOf(t, awsconf.Config{})
	t.Setenv("PATH", "/elsewhere")
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_DEFAULT_REGION", "eu-west-2")
	t.Setenv("KUBERNETES_EXEC_INFO", "{}")
	t.Setenv("AWS_PROFILE", "") // the SDK cannot tell this from unset
	if keyOf(t, awsconf.Config{}) != key || keyOf(t, awsconf.Config{Region: "eu-central-1"}) != key {
		t.Error("the key changed")
	}
}

// What cannot be seen cannot be relied on.
func TestNoFingerprint(t *testing.T) {
	clean(t)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", t.TempDir()) // a directory
	if _, err := awsconf.NewFingerprint(awsconf.Config{}); err == nil {
		t.Error("a directory has a digest")
	}
}
