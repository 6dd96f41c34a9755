package fakeaws_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// command is AWS's own command in an empty home.
type command struct {
	path, home string
	env        []string
}

func newCommand(t *testing.T, c *cloud) *command {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed: ", err)
	}
	k := &command{path: path, home: t.TempDir()}
	k.env = []string{
		"HOME=" + k.home, "USERPROFILE=" + k.home, "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_REGION=eu-west-1", "AWS_PAGER=", "AWS_ENDPOINT_URL=" + c.url,
	}
	for _, name := range []string{"PYENV_ROOT", "SYSTEMROOT"} { // what an installed Python may need to start
		if value, ok := os.LookupEnv(name); ok {
			k.env = append(k.env, name+"="+value)
		}
	}
	return k
}

func (k *command) run(t *testing.T, args ...string) ([]byte, string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), k.path, append(args, "--output", "json")...)
	cmd.Env = k.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.Bytes(), stderr.String(), err
}

func (k *command) ask(t *testing.T, into any, args ...string) {
	t.Helper()
	out, stderr, err := k.run(t, args...)
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", args[:2], err, stderr)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("aws %s: %v\n%s", args[:2], err, out)
	}
}

func (k *command) refused(t *testing.T, want string, args ...string) {
	t.Helper()
	_, stderr, err := k.run(t, args...)
	if err == nil || !strings.Contains(stderr, want) {
		t.Errorf("aws %s: %v, %s, want %q", args[:2], err, stderr, want)
	}
}

