package fakeaws

import (
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The grants that CreateToken knows
// (https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html).
const (
	grantRefresh = "refresh_token"
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
)

// scopeAccounts is the scope that lets a client refresh.
const scopeAccounts = "sso:account:access"

const (
	clientLife = 90 * 24 * time.Hour
	deviceLife = 10 * time.Minute
)

// ssoClient is a registered program. It does not change.
type ssoClient struct {
	id, secret string
	expires    time.Time
	mayRefresh bool
}

// ssoDevice is a login that waits for its user.
type ssoDevice struct {
	instance       *ssoInstance
	client         string
	userCode, user string // user is empty until approved
	expires        time.Time
}

type oidcRequest struct {
	ClientName   string   `json:"clientName"`
	ClientType   string   `json:"clientType"`
	Scopes       []string `json:"scopes"`
	ClientID     string   `json:"clientId"`
	ClientSecret string   `json:"clientSecret"`
	StartURL     string   `json:"startUrl"`
	GrantType    string   `json:"grantType"`
	DeviceCode   string   `json:"deviceCode"`
	RefreshToken string   `json:"refreshToken"`
}

func (c *call) oidcRequest() (oidcRequest, *apiError) {
	var in oidcRequest
	if err := json.Unmarshal(c.body, &in); err != nil {
		return in, invalidRequest("Invalid request")
	}
	return in, nil
}

func (s *Server) newSSOClient(now time.Time, mayRefresh bool) *ssoClient {
	client := &ssoClient{
		id:         base64.RawURLEncoding.EncodeToString(s.random(24)),
		secret:     base64.RawURLEncoding.EncodeToString(s.random(120)),
		expires:    now.Add(clientLife).Truncate(time.Second),
		mayRefresh: mayRefresh,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sso.clients[client.id] = client
	return client
}

func (s *Server) registerClient(c *call) (any, *apiError) {
	in, err := c.oidcRequest()
	if err != nil {
		return nil, err
	}
	if in.ClientName == "" || in.ClientType != "public" {
		return nil, &apiError{"InvalidClientMetadataException", "clientName is required and clientType must be public", http.StatusBadRequest}
	}
	client := s.newSSOClient(c.at, slices.Contains(in.Scopes, scopeAccounts))
	return map[string]any{
		"clientId": client.id, "clientSecret": client.secret,
		"clientIdIssuedAt": c.at.Unix(), "clientSecretExpiresAt": client.expires.Unix(),
	}, nil
}

// checkClient refuses a client that is not registered, or no longer.
func (s *Server) checkClient(c *call, in oidcRequest) (*ssoClient, *apiError) {
	if in.ClientID == "" || in.ClientSecret == "" {
		return nil, invalidRequest("Missing required parameter: clientId and clientSecret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	client := s.sso.clients[in.ClientID]
	if client == nil || subtle.ConstantTimeCompare([]byte(client.secret), []byte(in.ClientSecret)) != 1 || !c.at.Before(client.expires) {
		return nil, &apiError{"InvalidClientException", "Invalid client credentials provided", http.StatusUnauthorized}
	}
	return client, nil
}

func (s *Server) startDeviceAuthorization(c *call) (any, *apiError) {
	in, err := c.oidcRequest()
	if err != nil {
		return nil, err
	}
	client, err := s.checkClient(c, in)
	if err != nil {
		return nil, err
	}
	letters := base32.StdEncoding.EncodeToString(s.random(5))
	code := base64.RawURLEncoding.EncodeToString(s.random(60))
	userCode := letters[:4] + "-" + letters[4:]
	s.mu.Lock()
	defer s.mu.Unlock()
	instance := s.sso.instances[in.StartURL]
	if instance == nil || !c.inRegion(instance.region) {
		return nil, invalidRequest("Invalid startUrl provided")
	}
	s.sso.devices[code] = &ssoDevice{instance: instance, client: client.id, userCode: userCode, expires: c.at.Add(deviceLife)}
	page := "https://device.sso." + instance.region + ".amazonaws.com/"
	return map[string]any{
		"deviceCode": code, "userCode": userCode, "expiresIn": int(deviceLife.Seconds()), "interval": 1,
		"verificationUri": page, "verificationUriComplete": page + "?user_code=" + userCode,
	}, nil
}

// ApproveDevice is a user who confirms, in the browser, the code that
// StartDeviceAuthorization gave to a program.
func (s *Server) ApproveDevice(userCode, user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sso.devices {
		if d.userCode != userCode {
			continue
		}
		if _, ok := d.instance.users[user]; !ok {
			return fmt.Errorf("approving device for user %s: %w", user, ErrNotFound)
		}
		d.user = user
		return nil
	}
	return fmt.Errorf("approving device %s: %w", userCode, ErrNotFound)
}

func (s *Server) createToken(c *call) (any, *apiError) {
	in, err := c.oidcRequest()
	if err != nil {
		return nil, err
	}
	client, err := s.checkClient(c, in)
	if err != nil {
		return nil, err
	}
	var login *ssoLogin
	switch in.GrantType {
	case grantRefresh:
		login, err = s.redeemRefresh(c, client, in.RefreshToken)
	case grantDevice:
		login, err = s.redeemDevice(c, client, in.DeviceCode)
	case "":
		err = invalidRequest("Missing required parameter: grantType")
	default:
		err = &apiError{"UnsupportedGrantTypeException", "Grant type is not supported: " + in.GrantType, http.StatusBadRequest}
	}
	if err != nil {
		return nil, err
	}
	access, expires := s.newSSOAccess(login, c.at)
	result := map[string]any{"accessToken": access, "tokenType": "Bearer", "expiresIn": int(expires.Sub(c.at).Seconds())}
	if client.mayRefresh {
		result["refreshToken"] = s.newSSORefresh(login)
	}
	return result, nil
}

// redeemRefresh takes a refresh token, which works once: OAuth asks that of
// public clients, and AWS answers each with a new one.
func (s *Server) redeemRefresh(c *call, client *ssoClient, token string) (*ssoLogin, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	login := s.sso.refresh[token]
	if login == nil || login.client != client.id || !c.at.Before(login.ends) || !c.inRegion(login.instance.region) {
		return nil, &apiError{"InvalidGrantException", "Invalid refresh token provided", http.StatusBadRequest}
	}
	delete(s.sso.refresh, token)
	return login, nil
}

func (s *Server) redeemDevice(c *call, client *ssoClient, code string) (*ssoLogin, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.sso.devices[code]
	switch {
	case d == nil || d.client != client.id || !c.inRegion(d.instance.region):
		return nil, &apiError{"InvalidGrantException", "Invalid device code provided", http.StatusBadRequest}
	case !c.at.Before(d.expires):
		return nil, &apiError{"ExpiredTokenException", "Device code has expired", http.StatusBadRequest}
	case d.user == "":
		return nil, &apiError{"AuthorizationPendingException", "Authorization is still pending", http.StatusBadRequest}
	}
	delete(s.sso.devices, code)
	return &ssoLogin{instance: d.instance, user: d.user, client: client.id, ends: c.at.Add(d.instance.sessionLife)}, nil
}
