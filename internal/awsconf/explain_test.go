package awsconf_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// TestCredentialsErrors: each source that fails has a named cause and what to do.
func TestCredentialsErrors(t *testing.T) {
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-ErrorType", "UnauthorizedException")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"message":"Session token not found or invalid"}`)
	}))
	defer portal.Close()
	forbidding := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-ErrorType", "ForbiddenException")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"No access"}`)
	}))
	defer forbidding.Close()
	const ssoProfile = "sso_account_id = 111122223333\nsso_role_name = r\n"
	// The name of the cache file is the SHA-1 of the start URL.
	const cacheFile = "13f9d35043871d073ab260e020f0ffde092cb14b.json"
	for _, tt := range []struct {
		name, file string
		cache      string
		env        map[string]string
		cause      string
		hint       string
	}{
		{name: "nothing", cause: "no AWS credentials found", hint: "set AWS_ACCESS_KEY_ID"},
		{name: "a profile with nothing", file: "[profile x y]\n", cause: "no AWS credentials found in the environment or in profile x y"},
		{name: "half a key", file: "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n", cause: "profile default has one half of an access key only: aws_secret_access_key is missing", hint: "give it both"},
		{name: "a bad line", file: "[default]\n\nnonsense secret-value\n", cause: "the AWS configuration cannot be used: line 3 of ", hint: "fix the file"},
		{name: "sso, never logged in", file: "[profile x y]\nsso_session = s\n" + ssoProfile + "[sso-session s]\nsso_region = eu-central-1\nsso_start_url = https://x.awsapps.com/start\n",
			cause: "the SSO session of profile x y has expired or does not exist", hint: "run: aws sso login --profile 'x y'"},
		{name: "sso of old, logged in long ago", file: "[profile x y]\nsso_region = eu-central-1\nsso_start_url = https://d-92671207e4.awsapps.com/start\n" + ssoProfile,
			cache: `{"accessToken":"cached-secret","expiresAt":"2020-01-01T00:00:00Z"}`,
			cause: "the SSO session of profile x y has expired or does not exist", hint: "run: aws sso login --profile 'x y'"},
		{name: "sso, logged out elsewhere", file: "[profile x y]\nsso_region = eu-central-1\nsso_start_url = https://d-92671207e4.awsapps.com/start\n" + ssoProfile,
			cache: `{"accessToken":"cached-secret","expiresAt":"2099-01-01T00:00:00Z"}`, env: map[string]string{"AWS_ENDPOINT_URL_SSO": portal.URL},
			cause: "the SSO session of profile x y has expired or does not exist", hint: "run: aws sso login --profile 'x y'"},
		{name: "sso, not a role of the user", file: "[profile x y]\nsso_region = eu-central-1\nsso_start_url = https://d-92671207e4.awsapps.com/start\n" + ssoProfile,
			cache: `{"accessToken":"cached-secret","expiresAt":"2099-01-01T00:00:00Z"}`, env: map[string]string{"AWS_ENDPOINT_URL_SSO": forbidding.URL},
			cause: "calling SSO GetRoleCredentials: ForbiddenException: No access", hint: "check sso_account_id and sso_role_name of profile x y"},
		{name: "sso, portal not reachable", file: "[profile x y]\nsso_region = eu-central-1\nsso_start_url = https://d-92671207e4.awsapps.com/start\n" + ssoProfile,
			cache: `{"accessToken":"cached-secret","expiresAt":"2099-01-01T00:00:00Z"}`, env: map[string]string{"AWS_ENDPOINT_URL_SSO": "http://127.0.0.1:1"},
			cause: "calling SSO GetRoleCredentials: ", hint: "check the network and the proxy settings"},
		{name: "aws login, never", file: "[profile x y]\nregion = eu-central-1\nlogin_session = arn:aws:iam::111122223333:user/a\n",
			cause: "the login session of profile x y has expired or does not exist", hint: "run: aws login --profile 'x y'"},
		{name: "a program that fails", file: "[profile x y]\ncredential_process = sh -c \"echo secret-value; echo secret-value >/dev/stdin; exit 3\"\n",
			cause: "the credential_process of profile x y failed: exit status ", hint: "run the command"},
		{name: "a program that says nonsense", file: "[profile x y]\ncredential_process = echo secret-value\n",
			cause: "the credential_process of profile x y gave no credentials: it did not print a JSON document", hint: "run the command"},
		{name: "a container that does not answer", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-value"},
			cause: "the container credentials endpoint: dial tcp 127.0.0.1:1: ", hint: "check AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		{name: "a web identity without its file", env: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/missing", "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/r"},
			cause: "the web identity token file /missing cannot be read: ", hint: "in a pod, "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(tt.file)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			t.Setenv("AWS_REGION", "eu-central-1")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			if tt.cache != "" {
				path := filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache", cacheFile)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tt.cache), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			config := awsconf.Config{}
			if strings.Contains(tt.file, "[profile x y]") {
				config.Profile = "x y"
			}
			s, err := tryLoad(t, config)
			if err == nil {
				_, err = s.Credentials().Retrieve(t.Context())
			}
			var got *awserr.CredentialsError
			if !errors.As(err, &got) {
				t.Fatalf("%T %v", err, err)
			}
			if !strings.HasPrefix(got.Cause, tt.cause) || !strings.HasPrefix(got.Hint, tt.hint) {
				t.Errorf("cause %q, hint %q, want %q, %q", got.Cause, got.Hint, tt.cause, tt.hint)
			}
			if strings.Contains(strings.ReplaceAll(got.Cause, "aws_secret_access_key", "")+got.Hint, "secret") {
				t.Errorf("a secret is in %q %q", got.Cause, got.Hint)
			}
			if strings.Contains(got.Cause, "\n") {
				t.Errorf("more than a line: %q", got.Cause)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fakeaws.Fault
		text  string
		hint  string
	}{
		{"denied", fakeaws.Fault{Code: "AccessDenied", Message: "no"}, "calling STS GetCallerIdentity: AccessDenied: no", ""},
		{"expired", fakeaws.Fault{Code: "ExpiredToken"}, "calling STS GetCallerIdentity: ExpiredToken: ", "get new credentials"},
		{"unknown key", fakeaws.Fault{Code: "InvalidClientTokenId"}, "calling STS GetCallerIdentity: InvalidClientTokenId: ", "check the access key"},
		{"the canonical request in the message", fakeaws.Fault{Code: "SignatureDoesNotMatch", Message: "It does not match. See x.\n\nx-amz-security-token:secret-value"},
			"calling STS GetCallerIdentity: SignatureDoesNotMatch: It does not match.", "check the secret access key"},
		{"cut", fakeaws.Fault{Cut: true}, "calling STS GetCallerIdentity: ", "check the network"},
		{"a proxy's page", fakeaws.Fault{Raw: &fakeaws.RawAnswer{Status: 200, Body: []byte("<html>secret-value")}}, "calling STS GetCallerIdentity: the answer is not one of AWS", "check the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)
			fake, _ := newAWS(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			fake.SetFault(fakeaws.GetCallerIdentity, tt.fault)
			_, err := load(t, awsconf.Config{}).STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			err = awserr.Explain(err)
			if err == nil || !strings.HasPrefix(err.Error(), tt.text) || !strings.HasPrefix(awserr.HintFor(err), tt.hint) {
				t.Errorf("%T %v, hint %q, want %q, %q", err, err, awserr.HintFor(err), tt.text, tt.hint)
			}
			if err != nil && strings.Contains(err.Error(), "secret-value") {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}

func TestExplainCancelled(t *testing.T) {
	clean(t)
	newAWS(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := load(t, awsconf.Config{Roles: []awsconf.Role{{ARN: "arn:aws:iam::111122223333:role/first"}}})
	if _, err := s.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); !errors.Is(awserr.Explain(err), context.Canceled) {
		t.Errorf("a call: %v", err)
	}
	if _, err := s.Credentials().Retrieve(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("credentials: %v", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	clean(t)
	newAWS(t)
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	t.Setenv("AWS_CA_BUNDLE", "")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	_, err := load(t, awsconf.Config{EndpointURL: srv.URL}).STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	err = awserr.Explain(err)
	var unreachable *awserr.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "x509: ") || !strings.Contains(awserr.HintFor(err), "--ca-bundle") {
		t.Errorf("%v, hint %q", err, awserr.HintFor(err))
	}
}

func TestSource(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"key", "[profile p]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\n", "profile p (access key)"},
		{"role", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/first\nsource_profile = q\n[profile q]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\n", "profile p (role over source_profile)"},
		{"environment", "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/first\ncredential_source = Environment\n", "profile p (role over credential_source)"},
		{"program", "[profile p]\ncredential_process = true\n", "profile p (credential_process)"},
		{"sso", "[profile p]\nsso_region = eu-central-1\nsso_start_url = https://x\nsso_account_id = 1\nsso_role_name = r\n", "profile p (sso)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(tt.file)
			setKeys(t, fakeaws.Key{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "s"})
			if got := load(t, awsconf.Config{Profile: "p"}).Source(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	clean(t)("[default]\n[profile b]\n[profile \"with space\"]\n[sso-session s]\n[services x]\n# [profile no]\n")
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte("[a]\n[b]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", credentials)
	if got := strings.Join(awsconf.Profiles(os.Getenv), "|"); got != "a|b|default|with space" {
		t.Error(got)
	}
}

// A configuration file may be anything; reading it for hints must not fall over
// or quote it.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{"", "[default]\nregion = x\n", "[profile a]\n  k = v\n", "nonsense", "[", "]", "[ ]", "[profile ]", "=", "\x00", "[profile \"\"]"} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "config")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		getenv := func(name string) string {
			if name == "AWS_CONFIG_FILE" {
				return path
			}
			return filepath.Join(filepath.Dir(path), "missing")
		}
		for _, name := range awsconf.Profiles(getenv) {
			if strings.ContainsAny(name, "[]\n") || !strings.Contains(text, name) {
				t.Errorf("profile %q in %q", name, text)
			}
		}
	})
}
