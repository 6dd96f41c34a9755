package awsconf_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	sourceAccount = "111122223333"

	webRole    = "arn:aws:iam::111122223333:role/web"
	ssoStart   = "https://corp.awsapps.com/start"
	oidcIssuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC"
)

// sources is an AWS with everything that credentials can come from, and an
// environment that has none yet.
type sources struct {
	t        *testing.T
	aws      *fakeaws.Server
	write    func(string) // the config file
	alice    fakeaws.Key
	bob      fakeaws.Key
	node     fakeaws.Key // a session of role first
	metadata *metadata
	dir      string
}

func newSources(t *testing.T) *sources {
	t.Helper()
	s := &sources{t: t, write: clean(t), dir: t.TempDir()}
	s.aws, s.alice = newAWS(t)
	setKeys(t, fakeaws.Key{})
	var err error
	if s.bob, err = s.aws.AddUser(fakeaws.User{Account: sourceAccount, Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	if s.node, err = s.aws.AddSession(fakeaws.Session{RoleARN: firstRole, Name: "i-0123456789abcdef0"}); err != nil {
		t.Fatal(err)
	}
	provider, err := s.aws.AddOIDCProvider(fakeaws.OIDCProvider{Account: sourceAccount, Issuer: oidcIssuer, Keys: map[string]*rsa.PublicKey{"k1": &signingKey().PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.aws.AddRole(fakeaws.Role{Account: sourceAccount, Name: "web", TrustPolicy: fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{%q:"system:serviceaccount:apps:web"}}}]}`,
		provider, strings.TrimPrefix(oidcIssuer, "https://")+":sub")}); err != nil {
		t.Fatal(err)
	}
	if err := s.aws.AddSSO(fakeaws.SSO{StartURL: ssoStart, Region: "eu-west-1", Users: []fakeaws.SSOUser{
		{Name: "ann", Roles: []fakeaws.SSORole{{Account: sourceAccount, Name: "Ops"}}},
	}}); err != nil {
		t.Fatal(err)
	}
	s.metadata = newMetadata(t, s.node)
	return s
}

// file writes a file and gives its path.
func (s *sources) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func keyLines(k fakeaws.Key) string {
	text := "aws_access_key_id = " + k.AccessKeyID + "\naws_secret_access_key = " + k.SecretAccessKey + "\n"
	if k.SessionToken != "" {
		text += "aws_session_token = " + k.SessionToken + "\n"
	}
	return text
}

// processJSON is what a credential_process prints.
func processJSON(k fakeaws.Key) string {
	return fmt.Sprintf(`{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q,"SessionToken":%q,"Expiration":%q}`,
		k.AccessKeyID, k.SecretAccessKey, k.SessionToken, time.Now().Add(time.Hour).Format(time.RFC3339))
}

// login leaves what `aws sso login` does, for an sso-session or, where that is
// empty, for the start URL.
func (s *sources) login(session string, change func(*fakeaws.SSOToken)) fakeaws.SSOToken {
	s.t.Helper()
	token, err := s.aws.LogInSSO(ssoStart, "ann")
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(&token)
	}
	name, content := token.CacheFile(session)
	path := filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return token
}

const ssoFile = "[profile p]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Ops\n" +
	"[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = " + ssoStart + "\nsso_registration_scopes = sso:account:access\n"

const legacySSOFile = "[profile p]\nsso_account_id = 111122223333\nsso_role_name = Ops\nsso_region = eu-west-1\nsso_start_url = " + ssoStart + "\n"

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// webToken is a service account's token, as a kubelet mounts it.
func webToken(t *testing.T, expires time.Time) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{
		"iss": oidcIssuer, "sub": "system:serviceaccount:apps:web", "aud": []string{"sts.amazonaws.com"},
		"iat": expires.Add(-time.Hour).Unix(), "exp": expires.Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// container is the endpoint of ECS and of EKS Pod Identity: it wants the token
// in Authorization and answers with a session.
func container(t *testing.T, authorization string, k fakeaws.Key) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != authorization || r.URL.Path != "/v1/credentials" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, `{"code":"AccessDenied","message":"no, %s"}`, r.Header.Get("Authorization"))
			return
		}
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"Expiration":%q}`,
			k.AccessKeyID, k.SecretAccessKey, k.SessionToken, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/v1/credentials"
}

// TestSources proves each source against an AWS that checks what it is shown. The
// instance metadata service is there all the while, and is asked by none but those
// who have nothing else.
//
// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI leads to a fixed address; see
// TestThroughProxy.
func TestSources(t *testing.T) {
	const (
		asAlice = "arn:aws:iam::111122223333:user/alice"
		asBob   = "arn:aws:iam::111122223333:user/bob"
		asNode  = "arn:aws:sts::111122223333:assumed-role/first/i-0123456789abcdef0"
		asWeb   = "arn:aws:sts::111122223333:assumed-role/web/ekskey"
	)
	profileP := func(*sources) awsconf.Config { return awsconf.Config{Profile: "p"} }
	for _, tt := range []struct {
		name     string
		set      func(*sources) awsconf.Config
		who      string // the beginning of the ARN
		source   string
		metadata bool
	}{
		{"environment", func(s *sources) awsconf.Config { setKeys(s.t, s.alice); return awsconf.Config{} },
			asAlice, "environment variables", false},
		{"environment, a session", func(s *sources) awsconf.Config { setKeys(s.t, s.node); return awsconf.Config{} },
			asNode, "environment variables", false},
		{"config file", func(s *sources) awsconf.Config { s.write("[default]\n" + keyLines(s.alice)); return awsconf.Config{} },
			asAlice, "profile default (access key)", false},
		{"config file, a session", func(s *sources) awsconf.Config { s.write("[profile p]\n" + keyLines(s.node)); return profileP(s) },
			asNode, "profile p (access key)", false},
		{"credentials file", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_SHARED_CREDENTIALS_FILE", s.file("credentials", "[p]\n"+keyLines(s.bob)))
			return profileP(s)
		}, asBob, "profile p (access key)", false},
		{"credentials file before config file", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.alice))
			s.t.Setenv("AWS_SHARED_CREDENTIALS_FILE", s.file("credentials", "[p]\n"+keyLines(s.bob)))
			return profileP(s)
		}, asBob, "profile p (access key)", false},
		{"AWS_PROFILE", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.bob))
			s.t.Setenv("AWS_PROFILE", "p")
			return awsconf.Config{}
		}, asBob, "profile p (access key)", false},
		{"environment before AWS_PROFILE", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.bob))
			s.t.Setenv("AWS_PROFILE", "p")
			setKeys(s.t, s.alice)
			return awsconf.Config{}
		}, asAlice, "environment variables", false},
		{"profile before environment", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.bob))
			setKeys(s.t, s.alice)
			return profileP(s)
		}, asBob, "profile p (access key)", false},
		{"credential_process", func(s *sources) awsconf.Config {
			s.write("[profile p]\ncredential_process = cat " + s.file("process", processJSON(s.node)) + "\n")
			return profileP(s)
		}, asNode, "profile p (credential_process)", false},
		{"source_profile", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + secondRole + "\nrole_session_name = two\nsource_profile = q\n" +
				"[profile q]\nrole_arn = " + firstRole + "\nsource_profile = r\n[profile r]\n" + keyLines(s.alice))
			return profileP(s)
		}, "arn:aws:sts::111122223333:assumed-role/second/two", "profile p (role over source_profile)", false},
		{"credential_source EcsContainer", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + secondRole + "\ncredential_source = EcsContainer\n")
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "word", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "word")
			return profileP(s)
		}, "arn:aws:sts::111122223333:assumed-role/second/ekskey", "profile p (role over credential_source)", false},
		{"credential_source Ec2InstanceMetadata", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + secondRole + "\ncredential_source = Ec2InstanceMetadata\n")
			return profileP(s)
		}, "arn:aws:sts::111122223333:assumed-role/second/ekskey", "profile p (role over credential_source)", true},
		{"sso", func(s *sources) awsconf.Config { s.write(ssoFile); s.login("corp", nil); return profileP(s) },
			"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_", "profile p (sso)", false},
		{"sso of old", func(s *sources) awsconf.Config { s.write(legacySSOFile); s.login("", nil); return profileP(s) },
			"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_", "profile p (sso)", false},
		{"role over sso", func(s *sources) awsconf.Config {
			s.write("[profile top]\nrole_arn = " + firstRole + "\nsource_profile = p\n" + ssoFile)
			s.login("corp", nil)
			return awsconf.Config{Profile: "top"}
		}, "arn:aws:sts::111122223333:assumed-role/first/ekskey", "profile top (role over source_profile)", false},
		{"web identity of the environment", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.file("token", webToken(s.t, time.Now().Add(time.Hour))))
			s.t.Setenv("AWS_ROLE_ARN", webRole)
			return awsconf.Config{}
		}, asWeb, "web identity token of the environment", false},
		{"web identity with a session name", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.file("token", webToken(s.t, time.Now().Add(time.Hour))))
			s.t.Setenv("AWS_ROLE_ARN", webRole)
			s.t.Setenv("AWS_ROLE_SESSION_NAME", "pod")
			return awsconf.Config{}
		}, "arn:aws:sts::111122223333:assumed-role/web/pod", "web identity token of the environment", false},
		{"web identity of a profile", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + webRole + "\nweb_identity_token_file = " + s.file("token", webToken(s.t, time.Now().Add(time.Hour))) + "\n")
			return profileP(s)
		}, asWeb, "profile p (web identity token)", false},
		{"role over web identity", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.file("token", webToken(s.t, time.Now().Add(time.Hour))))
			s.t.Setenv("AWS_ROLE_ARN", webRole)
			return awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole, SessionName: "hop"}}}
		}, "arn:aws:sts::111122223333:assumed-role/first/hop", "role " + firstRole + ", assumed with: web identity token of the environment", false},
		{"EKS Pod Identity", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "pod-token", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", s.file("eks-pod-identity-token", "pod-token"))
			return awsconf.Config{}
		}, asNode, "container credentials endpoint", false},
		{"ECS", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "task-token", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "task-token")
			return awsconf.Config{}
		}, asNode, "container credentials endpoint", false},
		{"instance metadata, last", func(*sources) awsconf.Config { return awsconf.Config{} },
			asNode, "instance metadata service", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			s.metadata.enable()
			config := tt.set(s)
			session := load(t, config)
			if n := s.metadata.count(); n != 0 {
				t.Errorf("loading asked the instance metadata service %d times", n)
			}
			if got := whoAmI(t, session); !strings.HasPrefix(got, tt.who) {
				t.Errorf("it is %s, want %s", got, tt.who)
			}
			if got := session.Source(); got != tt.source {
				t.Errorf("the source is %q, want %q", got, tt.source)
			}
			if n := s.metadata.count(); (n > 0) != tt.metadata {
				t.Errorf("the instance metadata service was asked %d times", n)
			}
		})
	}
}
