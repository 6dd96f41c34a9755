package awsconf_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	firstRole  = "arn:aws:iam::111122223333:role/first"
	secondRole = "arn:aws:iam::111122223333:role/second"
)

// later is a store that a later process has in the same folder.
type later struct{ dir string }

func (l later) store() *credcache.Store { return credcache.New(credcache.Config{Dir: l.dir}) }

func newLater(t *testing.T) later {
	t.Helper()
	return later{dir: filepath.Join(t.TempDir(), "cache")}
}

// key is the access key that a new process with this Config signs with.
func (l later) key(t *testing.T, c awsconf.Config) string {
	t.Helper()
	c.Store = l.store()
	creds, err := load(t, c).Credentials().Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return creds.AccessKeyID
}

// files is the number of entries that are kept.
func (l later) entries(t *testing.T) int {
	t.Helper()
	all, err := l.store().List()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func assumed(fake *fakeaws.Server) int { return fake.Counts()[fakeaws.AssumeRole] }

func TestRolesAreKept(t *testing.T) {
	clean(t)
	fake, _ := newAWS(t)
	l := newLater(t)
	one := awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}}}
	two := awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}, {ARN: secondRole}}}
	first := l.key(t, one)
	if again := l.key(t, one); again != first || assumed(fake) != 1 {
		t.Errorf("%s, then %s, and %d roles assumed; want the same, and one", first, again, assumed(fake))
	}
	// Its first hop is there already.
	second := l.key(t, two)
	if second == first || assumed(fake) != 2 {
		t.Errorf("%s, and %d roles assumed; want another key, and two", second, assumed(fake))
	}
	if again := l.key(t, two); again != second || assumed(fake) != 2 {
		t.Errorf("%s, and %d roles assumed; want %s, and two", again, assumed(fake), second)
	}
	// Anything else about a hop makes it another.
	for i, r := range []awsconf.Role{
		{ARN: firstRole, SessionName: "other"}, {ARN: firstRole, ExternalID: "other"}, {ARN: firstRole, Duration: 30 * time.Minute},
	} {
		if got := l.key(t, awsconf.Config{Roles: []awsconf.Role{r}}); got == first {
			t.Errorf("%+v: got what is kept for another", r)
		}
		if assumed(fake) != 3+i {
			t.Errorf("%d roles assumed, want %d", assumed(fake), 3+i)
		}
	}
	// Without a store nothing is.
	if _, err := load(t, one).Credentials().Retrieve(t.Context()); err != nil || assumed(fake) != 6 {
		t.Errorf("%v, %d roles assumed, want 6", err, assumed(fake))
	}
}

// The role of a profile, over another profile's keys, is kept as those of flags
// are.
func TestProfileRolesAreKept(t *testing.T) {
	for name, base := range map[string]string{
		"source_profile":    "source_profile = keys",
		"credential_source": "credential_source = Environment",
	} {
		t.Run(name, func(t *testing.T) {
			writeConfig := clean(t)
			fake, k := newAWS(t)
			config := fmt.Sprintf("[profile p]\nrole_arn = %s\n%s\n[profile keys]\naws_access_key_id = %s\naws_secret_access_key = %s\n", firstRole, base, k.AccessKeyID, k.SecretAccessKey)
			writeConfig(config)
			l := newLater(t)
			c := awsconf.Config{Profile: "p"}
			first := l.key(t, c)
			if again := l.key(t, c); again != first || assumed(fake) != 1 {
				t.Errorf("%s, then %s, and %d roles assumed", first, again, assumed(fake))
			}
			writeConfig(config + "# \n")
			if got := l.key(t, c); got == first || assumed(fake) != 2 {
				t.Errorf("after a change of the file: %s, and %d roles assumed", got, assumed(fake))
			}
		})
	}
}

