package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// identityKind is one of the three kinds of identities in IAM: its API treats them
// much alike.
type identityKind struct {
	name   string // in parameters and actions: Role
	kind   string // in ARNs and messages: role
	prefix string // of unique ids
}

var identityKinds = []identityKind{
	{"Role", kindRole, "AROA"}, {"User", kindUser, "AIDA"}, {"Group", kindGroup, "AGPA"},
}

// iamHandlers are the actions of IAM, those on the three kinds of identities made
// from one each.
func iamHandlers() map[Action]handler {
	all := map[Action]handler{
		"iam:UpdateAssumeRolePolicy":  onIdentity("Role", (*Server).updateTrust),
		"iam:TagRole":                 onIdentity("Role", (*Server).tagRole),
		"iam:UntagRole":               onIdentity("Role", (*Server).untagRole),
		"iam:ListRoleTags":            onIdentity("Role", (*Server).listRoleTags),
		"iam:GetGroup":                onIdentity("Group", (*Server).getGroup),
		"iam:AddUserToGroup":          onIdentity("Group", (*Server).addUserToGroup),
		"iam:RemoveUserFromGroup":     onIdentity("Group", (*Server).removeUserFromGroup),
		"iam:ListGroupsForUser":       onIdentity("User", (*Server).listGroupsForUser),
		"iam:GetUser":                 (*Server).getUser,
		"iam:CreateAccessKey":         onIdentity("User", (*Server).createAccessKey),
		"iam:DeleteAccessKey":         onIdentity("User", (*Server).deleteAccessKey),
		"iam:ListAccessKeys":          onIdentity("User", (*Server).listAccessKeys),
		"iam:SimulatePrincipalPolicy": (*Server).simulatePrincipalPolicy,
		GetRole:                       onIdentity("Role", (*Server).getRole),
	}
	maps.Copy(all, policyHandlers())
	maps.Copy(all, profileHandlers())
	for _, k := range identityKinds {
		all[Action("iam:Create"+k.name)] = k.create
		all[Action("iam:Delete"+k.name)] = onIdentity(k.name, (*Server).deleteIdentity)
		all[Action("iam:List"+k.name+"s")] = k.list
		all[Action("iam:Put"+k.name+"Policy")] = onIdentity(k.name, (*Server).putInlinePolicy)
		all[Action("iam:Get"+k.name+"Policy")] = onIdentity(k.name, k.getInlinePolicy)
		all[Action("iam:Delete"+k.name+"Policy")] = onIdentity(k.name, (*Server).deleteInlinePolicy)
		all[Action("iam:List"+k.name+"Policies")] = onIdentity(k.name, (*Server).listInlinePolicies)
		all[Action("iam:Attach"+k.name+"Policy")] = onIdentity(k.name, (*Server).attachPolicy)
		all[Action("iam:Detach"+k.name+"Policy")] = onIdentity(k.name, (*Server).detachPolicy)
		all[Action("iam:ListAttached"+k.name+"Policies")] = onIdentity(k.name, (*Server).listAttachedPolicies)
	}
	return all
}

// onIdentity is a handler for a call on one identity of the caller's account, which a
// parameter such as RoleName names, in any case.
func onIdentity(kindName string, handle func(*Server, *call, *principal) (any, *apiError)) handler {
	kind := strings.ToLower(kindName)
	return func(s *Server, c *call, who *credential) (any, *apiError) {
		name, err := c.iamName(kindName+"Name", 64)
		if err != nil {
			return nil, err
		}
		p := s.named(who.owner.account, kind, name)
		resource := iamARN(who.owner.account, kind, "/", name)
		if p != nil {
			resource = p.arn()
		}
		if err := c.authorize(who, c.action, resource, kind+" "+name, nil); err != nil {
			return nil, err
		}
		if p == nil {
			return nil, noSuchEntity(fmt.Sprintf("The %s with name %s cannot be found.", kind, name))
		}
		return handle(s, c, p)
	}
}

func iamARN(acct *account, kind, path, name string) string {
	return "arn:" + acct.partition + ":iam::" + acct.id + ":" + kind + path + name
}