func (k *command) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(k.home, ".aws", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAWSCommandSSO lets AWS's own command judge the portal and SSO-OIDC.
func TestAWSCommandSSO(t *testing.T) {
	c := newPortal(t, fakeaws.Config{})
	k := newCommand(t, c)
	// It would fetch a start URL to find the parameter behind it.
	k.write(t, "config", []byte("[default]\ncli_follow_urlparam = false\n"))
	token := c.login(t, "ann@example.com")

	var given struct {
		RoleCredentials struct {
			AccessKeyID, SecretAccessKey, SessionToken string
			Expiration                                 int64
		}
	}
	k.ask(t, &given, "sso", "get-role-credentials", "--account-id", account, "--role-name", "Ops", "--access-token="+token.AccessToken)
	if given.RoleCredentials.SessionToken == "" || given.RoleCredentials.Expiration == 0 {
		t.Error("no credentials")
	}
	var accounts struct{ AccountList []struct{ AccountID string } }
	k.ask(t, &accounts, "sso", "list-accounts", "--access-token="+token.AccessToken)
	if len(accounts.AccountList) != 2 {
		t.Errorf("accounts %+v", accounts)
	}
	var roles struct{ RoleList []struct{ RoleName string } }
	k.ask(t, &roles, "sso", "list-account-roles", "--account-id", account, "--access-token="+token.AccessToken)
	if len(roles.RoleList) != 1 || roles.RoleList[0].RoleName != "Ops" {
		t.Errorf("roles %+v", roles)
	}
	k.refused(t, "(ForbiddenException) when calling the GetRoleCredentials operation: No access",
		"sso", "get-role-credentials", "--account-id", account, "--role-name", "View", "--access-token="+token.AccessToken)
	k.refused(t, "(UnauthorizedException) when calling the GetRoleCredentials operation: Session token not found or invalid",
		"sso", "get-role-credentials", "--account-id", account, "--role-name", "Ops", "--access-token", "nonsense")

	var client struct{ ClientID, ClientSecret string }
	k.ask(t, &client, "sso-oidc", "register-client", "--client-name", "test", "--client-type", "public", "--scopes", "sso:account:access")
	var device struct{ DeviceCode, UserCode string }
	k.ask(t, &device, "sso-oidc", "start-device-authorization", "--client-id="+client.ClientID, "--client-secret="+client.ClientSecret, "--start-url", startURL)
	create := []string{"sso-oidc", "create-token", "--client-id=" + client.ClientID, "--client-secret=" + client.ClientSecret}
	byDevice := append(create[:len(create):len(create)], "--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--device-code="+device.DeviceCode)
	k.refused(t, "(AuthorizationPendingException) when calling the CreateToken operation", byDevice...)
	if err := c.ApproveDevice(device.UserCode, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	var created struct{ AccessToken, RefreshToken string }
	k.ask(t, &created, byDevice...)
	byRefresh := append(create[:len(create):len(create)], "--grant-type", "refresh_token", "--refresh-token="+created.RefreshToken)
	k.ask(t, &created, byRefresh...)
	k.refused(t, "(InvalidGrantException) when calling the CreateToken operation", byRefresh...)
}

// A profile with an sso-session, its cached token, and the refreshing of it.
func TestAWSCommandSSOProfile(t *testing.T) {
	c := newPortal(t, fakeaws.Config{})
	k := newCommand(t, c)
	k.write(t, "config", []byte(`[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Ops
[sso-session corp]
sso_start_url = `+startURL+`
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
[profile old]
sso_start_url = `+startURL+`
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Ops
`))
	token := c.login(t, "ann@example.com")
	file := func(token fakeaws.SSOToken, session string) {
		name, content := token.CacheFile(session)
		k.write(t, filepath.Join("sso", "cache", name), content)
	}
	file(token, "")
	file(token, "corp")
	for _, profile := range []string{"dev", "old"} {
		var who struct{ Arn string }
		k.ask(t, &who, "sts", "get-caller-identity", "--profile", profile)
		if !strings.HasPrefix(who.Arn, "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_") || !strings.HasSuffix(who.Arn, "/ann@example.com") {
			t.Errorf("profile %s is %s", profile, who.Arn)
		}
	}
	if err := os.RemoveAll(filepath.Join(k.home, ".aws", "cli")); err != nil { // where the command keeps role credentials
		t.Fatal(err)
	}
	if err := c.ExpireSSOToken(token.AccessToken); err != nil {
		t.Fatal(err)
	}
	expired := token
	expired.ExpiresAt = token.ExpiresAt.Add(-2 * time.Hour)
	file(expired, "corp")
	var who struct{ Arn string }
	k.ask(t, &who, "sts", "get-caller-identity", "--profile", "dev")
	if n := c.Counts()[fakeaws.CreateToken]; n != 1 {
		t.Errorf("%d tokens created, want one", n)
	}
}

// TestAWSCommandWebIdentity lets AWS's own command judge web identities.
func TestAWSCommandWebIdentity(t *testing.T) {
	c, role := newIssuer(t)
	k := newCommand(t, c)
	token := sign(t, issuerKey(), map[string]any{"alg": "RS256", "kid": "k1"}, goodClaims())
	var assumed struct {
		Credentials     struct{ AccessKeyID string }
		AssumedRoleUser struct{ Arn string }
		Provider        string
	}
	assume := []string{"sts", "assume-role-with-web-identity", "--role-arn", role, "--role-session-name", "pod", "--web-identity-token"}
	k.ask(t, &assumed, append(assume[:len(assume):len(assume)], token)...)
	if assumed.AssumedRoleUser.Arn != "arn:aws:sts::111122223333:assumed-role/web/pod" || assumed.Provider != issuer {
		t.Errorf("%+v", assumed)
	}
	k.refused(t, "(InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: The ID Token provided is not a valid JWT", append(assume, "nonsense")...)

	// As in a pod.
	k.write(t, "token", []byte(token))
	k.env = append(k.env, "AWS_ROLE_ARN="+role, "AWS_ROLE_SESSION_NAME=pod", "AWS_WEB_IDENTITY_TOKEN_FILE="+filepath.Join(k.home, ".aws", "token"))
	var who struct{ Arn string }
	k.ask(t, &who, "sts", "get-caller-identity")
	if who.Arn != "arn:aws:sts::111122223333:assumed-role/web/pod" {
		t.Errorf("the pod is %s", who.Arn)
	}
}
