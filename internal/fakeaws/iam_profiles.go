package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// instanceProfile holds the role of EC2 instances. It is used under the server's lock.
type instanceProfile struct {
	account        *account
	path, name, id string
	role           *principal // or nil
	created        time.Time
}

func (p *instanceProfile) arn() string { return iamARN(p.account, "instance-profile", p.path, p.name) }

// InstanceProfile is an instance profile to add.
type InstanceProfile struct {
	Account string // twelve digits
	Path    string // such as /ops/; empty means /
	Name    string
	RoleARN string // empty means that it has no role
}

// AddInstanceProfile adds an instance profile and returns its ARN.
func (s *Server) AddInstanceProfile(p InstanceProfile) (string, error) {
	acct, err := s.account(p.Account, "aws")
	if err != nil {
		return "", fmt.Errorf("adding instance profile: %w", err)
	}
	if p.Path == "" {
		p.Path = "/"
	}
	if !validPath(p.Path) || p.Name == "" || len(p.Name) > 128 || !onlyNameBytes(p.Name, "+=,.@-") {
		return "", fmt.Errorf("adding instance profile: none is named %s%s", p.Path, p.Name)
	}
	added := &instanceProfile{account: acct, path: p.Path, name: p.Name, id: s.newID("AIPA", 21), created: s.clock()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.RoleARN != "" {
		if added.role = s.byARN[p.RoleARN]; added.role == nil || added.role.kind != kindRole || added.role.account != acct {
			return "", fmt.Errorf("adding instance profile: role %s of account %s: %w", p.RoleARN, p.Account, ErrNotFound)
		}
	}
	if s.profileNamed(acct, p.Name) != nil {
		return "", fmt.Errorf("adding instance profile: %s exists", p.Name)
	}
	s.profiles[added.arn()] = added
	return added.arn(), nil
}

func (s *Server) profileNamed(acct *account, name string) *instanceProfile {
	for _, p := range s.profiles {
		if p.account == acct && strings.EqualFold(p.name, name) {
			return p
		}
	}
	return nil
}

func (s *Server) inProfile(role *principal) bool {
	for _, p := range s.profiles {
		if p.role == role {
			return true
		}
	}
	return false
}

func profileHandlers() map[Action]handler {
	return map[Action]handler{
		"iam:CreateInstanceProfile":         (*Server).createInstanceProfile,
		"iam:ListInstanceProfiles":          (*Server).listInstanceProfiles,
		"iam:ListInstanceProfilesForRole":   onIdentity("Role", (*Server).listProfilesForRole),
		"iam:GetInstanceProfile":            onProfile((*Server).getInstanceProfile),
		"iam:AddRoleToInstanceProfile":      onProfile((*Server).addRoleToProfile),
		"iam:RemoveRoleFromInstanceProfile": onProfile((*Server).removeRoleFromProfile),
		"iam:DeleteInstanceProfile":         onProfile((*Server).deleteInstanceProfile),
	}
}

// onProfile is a handler for a call on one instance profile of the caller's account.
func onProfile(handle func(*Server, *call, *instanceProfile) (any, *apiError)) handler {
	return func(s *Server, c *call, who *credential) (any, *apiError) {
		name, err := c.iamName("InstanceProfileName", 128)
		if err != nil {
			return nil, err
		}
		p := s.profileNamed(who.owner.account, name)
		resource := iamARN(who.owner.account, "instance-profile", "/", name)
		if p != nil {
			resource = p.arn()
		}
		if err := c.authorize(who, c.action, resource, "instance profile "+name, nil); err != nil {
			return nil, err
		}
		if p == nil {
			return nil, noSuchEntity(fmt.Sprintf("Instance Profile %s cannot be found.", name))
		}
		return handle(s, c, p)
	}
}

func (s *Server) describeProfile(p *instanceProfile) object {
	roles := members{}
	if p.role != nil {
		roles = append(roles, s.describeIdentity(p.role, false))
	}
	return object{
		{"Path", p.path}, {"InstanceProfileName", p.name}, {"InstanceProfileId", p.id}, {"Arn", p.arn()},
		{"CreateDate", timestamp(p.created)}, {"Roles", roles},
	}
}

func (s *Server) getInstanceProfile(_ *call, p *instanceProfile) (any, *apiError) {
	return object{{"InstanceProfile", s.describeProfile(p)}}, nil
}

func (s *Server) createInstanceProfile(c *call, who *credential) (any, *apiError) {
	name, err := c.iamName("InstanceProfileName", 128)
	if err != nil {
		return nil, err
	}
	p := &instanceProfile{account: who.owner.account, path: "/", name: name, created: c.at}
	if path, ok := c.params["Path"]; ok {
		p.path = path
	}
	if err := c.authorize(who, c.action, p.arn(), "instance profile "+name, nil); err != nil {
		return nil, err
	}
	if !validPath(p.path) {
		return nil, validation("The specified value for path is invalid.")
	}
	if s.profileNamed(p.account, name) != nil {
		return nil, &apiError{"EntityAlreadyExists", fmt.Sprintf("Instance Profile %s already exists.", name), http.StatusConflict}
	}
	p.id = s.newID("AIPA", 21)
	s.profiles[p.arn()] = p
	return object{{"InstanceProfile", s.describeProfile(p)}}, nil
}

func (s *Server) listInstanceProfiles(c *call, who *credential) (any, *apiError) {
	if err := c.authorize(who, c.action, iamARN(who.owner.account, "instance-profile", "/", ""), "", nil); err != nil {
		return nil, err
	}
	return s.profilePage(c, func(p *instanceProfile) bool { return p.account == who.owner.account })
}

func (s *Server) listProfilesForRole(c *call, role *principal) (any, *apiError) {
	return s.profilePage(c, func(p *instanceProfile) bool { return p.role == role })
}

func (s *Server) profilePage(c *call, wanted func(*instanceProfile) bool) (any, *apiError) {
	found := maps.Clone(s.profiles)
	maps.DeleteFunc(found, func(_ string, p *instanceProfile) bool { return !wanted(p) })
	return iamPage(c, "InstanceProfiles", found, func(p *instanceProfile) any { return s.describeProfile(p) })
}

func (s *Server) addRoleToProfile(c *call, p *instanceProfile) (any, *apiError) {
	name, err := c.iamName("RoleName", 64)
	if err != nil {
		return nil, err
	}
	role := s.named(p.account, kindRole, name)
	switch {
	case role == nil:
		return nil, noSuchEntity(fmt.Sprintf("The role with name %s cannot be found.", name))
	case p.role != nil:
		return nil, &apiError{"LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", http.StatusConflict}
	}
	p.role = role
	return nil, nil
}

func (s *Server) removeRoleFromProfile(c *call, p *instanceProfile) (any, *apiError) {
	if p.role == nil || !strings.EqualFold(p.role.name, c.params["RoleName"]) {
		return nil, noSuchEntity(fmt.Sprintf("The role with name %s cannot be found.", c.params["RoleName"]))
	}
	p.role = nil
	return nil, nil
}

func (s *Server) deleteInstanceProfile(_ *call, p *instanceProfile) (any, *apiError) {
	if p.role != nil {
		return nil, deleteConflict("remove roles from instance profile")
	}
	delete(s.profiles, p.arn())
	return nil, nil
}
