package fakeaws

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// bearerHeader is how the portal is shown an access token.
const bearerHeader = "X-Amz-Sso_bearer_token" // #nosec G101 -- a name

type roleCredentials struct {
	RoleCredentials struct {
		AccessKeyID     string `json:"accessKeyId"`
		SecretAccessKey string `json:"secretAccessKey"`
		SessionToken    string `json:"sessionToken"`
		Expiration      int64  `json:"expiration"` // milliseconds since 1970
	} `json:"roleCredentials"`
}

// getRoleCredentials hands out a session of a permission set's role
// (https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html).
func (s *Server) getRoleCredentials(c *call) (any, *apiError) {
	login, err := s.portalLogin(c)
	if err != nil {
		return nil, err
	}
	grant := ssoGrant{c.params["account_id"], c.params["role_name"]}
	if grant.account == "" || grant.name == "" {
		return nil, invalidRequest("account_id and role_name are required")
	}
	if err := s.checkGrants(login, func(g ssoGrant) bool { return g == grant }, grant.account); err != nil {
		return nil, err
	}
	role := login.instance.roles[grant]
	session := s.newSession(role, login.user, c.at.Add(role.maxSession))
	var result roleCredentials
	result.RoleCredentials.AccessKeyID = session.key.AccessKeyID
	result.RoleCredentials.SecretAccessKey = session.key.SecretAccessKey
	result.RoleCredentials.SessionToken = session.key.SessionToken
	result.RoleCredentials.Expiration = session.expires.UnixMilli()
	return result, nil
}

type accountInfo struct {
	AccountID    string `json:"accountId"`
	AccountName  string `json:"accountName"`
	EmailAddress string `json:"emailAddress"`
}

// listAccounts answers all accounts on one page.
func (s *Server) listAccounts(c *call) (any, *apiError) {
	login, err := s.portalLogin(c)
	if err != nil {
		return nil, err
	}
	accounts := []accountInfo{}
	for _, g := range login.instance.users[login.user] {
		accounts = append(accounts, accountInfo{g.account, "account-" + g.account, g.account + "@example.com"})
	}
	slices.SortFunc(accounts, func(a, b accountInfo) int { return cmp.Compare(a.AccountID, b.AccountID) })
	return map[string]any{"accountList": slices.Compact(accounts)}, nil
}

type roleInfo struct {
	RoleName  string `json:"roleName"`
	AccountID string `json:"accountId"`
}

// listAccountRoles answers all roles of an account on one page.
func (s *Server) listAccountRoles(c *call) (any, *apiError) {
	login, err := s.portalLogin(c)
	if err != nil {
		return nil, err
	}
	account := c.params["account_id"]
	if account == "" {
		return nil, invalidRequest("account_id is required")
	}
	if err := s.checkGrants(login, func(g ssoGrant) bool { return g.account == account }, account); err != nil {
		return nil, err
	}
	roles := []roleInfo{}
	for _, g := range login.instance.users[login.user] {
		if g.account == account {
			roles = append(roles, roleInfo{g.name, g.account})
		}
	}
	return map[string]any{"roleList": roles}, nil
}

// portalLogin finds the login that the request's access token belongs to, as a
// copy. A host of AWS's own has the instances of its region only.
func (s *Server) portalLogin(c *call) (ssoLogin, *apiError) {
	unauthorized := &apiError{"UnauthorizedException", "Session token not found or invalid", http.StatusUnauthorized}
	tokens := c.r.Header.Values(bearerHeader)
	if len(tokens) != 1 {
		return ssoLogin{}, unauthorized
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.sso.access[strings.TrimSpace(tokens[0])]
	if !ok || !c.at.Before(a.expires) || !c.at.Before(a.login.ends) || !c.inRegion(a.login.instance.region) {
		return ssoLogin{}, unauthorized
	}
	return *a.login, nil
}

// checkGrants refuses what no grant of the user's gives. An account that does
// not exist at all is not found; AWS's reference names both errors and does not
// say which comes when.
func (s *Server) checkGrants(login ssoLogin, grants func(ssoGrant) bool, account string) *apiError {
	if slices.ContainsFunc(login.instance.users[login.user], grants) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.accounts[account]; !exists {
		return &apiError{"ResourceNotFoundException", "The specified resource doesn't exist.", http.StatusNotFound}
	}
	return &apiError{"ForbiddenException", "No access", http.StatusForbidden}
}

// inRegion reports whether the request's host serves a region. A host that is
// not AWS's own serves all.
func (c *call) inRegion(region string) bool {
	_, host, known := awsHost(c.r.Host)
	return !known || host == region
}