// iamName reads a parameter that names something in IAM.
func (c *call) iamName(param string, most int) (string, *apiError) {
	member := strings.ToLower(param[:1]) + param[1:]
	if err := checkLength(member, c.params, param, 1, most); err != nil {
		return "", err
	}
	name := c.params[param]
	if !onlyNameBytes(name, "+=,.@-") {
		return "", validation(fmt.Sprintf("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member))
	}
	return name, nil
}

func noSuchEntity(message string) *apiError {
	return &apiError{"NoSuchEntity", message, http.StatusNotFound}
}

func deleteConflict(what string) *apiError {
	return &apiError{"DeleteConflict", "Cannot delete entity, must " + what + " first.", http.StatusConflict}
}

func entityExists(what, name string) *apiError {
	return &apiError{"EntityAlreadyExists", fmt.Sprintf("%s with name %s already exists.", what, name), http.StatusConflict}
}

// describeIdentity gives an identity the shape of IAM's API. Lists have no tags
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html).
func (s *Server) describeIdentity(p *principal, tags bool) object {
	kind := identityKinds[slices.IndexFunc(identityKinds, func(k identityKind) bool { return k.kind == p.kind })].name
	o := object{{"Path", p.path}, {kind + "Name", p.name}, {kind + "Id", p.id}, {"Arn", p.arn()}, {"CreateDate", timestamp(p.created)}}
	if p.kind == kindRole {
		o = append(o, member{"AssumeRolePolicyDocument", escape(s.trustDocument(p), false)}, member{"MaxSessionDuration", int(p.maxSession.Seconds())})
	}
	if tags && len(p.tags) > 0 {
		o = append(o, member{"Tags", describeTags(p.tags)})
	}
	return o
}

func describeTags(tags map[string]string) members {
	list := members{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, object{{"Key", key}, {"Value", tags[key]}})
	}
	return list
}

// tagParams reads the list of tags of a request.
func (c *call) tagParams() map[string]string {
	tags := map[string]string{}
	for i := 1; ; i++ {
		prefix := "Tags.member." + strconv.Itoa(i)
		key, ok := c.params[prefix+".Key"]
		if !ok {
			return tags
		}
		tags[key] = c.params[prefix+".Value"]
	}
}

// getRole answers for a role of the caller's own account, found by its name
// alone (https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html).
func (s *Server) getRole(_ *call, role *principal) (any, *apiError) {
	return object{{"Role", s.describeIdentity(role, true)}}, nil
}

// getUser without a name answers for the caller
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetUser.html).
func (s *Server) getUser(c *call, who *credential) (any, *apiError) {
	if _, ok := c.params["UserName"]; !ok {
		if who.owner.kind != kindUser {
			return nil, validation("Must specify userName when calling with non-User credentials")
		}
		c.params["UserName"] = who.owner.name
	}
	return onIdentity("User", func(s *Server, _ *call, user *principal) (any, *apiError) {
		return object{{"User", s.describeIdentity(user, true)}}, nil
	})(s, c, who)
}

// create makes an identity that may do nothing yet.
func (k identityKind) create(s *Server, c *call, who *credential) (any, *apiError) {
	name, err := c.iamName(k.name+"Name", 64)
	if err != nil {
		return nil, err
	}
	p := &principal{
		account: who.owner.account, kind: k.kind, path: "/", name: name, created: c.at, maxSession: time.Hour,
		tags: c.tagParams(), permissions: permissions{inline: map[string]document{}},
	}
	if path, ok := c.params["Path"]; ok {
		p.path = path
	}
	if err := c.authorize(who, c.action, p.arn(), "", nil); err != nil {
		return nil, err
	}
	if !validPath(p.path) {
		return nil, validation("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	if _, ok := c.params["PermissionsBoundary"]; ok {
		return nil, validation("The parameter PermissionsBoundary is not supported here.") // to ignore it would grant too much
	}
	if k.kind == kindRole {
		if err := s.setTrust(p, c.params["AssumeRolePolicyDocument"]); err != nil {
			return nil, err
		}
		if text, ok := c.params["MaxSessionDuration"]; ok {
			seconds, err := strconv.Atoi(text)
			if err != nil || seconds < 3600 || seconds > 43200 {
				return nil, constraint(text, "maxSessionDuration", "Member must have value between 3600 and 43200")
			}
			p.maxSession = time.Duration(seconds) * time.Second
		}
	}
	p.id = s.newID(k.prefix, 21)
	if s.insert(p) != nil {
		return nil, entityExists(k.name, name)
	}
	return object{{k.name, s.describeIdentity(p, true)}}, nil
}

// validPath is IAM's rule for paths, narrowed to what people use
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-friendly-names).
func validPath(path string) bool {
	return len(path) <= 512 && strings.HasPrefix(path, "/") && strings.HasSuffix(path, "/") && onlyNameBytes(path, "/+=,.@-")
}