// A file that is another one while the configuration is read leaves nothing
// behind under the first one's name.
func TestChangedMeanwhileIsNotKept(t *testing.T) {
	writeConfig := clean(t)
	fake, k := newAWS(t)
	if _, err := fake.AddRole(fakeaws.Role{Account: "111122223333", Name: "victim"}); err != nil {
		t.Fatal(err)
	}
	file := func(role string) string {
		return fmt.Sprintf("[profile p]\nrole_arn = %s\nsource_profile = keys\n[profile keys]\naws_access_key_id = %s\naws_secret_access_key = %s\n", role, k.AccessKeyID, k.SecretAccessKey)
	}
	l := newLater(t)
	writeConfig(file(firstRole))
	c := awsconf.Config{Profile: "p", Store: l.store()}
	var err error
	if c.Fingerprint, err = awsconf.NewFingerprint(c); err != nil {
		t.Fatal(err)
	}
	writeConfig(file(secondRole)) // what the SDK reads
	if _, err := load(t, c).Credentials().Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.entries(t) != 0 {
		t.Errorf("%d entries", l.entries(t))
	}
	// With the first one again it is cached.
	writeConfig(file(firstRole))
	kept := l.key(t, awsconf.Config{Profile: "p"})
	if again := l.key(t, awsconf.Config{Profile: "p"}); again != kept {
		t.Errorf("with the first file again: %s, want %s", again, kept)
	}
}

// What a credential_process says today it need not say tomorrow. A role on top
// hangs on what it did say.
func TestUnseenSources(t *testing.T) {
	writeConfig := clean(t)
	fake, _ := newAWS(t)
	answer := filepath.Join(t.TempDir(), "answer")
	writeConfig("[profile p]\ncredential_process = cat " + answer + "\n")
	say := func(k fakeaws.Key) {
		write(t, answer, fmt.Sprintf(`{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q,"SessionToken":%q,"Expiration":%q}`,
			k.AccessKeyID, k.SecretAccessKey, k.SessionToken, time.Now().Add(time.Hour).Format(time.RFC3339)))
	}
	session := func(name string) fakeaws.Key {
		key, err := fake.AddSession(fakeaws.Session{RoleARN: secondRole, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	l := newLater(t)
	say(session("one"))
	plain, role := awsconf.Config{Profile: "p"}, awsconf.Config{Profile: "p", Roles: []awsconf.Role{{ARN: firstRole}}}
	l.key(t, plain)
	if l.entries(t) != 0 {
		t.Errorf("%d entries are cached", l.entries(t))
	}
	first := l.key(t, role)
	if again := l.key(t, role); again != first || assumed(fake) != 1 {
		t.Errorf("%s, then %s, and %d roles assumed", first, again, assumed(fake))
	}
	say(session("two"))
	if got := l.key(t, role); got == first || assumed(fake) != 2 {
		t.Errorf("another caller: %s, and %d roles assumed", got, assumed(fake))
	}
	// Asked for, it is kept.
	plain.CacheOpaque = true
	asked := l.key(t, plain)
	say(session("three"))
	if got := l.key(t, plain); got != asked {
		t.Errorf("%s, want what was kept, %s", got, asked)
	}
}

// Environment keys are at hand: only what is made of them is kept.
func TestKeysAreNotKept(t *testing.T) {
	clean(t)
	newAWS(t)
	l := newLater(t)
	l.key(t, awsconf.Config{})
	if l.entries(t) != 0 {
		t.Error("keys were kept")
	}
}

func TestForwardSessionName(t *testing.T) {
	clean(t)
	fake, user := newAWS(t)
	session, err := fake.AddSession(fakeaws.Session{RoleARN: firstRole, Name: "jane@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		caller fakeaws.Key
		role   awsconf.Role
		want   string
	}{
		{"of a session", session, awsconf.Role{ARN: secondRole}, "jane@example.com"},
		{"one's own goes first", session, awsconf.Role{ARN: secondRole, SessionName: "own"}, "own"},
		{"of no session", user, awsconf.Role{ARN: secondRole}, "ekskey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setKeys(t, tt.caller)
			got := whoAmI(t, load(t, awsconf.Config{ForwardSessionName: true, Roles: []awsconf.Role{tt.role}}))
			if want := "arn:aws:sts::111122223333:assumed-role/second/" + tt.want; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	clean(t)
	newAWS(t)
	for want, given := range map[time.Duration]time.Duration{time.Hour: 0, 15 * time.Minute: 15 * time.Minute} {
		s := load(t, awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole, Duration: given}}})
		creds, err := s.Credentials().Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(creds.Expires); left > want || left < want-5*time.Minute {
			t.Errorf("%s: %s left", given, left)
		}
	}
}
