package fakeaws

import (
	"fmt"
	"net/http"
)

type roleResult struct {
	Role struct {
		Path                     string
		RoleName                 string
		RoleID                   string `xml:"RoleId" json:"RoleId"`
		Arn                      string
		CreateDate               timestamp
		AssumeRolePolicyDocument string
		MaxSessionDuration       int
	}
}

// getRole answers for a role of the caller's own account, found by its name
// alone (https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html).
func (s *Server) getRole(c *call, who *credential) (any, *apiError) {
	if err := checkLength("roleName", c.params, "RoleName", 1, 64); err != nil {
		return nil, err
	}
	name := c.params["RoleName"]
	if !onlyNameBytes(name, "+=,.@-") {
		return nil, validation("The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
	}
	if !who.owner.allows(GetRole) {
		return nil, accessDenied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: role %s because no identity-based policy allows the %[2]s action",
			who.arn(), GetRole, name))
	}
	role := s.roleByName(who.owner.account, name)
	if role == nil {
		return nil, &apiError{"NoSuchEntity", fmt.Sprintf("The role with name %s cannot be found.", name), http.StatusNotFound}
	}
	var result roleResult
	result.Role.Path = role.path
	result.Role.RoleName = role.name
	result.Role.RoleID = role.id
	result.Role.Arn = role.arn()
	result.Role.CreateDate = timestamp(role.created)
	result.Role.AssumeRolePolicyDocument = escape(role.trustText, false)
	result.Role.MaxSessionDuration = int(role.maxSession.Seconds())
	return result, nil
}
