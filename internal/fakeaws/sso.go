package fakeaws

import (
	"crypto/sha1" // #nosec G505 -- it names the files of the AWS CLI
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// SSO is an IAM Identity Center instance to add: an access portal, the people
// who may log in to it, and the roles they may take.
type SSO struct {
	StartURL string // such as https://corp.awsapps.com/start
	Region   string

	// TokenDuration is how long an access token lives; zero means 1 hour.
	TokenDuration time.Duration

	// SessionDuration is how long a login lasts, that is, how long its access
	// token can be refreshed; zero means 8 hours.
	SessionDuration time.Duration

	Users []SSOUser
}

// SSOUser is a person in IAM Identity Center. The name becomes the session name
// of the roles taken.
type SSOUser struct {
	Name  string
	Roles []SSORole
}

// SSORole is a permission set in an account. Adding one adds the role that AWS
// makes for it there, AWSReservedSSO_<name>_<hash>. Two users with the same
// permission set in an account have the same role, with what was given first.
type SSORole struct {
	Account  string
	Name     string        // of the permission set
	Duration time.Duration // of its sessions, from 1 to 12 hours; zero means 1 hour
	Deny     []string      // as in User
}

type ssoInstance struct {
	startURL, region       string
	tokenLife, sessionLife time.Duration
	roles                  map[ssoGrant]*principal
	users                  map[string][]ssoGrant
}

// ssoGrant is a permission set in an account.
type ssoGrant struct{ account, name string }

// ssoLogin is one person's login. It ends for all its tokens at once.
type ssoLogin struct {
	instance *ssoInstance
	user     string
	client   string // the id of the client that may refresh
	ends     time.Time
}

type ssoAccess struct {
	login   *ssoLogin
	expires time.Time
}

// ssoState is what is known of logins, by the secret that is shown.
type ssoState struct {
	instances map[string]*ssoInstance // by start URL
	access    map[string]*ssoAccess
	refresh   map[string]*ssoLogin
	clients   map[string]*ssoClient // by id
	devices   map[string]*ssoDevice // by device code
}

func newSSOState() ssoState {
	return ssoState{
		instances: map[string]*ssoInstance{},
		access:    map[string]*ssoAccess{},
		refresh:   map[string]*ssoLogin{},
		clients:   map[string]*ssoClient{},
		devices:   map[string]*ssoDevice{},
	}
}

// AddSSO adds an instance with its users and makes the roles of their
// permission sets. Only then the portal and SSO-OIDC are served at all.
func (s *Server) AddSSO(in SSO) error {
	u, err := url.Parse(in.StartURL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("adding SSO: %q is not a start URL", in.StartURL)
	}
	if !validRegion(in.Region) {
		return fmt.Errorf("adding SSO: %q is not a region", in.Region)
	}
	instance := &ssoInstance{
		startURL: in.StartURL, region: in.Region,
		tokenLife: in.TokenDuration, sessionLife: in.SessionDuration,
		roles: map[ssoGrant]*principal{}, users: map[string][]ssoGrant{},
	}
	if instance.tokenLife == 0 {
		instance.tokenLife = time.Hour
	}
	if instance.sessionLife == 0 {
		instance.sessionLife = 8 * time.Hour
	}
	for _, user := range in.Users {
		if n := len(user.Name); n < 2 || n > 64 || !onlyNameBytes(user.Name, "+=,.@-") {
			return fmt.Errorf("adding SSO: %q is not a user name", user.Name)
		}
		if _, twice := instance.users[user.Name]; twice {
			return fmt.Errorf("adding SSO: user %s is there twice", user.Name)
		}
		instance.users[user.Name] = nil
		for _, role := range user.Roles {
			grant := ssoGrant{role.Account, role.Name}
			instance.users[user.Name] = append(instance.users[user.Name], grant)
			if instance.roles[grant] != nil {
				continue
			}
			if instance.roles[grant], err = s.addReservedRole(in.Region, role); err != nil {
				return fmt.Errorf("adding SSO: %w", err)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.sso.instances[in.StartURL]; exists {
		return fmt.Errorf("adding SSO: %s exists", in.StartURL)
	}
	s.sso.instances[in.StartURL] = instance
	return nil
}

// addReservedRole makes the role of a permission set. Its path names the
// instance's region, except for us-east-1
// (https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html).
func (s *Server) addReservedRole(region string, role SSORole) (*principal, error) {
	path := "/aws-reserved/sso.amazonaws.com/"
	if region != "us-east-1" {
		path += region + "/"
	}
	acct, err := s.account(role.Account, partitionOf(region))
	if err != nil {
		return nil, err
	}
	saml := "arn:" + acct.partition + ":iam::" + acct.id + ":saml-provider/AWSSSO_" + hex.EncodeToString(s.random(8)) + "_DO_NOT_DELETE"
	arn, err := s.AddRole(Role{
		Account: role.Account, Path: path, Name: "AWSReservedSSO_" + role.Name + "_" + hex.EncodeToString(s.random(8)),
		Deny: role.Deny, MaxSessionDuration: role.Duration,
		TrustPolicy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":["sts:AssumeRoleWithSAML","sts:TagSession"]}]}`, saml),
	})
	if err != nil {
		return nil, err
	}
	return s.principalByARN(arn), nil
}

func (s *Server) hasSSO() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sso.instances) > 0
}

// SSORoleARN finds the role of a permission set in an account.
func (s *Server) SSORoleARN(startURL, account, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instance := s.sso.instances[startURL]; instance != nil {
		if role := instance.roles[ssoGrant{account, name}]; role != nil {
			return role.arn(), nil
		}
	}
	return "", fmt.Errorf("permission set %s in %s: %w", name, account, ErrNotFound)
}

// SSOToken is what a login leaves behind for the programs that use it.
type SSOToken struct {
	StartURL, Region       string
	AccessToken            string
	ExpiresAt              time.Time
	RefreshToken           string
	ClientID, ClientSecret string
	ClientExpiresAt        time.Time
}

// String and GoString keep the secrets out of logs and test failures.
func (t SSOToken) String() string { return "SSO token of " + t.StartURL }

// GoString is String.
func (t SSOToken) GoString() string { return t.String() }

// CacheFile is the token as `aws sso login` leaves it in ~/.aws/sso/cache: the
// file's name and its bytes. Session is the name of the sso-session section.
// Empty means a profile without one, whose file goes by the start URL and has
// nothing to refresh with.
func (t SSOToken) CacheFile(session string) (string, []byte) {
	const layout = "2006-01-02T15:04:05Z"
	fields := map[string]string{
		"startUrl": t.StartURL, "region": t.Region,
		"accessToken": t.AccessToken, "expiresAt": t.ExpiresAt.UTC().Format(layout),
	}
	key := t.StartURL
	if session != "" {
		key = session
		fields["clientId"], fields["clientSecret"] = t.ClientID, t.ClientSecret
		fields["registrationExpiresAt"] = t.ClientExpiresAt.UTC().Format(layout)
		fields["refreshToken"] = t.RefreshToken
	}
	content, err := json.Marshal(fields)
	if err != nil {
		panic("fakeaws: encoding an SSO token: " + err.Error()) // strings always encode
	}
	sum := sha1.Sum([]byte(key)) // #nosec G401 -- the file's name
	return hex.EncodeToString(sum[:]) + ".json", content
}

// LogInSSO is a user's login in the browser, done.
func (s *Server) LogInSSO(startURL, user string) (SSOToken, error) {
	s.mu.Lock()
	instance := s.sso.instances[startURL]
	s.mu.Unlock()
	if instance == nil {
		return SSOToken{}, fmt.Errorf("logging in to %s: %w", startURL, ErrNotFound)
	}
	if _, ok := instance.users[user]; !ok {
		return SSOToken{}, fmt.Errorf("logging in user %s: %w", user, ErrNotFound)
	}
	now := s.clock()
	client := s.newSSOClient(now, true)
	login := &ssoLogin{instance: instance, user: user, client: client.id, ends: now.Add(instance.sessionLife)}
	access, expires := s.newSSOAccess(login, now)
	return SSOToken{
		StartURL: instance.startURL, Region: instance.region,
		AccessToken: access, ExpiresAt: expires,
		RefreshToken: s.newSSORefresh(login),
		ClientID:     client.id, ClientSecret: client.secret, ClientExpiresAt: client.expires,
	}, nil
}

// ExpireSSOToken ends an access token now. What refreshes it still works.
func (s *Server) ExpireSSOToken(accessToken string) error {
	return s.endSSO(accessToken, func(a *ssoAccess, now time.Time) { a.expires = now })
}

// EndSSOSession ends the login that an access token belongs to, as signing out
// of the portal does: nothing refreshes it any more.
func (s *Server) EndSSOSession(accessToken string) error {
	return s.endSSO(accessToken, func(a *ssoAccess, now time.Time) { a.login.ends = now })
}

func (s *Server) endSSO(accessToken string, end func(*ssoAccess, time.Time)) error {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.sso.access[accessToken]
	if !ok {
		return fmt.Errorf("ending SSO token: %w", ErrNotFound)
	}
	end(a, now)
	return nil
}

// newSSOAccess makes an access token, which never outlives the login.
func (s *Server) newSSOAccess(login *ssoLogin, now time.Time) (string, time.Time) {
	token := "aoa" + base64.RawStdEncoding.EncodeToString(s.random(90))
	s.mu.Lock()
	defer s.mu.Unlock()
	expires := now.Add(login.instance.tokenLife)
	if login.ends.Before(expires) {
		expires = login.ends
	}
	s.sso.access[token] = &ssoAccess{login: login, expires: expires}
	return token, expires
}

func (s *Server) newSSORefresh(login *ssoLogin) string {
	token := "aor" + base64.RawStdEncoding.EncodeToString(s.random(90))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sso.refresh[token] = login
	return token
}
