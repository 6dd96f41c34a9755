package awsconf_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// Credentials, and tokens made of them, hang on the file that says who signs,
// though only the configuration names it. Another in its place gets its own, and
// none gets nothing.
func TestKeptCredentialsHangOnFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		action fakeaws.Action
		set    func(*sources)
		file   func(*sources) string // puts another identity's in place, and tells where
	}{
		{
			"sso-session", fakeaws.GetRoleCredentials,
			func(s *sources) { s.write(ssoFile); s.login("corp", nil) },
			func(s *sources) string { s.login("corp", nil); return s.ssoPath("corp") },
		},
		{
			"sso of old", fakeaws.GetRoleCredentials,
			func(s *sources) { s.write(legacySSOFile); s.login("", nil) },
			func(s *sources) string { s.login("", nil); return s.ssoPath("") },
		},
		{
			"web identity of a profile", fakeaws.AssumeRoleWithWebIdentity,
			func(s *sources) {
				path := s.file("jwt", webToken(s.t, time.Now().Add(time.Hour)))
				s.write("[profile p]\nrole_arn = " + webRole + "\nweb_identity_token_file = " + path + "\n")
			},
			func(s *sources) string { return s.file("jwt", webToken(s.t, time.Now().Add(2*time.Hour))) },
		},
		{
			"role over sso", fakeaws.GetRoleCredentials,
			func(s *sources) {
				s.write(ssoFile + "[profile q]\nrole_arn = " + firstRole + "\nsource_profile = p\n")
				s.login("corp", nil)
				s.t.Setenv("AWS_PROFILE", "q")
			},
			func(s *sources) string { s.login("corp", nil); return s.ssoPath("corp") },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			tt.set(s)
			c := awsconf.Config{Profile: "p"}
			if p := os.Getenv("AWS_PROFILE"); p != "" {
				c.Profile = p
			}
			l := newLater(t)
			first := l.key(t, c)
			if again := l.key(t, c); again != first || s.aws.Counts()[tt.action] != 1 {
				t.Errorf("%s, then %s, and %d calls; want the same, and one", first, again, s.aws.Counts()[tt.action])
			}
			path := tt.file(s)
			if got := l.key(t, c); got == first || s.aws.Counts()[tt.action] != 2 {
				t.Errorf("with another file: %s, and %d calls; want another key, and two", got, s.aws.Counts()[tt.action])
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			c.Store = l.store()
			if creds, err := load(t, c).Credentials().Retrieve(t.Context()); err == nil {
				t.Errorf("with no file there are still credentials: %s", creds.AccessKeyID)
			}
		})
	}
}

// C06: a session that is refreshed on the way is cached at once.
func TestC06RefreshedSessionIsCached(t *testing.T) {
	s := newSources(t)
	s.write(ssoFile)
	s.login("corp", s.expire)
	l := newLater(t)
	c := awsconf.Config{Profile: "p"}
	first := l.key(t, c)
	counts := s.aws.Counts()
	if second := l.key(t, c); second != first || counts[fakeaws.CreateToken] != 1 || counts[fakeaws.GetRoleCredentials] != 1 || l.entries(t) != 1 {
		t.Errorf("%s, then %s, %d entries and calls %v", first, second, l.entries(t), counts)
	}
}

// A path that is not absolute means another file in another folder.
func TestRelativeFilesKeepNothing(t *testing.T) {
	s := newSources(t)
	s.write("[profile p]\nrole_arn = " + webRole + "\nweb_identity_token_file = jwt\n")
	s.file("jwt", webToken(t, time.Now().Add(time.Hour)))
	t.Chdir(s.dir)
	l := newLater(t)
	c := awsconf.Config{Profile: "p"}
	if first := l.key(t, c); l.key(t, c) == first || l.entries(t) != 0 {
		t.Errorf("it was kept: %d entries", l.entries(t))
	}
	t.Setenv("HOME", "here")
	t.Setenv("USERPROFILE", "here")
	if _, err := awsconf.NewFingerprint(c); err == nil {
		t.Error("a home that is not absolute has a fingerprint")
	}
}

// In a pod with a role of its own, AWS_PROFILE names a profile that assumes
// another: the AWS CLI takes that one, the SDK the pod's.
func TestProfileRoleFirst(t *testing.T) {
	const role = "[profile p]\nrole_arn = " + firstRole + "\nsource_profile = keys\n[profile keys]\n"
	for _, tt := range []struct {
		name, file string
		first      bool
		want       string
	}{
		{"the SDK's order", role, false, "assumed-role/web/"},
		{"the AWS CLI's order", role, true, "assumed-role/first/"},
		{"a profile without a role", "[profile p]\nregion = eu-central-1\n[profile keys]\n", true, "assumed-role/web/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			s.write(tt.file + keyLines(s.alice))
			t.Setenv("AWS_PROFILE", "p")
			t.Setenv("AWS_ROLE_ARN", webRole)
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.file("jwt", webToken(t, time.Now().Add(time.Hour))))
			if got := whoAmI(t, load(t, awsconf.Config{ProfileRoleFirst: tt.first})); !strings.Contains(got, tt.want) {
				t.Errorf("it is %s, want %s", got, tt.want)
			}
		})
	}
}

// C07: a role of a profile over a source that is not seen is not cached, however deep
// the source lies, unless that is asked for.
func TestC07RolesOverOpaqueSources(t *testing.T) {
	s := newSources(t)
	out := fmt.Sprintf(`{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q}`, s.alice.AccessKeyID, s.alice.SecretAccessKey)
	answer := s.file("answer", out)
	s.write("[profile inner]\ncredential_process = cat " + answer + "\n" +
		"[profile p]\nrole_arn = " + firstRole + "\nsource_profile = inner\n" +
		"[profile deep]\nrole_arn = " + secondRole + "\nsource_profile = p\n")
	for _, profile := range []string{"p", "deep"} {
		l := newLater(t)
		c := awsconf.Config{Profile: profile}
		if first := l.key(t, c); l.key(t, c) == first || l.entries(t) != 0 {
			t.Errorf("%s: %d entries are cached", profile, l.entries(t))
		}
		c.CacheOpaque = true
		if first := l.key(t, c); l.key(t, c) != first || l.entries(t) != 1 {
			t.Errorf("%s: %d entries are cached with CacheOpaque, want 1", profile, l.entries(t))
		}
	}
}
