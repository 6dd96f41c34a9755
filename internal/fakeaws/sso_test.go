package fakeaws_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	startURL  = "https://corp.awsapps.com/start"
	ssoRegion = "eu-west-1"
)

// newPortal is a cloud with an SSO instance: ann may take two roles, ben none.
func newPortal(t *testing.T, cfg fakeaws.Config) *cloud {
	t.Helper()
	c := newCloud(t, cfg)
	if err := c.AddSSO(fakeaws.SSO{StartURL: startURL, Region: ssoRegion, Users: []fakeaws.SSOUser{
		{Name: "ann@example.com", Roles: []fakeaws.SSORole{
			{Account: account, Name: "Ops"},
			{Account: "444455556666", Name: "View", Duration: 2 * time.Hour, Deny: []string{"eks:*"}},
		}},
		{Name: "ben"},
	}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) login(t *testing.T, user string) fakeaws.SSOToken {
	t.Helper()
	token, err := c.LogInSSO(startURL, user)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// answer is what a JSON service said, whatever it is.
type answer struct {
	status          int
	Message         string
	Error           string
	Description     string `json:"error_description"`
	errorType       string
	RoleCredentials struct {
		AccessKeyID, SecretAccessKey, SessionToken string
		Expiration                                 int64
	}
	AccountList []struct{ AccountID string }
	RoleList    []struct{ RoleName, AccountID string }

	ClientID, ClientSecret, DeviceCode, UserCode string
	AccessToken, RefreshToken, TokenType         string
	ExpiresIn, ClientSecretExpiresAt             int64
}

func (c *cloud) ask(t *testing.T, method, target, bearer, body string) answer {
	t.Helper()
	r, err := http.NewRequest(method, c.url+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("x-amz-sso_bearer_token", bearer)
	}
	response := get(t, r)
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, errorType: response.Header.Get("X-Amzn-Errortype")}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%s %s: %d %s: %v", method, target, response.StatusCode, text, err)
	}
	return a
}

func (c *cloud) roleCredentials(t *testing.T, bearer, account, role string) answer {
	t.Helper()
	q := url.Values{"account_id": {account}, "role_name": {role}}
	return c.ask(t, http.MethodGet, "/federation/credentials?"+q.Encode(), bearer, "")
}

func TestRoleCredentials(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	c := newPortal(t, fakeaws.Config{Now: at(now)})
	token := c.login(t, "ann@example.com")
	got := c.roleCredentials(t, token.AccessToken, account, "Ops")
	if got.status != http.StatusOK || got.RoleCredentials.Expiration != now.Add(time.Hour).UnixMilli() {
		t.Fatalf("%+v", got)
	}
	key := fakeaws.Key{AccessKeyID: got.RoleCredentials.AccessKeyID, SecretAccessKey: got.RoleCredentials.SecretAccessKey, SessionToken: got.RoleCredentials.SessionToken}
	who := c.whoami(t, key)
	if !regexp.MustCompile(`^arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_[0-9a-f]{16}/ann@example\.com$`).MatchString(*who.Arn) {
		t.Errorf("the session is %s", *who.Arn)
	}
	arn, err := c.SSORoleARN(startURL, account, "Ops")
	if err != nil || !regexp.MustCompile(`^arn:aws:iam::111122223333:role/aws-reserved/sso\.amazonaws\.com/eu-west-1/AWSReservedSSO_Ops_[0-9a-f]{16}$`).MatchString(arn) {
		t.Errorf("the role is %s, %v", arn, err)
	}
	if _, err := c.SSORoleARN(startURL, account, "View"); err == nil {
		t.Error("a role that does not exist was found")
	}
	if got := c.roleCredentials(t, token.AccessToken, "444455556666", "View"); got.RoleCredentials.Expiration != now.Add(2*time.Hour).UnixMilli() {
		t.Errorf("the longer session: %+v", got)
	}
	if got := c.ask(t, http.MethodGet, "/assignment/accounts", token.AccessToken, ""); len(got.AccountList) != 2 || got.AccountList[1].AccountID != "444455556666" {
		t.Errorf("accounts %+v", got)
	}
	if got := c.ask(t, http.MethodGet, "/assignment/roles?account_id="+account, token.AccessToken, ""); len(got.RoleList) != 1 || got.RoleList[0].RoleName != "Ops" {
		t.Errorf("roles %+v", got)
	}
	for _, action := range []fakeaws.Action{fakeaws.GetRoleCredentials, fakeaws.ListAccounts, fakeaws.ListAccountRoles} {
		if c.Counts()[action] == 0 {
			t.Errorf("%s was not counted", action)
		}
	}
}

// The path of the roles of an instance in us-east-1 names no region.
func TestReservedRoleOfUSEast1(t *testing.T) {
	s := fakeaws.New(fakeaws.Config{})
	in := fakeaws.SSO{StartURL: startURL, Region: "us-east-1", Users: []fakeaws.SSOUser{{Name: "ann", Roles: []fakeaws.SSORole{{Account: account, Name: "Ops"}}}}}
	if err := s.AddSSO(in); err != nil {
		t.Fatal(err)
	}
	if arn, err := s.SSORoleARN(startURL, account, "Ops"); err != nil || !strings.HasPrefix(arn, "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Ops_") {
		t.Errorf("%s, %v", arn, err)
	}
}

func TestPortalRefuses(t *testing.T) {
	c := newPortal(t, fakeaws.Config{})
	good, ben := c.login(t, "ann@example.com"), c.login(t, "ben")
	expired, ended := c.login(t, "ann@example.com"), c.login(t, "ann@example.com")
	if err := c.ExpireSSOToken(expired.AccessToken); err != nil {
		t.Fatal(err)
	}
	if err := c.EndSSOSession(ended.AccessToken); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, bearer, account, role, code string
		status                            int
	}{
		{"nothing wrong", good.AccessToken, account, "Ops", "", 200},
		{"no token", "", account, "Ops", "UnauthorizedException", 401},
		{"token of nobody", good.AccessToken + "x", account, "Ops", "UnauthorizedException", 401},
		{"refresh token", good.RefreshToken, account, "Ops", "UnauthorizedException", 401},
		{"expired", expired.AccessToken, account, "Ops", "UnauthorizedException", 401},
		{"signed out", ended.AccessToken, account, "Ops", "UnauthorizedException", 401},
		{"another's role", ben.AccessToken, account, "Ops", "ForbiddenException", 403},
		{"no such role", good.AccessToken, account, "Ops2", "ForbiddenException", 403},
		{"role of another account", good.AccessToken, account, "View", "ForbiddenException", 403},
		{"no such account", good.AccessToken, "999999999999", "Ops", "ResourceNotFoundException", 404},
		{"no account", good.AccessToken, "", "Ops", "InvalidRequestException", 400},
		{"no role", good.AccessToken, account, "", "InvalidRequestException", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := c.roleCredentials(t, tt.bearer, tt.account, tt.role)
			if got.status != tt.status || got.errorType != tt.code || (got.Message == "") != (tt.code == "") {
				t.Errorf("got %d %s %q, want %d %s", got.status, got.errorType, got.Message, tt.status, tt.code)
			}
			if (got.RoleCredentials.SessionToken != "") != (tt.code == "") {
				t.Error("credentials were given")
			}
		})
	}
	c.SetFault(fakeaws.GetRoleCredentials, fakeaws.Fault{Code: "Throttling", Times: 1})
	if got := c.roleCredentials(t, good.AccessToken, account, "Ops"); got.status != 429 || got.errorType != "TooManyRequestsException" {
		t.Errorf("throttled: %d %s", got.status, got.errorType)
	}
	// Nobody gets in by what is no role of theirs to assume.
	arn, err := c.SSORoleARN(startURL, account, "Ops")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.assume(c.alice, assumeInput(arn))
	wantCode(t, err, "AccessDenied", 403)
}

