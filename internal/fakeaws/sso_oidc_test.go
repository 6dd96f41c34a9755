package fakeaws_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func assumeInput(role string) *sts.AssumeRoleInput {
	return &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("s1")}
}

func (c *cloud) oidc(t *testing.T, path string, fields map[string]any) answer {
	t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return c.ask(t, http.MethodPost, path, "", string(body))
}

func refreshFields(token fakeaws.SSOToken) map[string]any {
	return map[string]any{"grantType": "refresh_token", "clientId": token.ClientID, "clientSecret": token.ClientSecret, "refreshToken": token.RefreshToken}
}

func TestDeviceFlow(t *testing.T) {
	clock := &testClock{now: time.Now()}
	c := newPortal(t, fakeaws.Config{Now: clock.Now})
	client := c.oidc(t, "/client/register", map[string]any{"clientName": "test", "clientType": "public", "scopes": []string{"sso:account:access"}})
	if client.status != 200 || client.ClientSecretExpiresAt <= clock.Now().Unix() {
		t.Fatalf("%+v", client)
	}
	fields := map[string]any{"clientId": client.ClientID, "clientSecret": client.ClientSecret, "startUrl": startURL}
	device := c.oidc(t, "/device_authorization", fields)
	if device.status != 200 || len(device.UserCode) != 9 {
		t.Fatalf("%+v", device)
	}
	fields["grantType"], fields["deviceCode"] = "urn:ietf:params:oauth:grant-type:device_code", device.DeviceCode
	refused := func(code, word string) {
		t.Helper()
		if got := c.oidc(t, "/token", fields); got.status != 400 || got.errorType != code || got.Error != word || got.AccessToken != "" {
			t.Errorf("got %+v, want %s, %s", got, code, word)
		}
	}
	refused("AuthorizationPendingException", "authorization_pending")
	if err := c.ApproveDevice(device.UserCode, "eve"); err == nil {
		t.Error("approved for a user who does not exist")
	}
	if err := c.ApproveDevice(device.UserCode, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	token := c.oidc(t, "/token", fields)
	if token.status != 200 || token.ExpiresIn != 3600 || token.TokenType != "Bearer" || token.RefreshToken == "" {
		t.Fatalf("%+v", token)
	}
	if got := c.roleCredentials(t, token.AccessToken, account, "Ops"); got.status != 200 {
		t.Errorf("the token opens nothing: %+v", got)
	}
	refused("InvalidGrantException", "invalid_grant") // a code works once

	fields["deviceCode"] = c.oidc(t, "/device_authorization", fields).DeviceCode
	clock.add(11 * time.Minute)
	refused("ExpiredTokenException", "expired_token")

	// Without the scope there is nothing to refresh with.
	plain := c.oidc(t, "/client/register", map[string]any{"clientName": "test", "clientType": "public"})
	fields["clientId"], fields["clientSecret"] = plain.ClientID, plain.ClientSecret
	device = c.oidc(t, "/device_authorization", fields)
	if err := c.ApproveDevice(device.UserCode, "ben"); err != nil {
		t.Fatal(err)
	}
	fields["deviceCode"] = device.DeviceCode
	if got := c.oidc(t, "/token", fields); got.status != 200 || got.RefreshToken != "" {
		t.Errorf("%+v", got)
	}
}

func TestRefresh(t *testing.T) {
	clock := &testClock{now: time.Now()}
	c := newPortal(t, fakeaws.Config{Now: clock.Now})
	first := c.login(t, "ann@example.com")
	clock.add(time.Hour)
	if got := c.roleCredentials(t, first.AccessToken, account, "Ops"); got.status != 401 {
		t.Fatalf("an hour later: %d", got.status)
	}
	second := c.oidc(t, "/token", refreshFields(first))
	if second.status != 200 || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken {
		t.Fatalf("%+v", second)
	}
	if got := c.roleCredentials(t, second.AccessToken, account, "Ops"); got.status != 200 {
		t.Errorf("refreshed: %d", got.status)
	}
	if got := c.oidc(t, "/token", refreshFields(first)); got.errorType != "InvalidGrantException" {
		t.Errorf("a refresh token worked twice: %+v", got)
	}
	first.RefreshToken = second.RefreshToken
	clock.add(6*time.Hour + 30*time.Minute)
	last := c.oidc(t, "/token", refreshFields(first))
	if last.status != 200 || last.ExpiresIn != 1800 {
		t.Errorf("a token outlives its login: %+v", last)
	}
	first.RefreshToken = last.RefreshToken
	clock.add(30 * time.Minute)
	if got := c.oidc(t, "/token", refreshFields(first)); got.errorType != "InvalidGrantException" {
		t.Errorf("refreshed after the login ended: %+v", got)
	}
}

func TestCreateTokenRefuses(t *testing.T) {
	c := newPortal(t, fakeaws.Config{})
	other := c.login(t, "ben")
	tests := []struct {
		name   string
		mutate func(map[string]any)
		code   string
		status int
	}{
		{"nothing wrong", func(map[string]any) {}, "", 200},
		{"no client", func(m map[string]any) { delete(m, "clientId") }, "InvalidRequestException", 400},
		{"unknown client", func(m map[string]any) { m["clientId"] = "x" }, "InvalidClientException", 401},
		{"wrong secret", func(m map[string]any) { m["clientSecret"] = "x" }, "InvalidClientException", 401},
		{"another's client", func(m map[string]any) { m["clientId"], m["clientSecret"] = other.ClientID, other.ClientSecret }, "InvalidGrantException", 400},
		{"no grant", func(m map[string]any) { delete(m, "grantType") }, "InvalidRequestException", 400},
		{"unknown grant", func(m map[string]any) { m["grantType"] = "password" }, "UnsupportedGrantTypeException", 400},
		{"wrong token", func(m map[string]any) { m["refreshToken"] = "x" }, "InvalidGrantException", 400},
		{"no token", func(m map[string]any) { delete(m, "refreshToken") }, "InvalidGrantException", 400},
		{"an access token", func(m map[string]any) { m["refreshToken"] = other.AccessToken }, "InvalidGrantException", 400},
		{"no device code", func(m map[string]any) { m["grantType"] = "urn:ietf:params:oauth:grant-type:device_code" }, "InvalidGrantException", 400},
		{"a number", func(m map[string]any) { m["clientId"] = 1 }, "InvalidRequestException", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields := refreshFields(c.login(t, "ann@example.com"))
			tt.mutate(fields)
			got := c.oidc(t, "/token", fields)
			if got.status != tt.status || got.errorType != tt.code || (got.Description == "") != (tt.code == "") || (got.AccessToken == "") == (tt.code == "") {
				t.Errorf("got %+v, want %d %s", got, tt.status, tt.code)
			}
		})
	}
	for name, fields := range map[string]map[string]any{
		"no name": {"clientType": "public"}, "confidential": {"clientName": "x", "clientType": "confidential"},
	} {
		if got := c.oidc(t, "/client/register", fields); got.errorType != "InvalidClientMetadataException" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := c.oidc(t, "/device_authorization", map[string]any{"clientId": other.ClientID, "clientSecret": other.ClientSecret, "startUrl": startURL + "x"}); got.errorType != "InvalidRequestException" {
		t.Errorf("another start URL: %+v", got)
	}
	c.SetFault(fakeaws.CreateToken, fakeaws.Fault{Code: "InternalFailure", Times: 1})
	if got := c.oidc(t, "/token", nil); got.status != 500 || got.Error != "server_error" {
		t.Errorf("a fault: %+v", got)
	}
	// A Server without an instance has no such services.
	bare := newCloud(t, fakeaws.Config{})
	if got := bare.oidc(t, "/client/register", map[string]any{"clientName": "x", "clientType": "public"}); got.status != 404 {
		t.Errorf("without an instance: %+v", got)
	}
}

// testClock is a clock that a test moves.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