// setTrust gives a role its trust policy, whose users and roles must exist
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_policies.html#troubleshoot_policies-invalid-principal).
func (s *Server) setTrust(role *principal, text string) *apiError {
	trust, err := parseTrustPolicy(text)
	if err != nil {
		return malformedPolicy(err.Error())
	}
	s.pinPrincipals(trust)
	for _, st := range trust.statements {
		for _, arn := range st.principals {
			name, err := parsePrincipalARN(arn)
			if err == nil && name.kind != kindRoot && st.ids[arn] == "" || err != nil && strings.HasPrefix(arn, "arn:") && !strings.Contains(arn, ":assumed-role/") {
				return malformedPolicy(fmt.Sprintf("Invalid principal in policy: \"AWS\":%q", arn))
			}
		}
	}
	role.trust, role.trustText = trust, text
	return nil
}

func malformedPolicy(message string) *apiError {
	return &apiError{"MalformedPolicyDocument", message, http.StatusBadRequest}
}

func (s *Server) updateTrust(c *call, role *principal) (any, *apiError) {
	if err := s.setTrust(role, c.params["PolicyDocument"]); err != nil {
		return nil, err
	}
	return nil, nil
}

// deleteIdentity refuses, as IAM does, what still hangs on others.
func (s *Server) deleteIdentity(_ *call, p *principal) (any, *apiError) {
	switch {
	case len(p.attached) > 0:
		return nil, deleteConflict("detach all policies")
	case len(p.inline) > 0:
		return nil, deleteConflict("delete policies")
	case s.inProfile(p):
		return nil, deleteConflict("remove roles from instance profile")
	case len(p.groups) > 0 || p.kind == kindGroup && len(s.membersOf(p)) > 0:
		return nil, deleteConflict("remove users from group")
	case p.kind == kindUser && len(s.keysOf(p)) > 0:
		return nil, deleteConflict("delete access keys")
	}
	s.remove(p)
	return nil, nil
}

// list answers the identities of one kind in the caller's account.
func (k identityKind) list(s *Server, c *call, who *credential) (any, *apiError) {
	if err := c.authorize(who, c.action, iamARN(who.owner.account, k.kind, "/", ""), "", nil); err != nil {
		return nil, err
	}
	found := map[string]*principal{}
	for _, p := range s.byARN {
		if p.account == who.owner.account && p.kind == k.kind && strings.HasPrefix(p.path, c.params["PathPrefix"]) {
			found[p.name] = p
		}
	}
	return iamPage(c, k.name+"s", found, func(p *principal) any { return s.describeIdentity(p, false) })
}

// iamPage answers a page of a list, in the order of its names
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html).
func iamPage[T any](c *call, key string, all map[string]T, describe func(T) any) (any, *apiError) {
	names, next, refusal := c.page(slices.Sorted(maps.Keys(all)), "MaxItems", "Marker", 1, 100, 1000)
	if refusal != "" {
		return nil, validation(refusal)
	}
	list := members{}
	for _, name := range names {
		list = append(list, describe(all[name]))
	}
	answer := object{{key, list}, {"IsTruncated", next != ""}}
	if next != "" {
		answer = append(answer, member{"Marker", next})
	}
	return answer, nil
}

func (s *Server) tagRole(c *call, role *principal) (any, *apiError) {
	tags := c.tagParams()
	if len(tags) == 0 {
		return nil, validation("1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must not be null")
	}
	if role.tags == nil {
		role.tags = map[string]string{}
	}
	maps.Copy(role.tags, tags)
	return nil, nil
}

func (s *Server) untagRole(c *call, role *principal) (any, *apiError) {
	for _, key := range c.listParams("TagKeys.member") {
		delete(role.tags, key)
	}
	return nil, nil
}

func (s *Server) listRoleTags(_ *call, role *principal) (any, *apiError) {
	return object{{"Tags", describeTags(role.tags)}, {"IsTruncated", false}}, nil
}
