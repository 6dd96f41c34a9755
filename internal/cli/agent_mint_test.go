package cli

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
)

// awsFiles names AWS's two files in a home of the test's own.
func awsFiles(t *testing.T) (config, credentials string) {
	t.Helper()
	dir := t.TempDir()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	config, credentials = filepath.Join(dir, "config"), filepath.Join(dir, "credentials")
	t.Setenv("AWS_CONFIG_FILE", config)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", credentials)
	return config, credentials
}

// Who rotates the keys in AWS's files need not start the agent again; and what has
// not changed is not loaded again.
func TestLastingSeesChangedFiles(t *testing.T) {
	_, file := awsFiles(t)
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := testApp()
	a.env.Getenv = os.Getenv
	l := a.newLasting("demo", awsconf.Config{Region: "eu-central-1", Getenv: os.Getenv}, newLastingShare())
	signedBy := func(fresh bool) string {
		t.Helper()
		if fresh {
			l.Invalidate()
		}
		tok, err := l.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tok.AccessKeyID
	}
	write("AKIAFIRST00000000000")
	if key := signedBy(false); key != "AKIAFIRST00000000000" {
		t.Error(key)
	}
	first := l.session
	if signedBy(false); l.session != first {
		t.Error("it was loaded again for nothing")
	}
	write("AKIASECOND0000000000")
	if key := signedBy(false); key != "AKIASECOND0000000000" {
		t.Error(key)
	}
	second := l.session
	if signedBy(true); l.session == second {
		t.Error("after a refusal it was not loaded anew")
	}
	if err := os.WriteFile(file, []byte("[default\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Token(t.Context()); err == nil {
		t.Error("a broken file, and a token")
	}
	if l.session = second; !l.stale {
		t.Error("after a failure what was got before may sign")
	}
	write("AKIATHIRD00000000000")
	if key := signedBy(false); key != "AKIATHIRD00000000000" {
		t.Error(key)
	}
}

// Who logs in anew is who signs from then on, though the credentials that the last
// login led to are good for an hour yet.
func TestLastingSeesALogin(t *testing.T) {
	const start, account = "https://corp.awsapps.com/start", "111122223333"
	file, _ := awsFiles(t)
	if err := os.WriteFile(file, []byte("[profile p]\nsso_session = corp\nsso_account_id = "+account+"\nsso_role_name = Ops\n"+
		"[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = "+start+"\nsso_registration_scopes = sso:account:access\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := fakeaws.New(fakeaws.Config{})
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	roles := []fakeaws.SSORole{{Account: account, Name: "Ops"}}
	if err := cloud.AddSSO(fakeaws.SSO{StartURL: start, Region: "eu-west-1", Users: []fakeaws.SSOUser{{Name: "ann", Roles: roles}, {Name: "bea", Roles: roles}}}); err != nil {
		t.Fatal(err)
	}
	login := func(user string) {
		t.Helper()
		session, err := cloud.LogInSSO(start, user)
		if err != nil {
			t.Fatal(err)
		}
		name, content := session.CacheFile("corp")
		path := filepath.Join(filepath.Dir(file), ".aws", "sso", "cache", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := testApp()
	a.env.Getenv = os.Getenv
	for name, store := range map[string]*credcache.Store{"with a cache": credcache.New(credcache.Config{Dir: filepath.Join(t.TempDir(), "cache")}), "without": nil} {
		l := a.newLasting("demo", awsconf.Config{Profile: "p", Region: "eu-central-1", EndpointURL: server.URL, Store: store, Getenv: os.Getenv}, newLastingShare())
		asked := func() int { return cloud.Counts()[fakeaws.GetRoleCredentials] }
		signedBy := func() string {
			t.Helper()
			tok, err := l.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tok.AccessKeyID
		}
		login("ann")
		ann, before := signedBy(), asked()
		if signedBy() != ann || asked() != before {
			t.Errorf("%s: credentials were got again for nothing", name)
		}
		login("bea")
		if bea := signedBy(); bea == ann || asked() != before+1 {
			t.Errorf("%s: the last login's credentials still sign", name)
		}
	}
}

// Clusters whose credentials do not come, because a program or a service hangs, do not
// keep all others waiting.
func TestHangingClustersHoldUpNobody(t *testing.T) {
	awsFiles(t)
	a := testApp()
	a.env.Getenv = os.Getenv
	shared := newLastingShare()
	shared.patience = time.Millisecond
	began, end := make(chan struct{}), make(chan struct{})
	hanging := awsconf.Config{Region: "eu-central-1", Getenv: os.Getenv, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		began <- struct{}{}
		<-end
		return aws.Credentials{}, errors.New("gone")
	})}
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() { _, _ = a.newLasting("hanging", hanging, shared).Token(t.Context()) })
		<-began
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l := a.newLasting("demo", awsconf.Config{Region: "eu-central-1", Getenv: os.Getenv, Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", "")}, shared)
	if _, err := l.Token(ctx); err != nil {
		t.Error(err)
	}
	close(end)
	wg.Wait()
	if len(shared.slots) != 0 {
		t.Errorf("%d are still counted", len(shared.slots))
	}
}

// A refusal while AWS is away throws away no credentials that are good: the API
// server may have refused one path alone.
func TestLastingWhileAWSIsAway(t *testing.T) {
	awsFiles(t)
	cloud := fakeaws.New(fakeaws.Config{})
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	const role = "arn:aws:iam::111122223333:role/dev"
	keys, err := cloud.AddUser(fakeaws.User{Account: "111122223333", Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.AddRole(fakeaws.Role{Account: "111122223333", Name: "dev"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	a := testApp()
	a.env.Getenv = os.Getenv
	l := a.newLasting("demo", awsconf.Config{
		Region: "eu-central-1", EndpointURL: server.URL, Getenv: os.Getenv, Roles: []awsconf.Role{{ARN: role}},
		Credentials: token.StaticKeys(keys.AccessKeyID, keys.SecretAccessKey, ""),
	}, newLastingShare())
	first, err := l.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cloud.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Cut: true})
	for range 2 {
		l.Invalidate()
		if tok, err := l.Token(t.Context()); err != nil || tok.AccessKeyID != first.AccessKeyID {
			t.Fatalf("while AWS is away: %v", err)
		}
	}
	cloud.SetFault(fakeaws.AssumeRole, fakeaws.Fault{})
	next, err := l.Token(t.Context())
	if err != nil || next.AccessKeyID == first.AccessKeyID {
		t.Errorf("afterwards: %v, by the same key: %v", err, next.AccessKeyID == first.AccessKeyID)
	}
	if l.good != l.session {
		t.Error("the session of before is kept")
	}
}

// Credentials that come when the configuration is another's already sign nothing in
// place of those of the other, whatever becomes of them.
func TestLastingChangedWhileItMints(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the credential_process is written for sh")
	}
	conf, _ := awsFiles(t)
	dir := t.TempDir()
	write := func(process string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte("[default]\ncredential_process = sh -c '"+process+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("touch " + dir + "/began; while [ ! -e " + dir + "/go ]; do sleep 0.05; done; " +
		`echo {\"Version\":1,\"AccessKeyId\":\"AKIAANN0000000000000\",\"SecretAccessKey\":\"secret\"}`)
	a := testApp()
	a.env.Getenv = os.Getenv
	l := a.newLasting("demo", awsconf.Config{Region: "eu-central-1", Getenv: os.Getenv}, newLastingShare())
	var wg sync.WaitGroup
	wg.Go(func() {
		if tok, err := l.Token(t.Context()); err != nil || tok.AccessKeyID != "AKIAANN0000000000000" {
			t.Errorf("by %q: %v", tok.AccessKeyID, err)
		}
	})
	for { // until the program runs
		if _, err := os.Stat(dir + "/began"); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	write("exit 1")                                // somebody else's, who gets none
	if _, err := l.load(t.Context()); err != nil { // as proxied.find does
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for range 3 {
		if tok, err := l.Token(t.Context()); err == nil {
			t.Errorf("signed by %q", tok.AccessKeyID)
		}
	}
}

// C12: what sees a 401 itself gets new credentials past the cache, and leaves those
// there.
func TestC12LastingReloadsPastTheCache(t *testing.T) {
	const account = "111122223333"
	_, file := awsFiles(t)
	cloud := fakeaws.New(fakeaws.Config{})
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	key, err := cloud.AddUser(fakeaws.User{Account: account, Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	role, err := cloud.AddRole(fakeaws.Role{Account: account, Name: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key.AccessKeyID+"\naws_secret_access_key = "+key.SecretAccessKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EKSKEY_CACHE_DIR", filepath.Join(t.TempDir(), "cache"))
	a := testApp()
	a.env.Getenv, a.env.Now = os.Getenv, time.Now
	signer := func(l *lasting) string {
		t.Helper()
		tok, err := l.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tok.AccessKeyID
	}
	other := func() *lasting {
		store, err := a.store()
		if err != nil {
			t.Fatal(err)
		}
		return a.newLasting("demo", awsconf.Config{
			Region: "eu-central-1", EndpointURL: server.URL, Roles: []awsconf.Role{{ARN: role}}, Store: store, Getenv: os.Getenv,
		}, newLastingShare())
	}
	l := other()
	first := signer(l)
	if got := signer(other()); got != first || cloud.Counts()[fakeaws.AssumeRole] != 1 {
		t.Errorf("another process: %s, want what is cached, %s", got, first)
	}
	l.Invalidate() // as its users do after a 401
	second := signer(l)
	if second == first || cloud.Counts()[fakeaws.AssumeRole] != 2 {
		t.Errorf("after a 401: %s, and the role was assumed %d times", second, cloud.Counts()[fakeaws.AssumeRole])
	}
	if got := signer(other()); got != second {
		t.Errorf("then another process: %s, want the new ones, %s", got, second)
	}
}