// A host of AWS's own serves the instances of its region.
func TestPortalHosts(t *testing.T) {
	c := newPortal(t, fakeaws.Config{})
	token := c.login(t, "ann@example.com")
	for host, status := range map[string]int{
		"portal.sso.eu-west-1.amazonaws.com": 200, "portal.sso.eu-west-2.amazonaws.com": 401,
		"oidc.eu-west-1.amazonaws.com": 403, "sts.eu-west-1.amazonaws.com": 403, "localhost": 200,
	} {
		r, err := http.NewRequest(http.MethodGet, c.url+"/federation/credentials?role_name=Ops&account_id="+account, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("x-amz-sso_bearer_token", token.AccessToken)
		if response := get(t, r); response.StatusCode != status {
			t.Errorf("%s answered %d, want %d", host, response.StatusCode, status)
		}
	}
}

func TestAddSSORefuses(t *testing.T) {
	good := fakeaws.SSO{StartURL: startURL, Region: ssoRegion, Users: []fakeaws.SSOUser{{Name: "ann", Roles: []fakeaws.SSORole{{Account: account, Name: "Ops"}}}}}
	for name, mutate := range map[string]func(*fakeaws.SSO){
		"":            func(*fakeaws.SSO) {},
		"start URL":   func(in *fakeaws.SSO) { in.StartURL = "corp" },
		"region":      func(in *fakeaws.SSO) { in.Region = "europe" },
		"user":        func(in *fakeaws.SSO) { in.Users[0].Name = "a b" },
		"user twice":  func(in *fakeaws.SSO) { in.Users = append(in.Users, in.Users[0]) },
		"account":     func(in *fakeaws.SSO) { in.Users[0].Roles[0].Account = "1" },
		"role's name": func(in *fakeaws.SSO) { in.Users[0].Roles[0].Name = "a/b" },
		"too short":   func(in *fakeaws.SSO) { in.Users[0].Roles[0].Duration = time.Minute },
	} {
		in := good
		in.Users = []fakeaws.SSOUser{{Name: "ann", Roles: []fakeaws.SSORole{{Account: account, Name: "Ops"}}}}
		mutate(&in)
		s := fakeaws.New(fakeaws.Config{})
		if err := s.AddSSO(in); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
		if name == "" && s.AddSSO(in) == nil {
			t.Error("an instance was added twice")
		}
	}
	s := fakeaws.New(fakeaws.Config{})
	if _, err := s.LogInSSO(startURL, "ann"); err == nil {
		t.Error("a login without an instance")
	}
	if s.ExpireSSOToken("x") == nil || s.EndSSOSession("x") == nil || s.ApproveDevice("x", "ann") == nil {
		t.Error("what does not exist was ended")
	}
}

func TestSSOTokenShowsNoSecret(t *testing.T) {
	token := newPortal(t, fakeaws.Config{}).login(t, "ben")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, token); strings.Contains(got, token.AccessToken) || strings.Contains(got, token.RefreshToken) || strings.Contains(got, token.ClientSecret) {
			t.Errorf("%s: %s", verb, got)
		}
	}
	name, content := token.CacheFile("corp")
	if name != "ee0bfd2552fbd840c02cc48b6e823320543c450f.json" || !strings.Contains(string(content), token.RefreshToken) {
		t.Errorf("%s %s", name, content)
	}
	if _, content := token.CacheFile(""); strings.Contains(string(content), token.RefreshToken) {
		t.Error("a profile without a session has something to refresh with")
	}
}
