package awsconf_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// expire makes a token's file, and AWS, say that it ended an hour ago.
func (s *sources) expire(token *fakeaws.SSOToken) {
	s.t.Helper()
	if err := s.aws.ExpireSSOToken(token.AccessToken); err != nil {
		s.t.Fatal(err)
	}
	token.ExpiresAt = time.Now().Add(-time.Hour)
}

// An access token that has ended is refreshed without a word, once, and what came
// is kept as the AWS CLI keeps it.
func TestSSORefresh(t *testing.T) {
	s := newSources(t)
	s.write(ssoFile)
	token := s.login("corp", s.expire)
	for range 2 {
		if got := whoAmI(t, load(t, awsconf.Config{Profile: "p"})); !strings.HasSuffix(got, "/ann") {
			t.Errorf("it is %s", got)
		}
	}
	if n := s.aws.Counts()[fakeaws.CreateToken]; n != 1 {
		t.Errorf("%d tokens created, want one", n)
	}
	name, _ := token.CacheFile("corp")
	path := filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache", name)
	kept, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(kept), token.AccessToken) || strings.Contains(string(kept), token.RefreshToken) || !strings.Contains(string(kept), token.ClientSecret) {
		t.Errorf("the file does not hold the new tokens and the old client: %v", err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file is now %v, %v", info.Mode(), err)
	}
}

// TestSSOEnded: whatever way a session has ended, the cause and the exact command
// are given, and the secrets are not.
func TestSSOEnded(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*sources) fakeaws.SSOToken
	}{
		{"never logged in", func(s *sources) fakeaws.SSOToken { s.write(ssoFile); return fakeaws.SSOToken{} }},
		{"of old, never logged in", func(s *sources) fakeaws.SSOToken { s.write(legacySSOFile); return fakeaws.SSOToken{} }},
		{"of old, expired", func(s *sources) fakeaws.SSOToken { s.write(legacySSOFile); return s.login("", s.expire) }},
		{"of old, ended elsewhere", func(s *sources) fakeaws.SSOToken {
			s.write(legacySSOFile)
			token := s.login("", nil)
			if err := s.aws.EndSSOSession(token.AccessToken); err != nil {
				s.t.Fatal(err)
			}
			return token
		}},
		{"ended elsewhere", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			token := s.login("corp", nil)
			if err := s.aws.EndSSOSession(token.AccessToken); err != nil {
				s.t.Fatal(err)
			}
			return token
		}},
		{"expired, and not to be refreshed", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			token := s.login("corp", s.expire)
			if err := s.aws.EndSSOSession(token.AccessToken); err != nil {
				s.t.Fatal(err)
			}
			return token
		}},
		{"expired, with nothing to refresh it", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			return s.login("corp", func(token *fakeaws.SSOToken) { s.expire(token); token.RefreshToken = "" })
		}},
		{"expired, and so has the client", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			return s.login("corp", func(token *fakeaws.SSOToken) { s.expire(token); token.ClientSecret = "a-secret-of-long-ago" })
		}},
		{"a token of nobody", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			return s.login("corp", func(token *fakeaws.SSOToken) { token.AccessToken = "a-token-of-nobody" })
		}},
		{"a file that is none", func(s *sources) fakeaws.SSOToken {
			s.write(ssoFile)
			token := s.login("corp", nil)
			name, _ := token.CacheFile("corp")
			if err := os.WriteFile(filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache", name), []byte(`{"accessToken":"`+token.AccessToken), 0o600); err != nil {
				s.t.Fatal(err)
			}
			return token
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			token := tt.set(s)
			_, err := load(t, awsconf.Config{Profile: "p"}).Credentials().Retrieve(t.Context())
			var ended *awserr.CredentialsError
			if !errors.As(err, &ended) {
				t.Fatalf("%T %v", err, err)
			}
			if ended.Cause != "the SSO session of profile p has expired or does not exist" || ended.Hint != "run: aws sso login --profile p" {
				t.Errorf("cause %q, hint %q", ended.Cause, ended.Hint)
			}
			for _, secret := range []string{token.AccessToken, token.RefreshToken, token.ClientSecret} {
				if secret != "" && strings.Contains(ended.Cause+ended.Hint, secret) {
					t.Error("a secret is in the error")
				}
			}
		})
	}
}

// What ails SSO beside an ended session is not called one.
func TestSSORefused(t *testing.T) {
	for _, tt := range []struct {
		name, file, cause, hint string
		fault                   fakeaws.Fault
	}{
		{"another role", strings.Replace(ssoFile, "= Ops", "= Root", 1),
			"calling SSO GetRoleCredentials: ForbiddenException: No access", "check sso_account_id and sso_role_name of profile p", fakeaws.Fault{}},
		{"another account", strings.Replace(ssoFile, "= 111122223333", "= 999999999999", 1),
			"calling SSO GetRoleCredentials: ResourceNotFoundException: ", "check sso_account_id and sso_role_name of profile p", fakeaws.Fault{}},
		{"throttled", ssoFile, "calling SSO GetRoleCredentials: TooManyRequestsException: ", "wait a moment", fakeaws.Fault{Code: "Throttling"}},
		{"cut", ssoFile, "calling SSO GetRoleCredentials: ", "check the network", fakeaws.Fault{Cut: true}},
		{"cut under a role", "[profile top]\nrole_arn = " + firstRole + "\nsource_profile = p\n" + ssoFile, "calling SSO GetRoleCredentials: ", "check the network", fakeaws.Fault{Cut: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			s.write(tt.file)
			s.login("corp", nil)
			if tt.fault.Code != "" || tt.fault.Cut {
				s.aws.SetFault(fakeaws.GetRoleCredentials, tt.fault)
			}
			profile := "p"
			if strings.HasPrefix(tt.file, "[profile top]") {
				profile = "top"
			}
			_, err := load(t, awsconf.Config{Profile: profile}).Credentials().Retrieve(t.Context())
			var refused *awserr.CredentialsError
			if !errors.As(err, &refused) || !strings.HasPrefix(refused.Cause, tt.cause) || !strings.HasPrefix(refused.Hint, tt.hint) {
				t.Errorf("%v, want %q, %q", err, tt.cause, tt.hint)
			}
		})
	}
}

// ssoPath is the file of a session of aws sso login.
func (s *sources) ssoPath(session string) string {
	name, _ := fakeaws.SSOToken{StartURL: ssoStart}.CacheFile(session)
	return filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache", name)
}
