package fakeaws

import (
	"fmt"
	"slices"
	"strings"
)

// Group is an IAM group to add.
type Group struct {
	Account string // twelve digits
	Path    string // such as /ops/; empty means /
	Name    string
	ID      string // the unique id, AGPA…; empty means made up

	Policies map[string]string // inline policies, documents by name
	Members  []string          // ARNs of users of the account
}

// AddGroup adds a group and returns its ARN. Its members are from then on allowed
// what their policies and their groups' allow, and no more.
func (s *Server) AddGroup(g Group) (string, error) {
	granted, err := seedPermissions(g.Policies)
	if err != nil {
		return "", fmt.Errorf("adding group: %w", err)
	}
	granted.unrestricted = false
	if g.ID == "" {
		g.ID = s.newID("AGPA", 21)
	}
	group := &principal{kind: kindGroup, path: g.Path, name: g.Name, id: g.ID, permissions: granted}
	var users []*principal
	for _, arn := range g.Members {
		user := s.principalByARN(arn)
		if user == nil || user.kind != kindUser || user.account.id != g.Account {
			return "", fmt.Errorf("adding group: user %s of account %s: %w", arn, g.Account, ErrNotFound)
		}
		users = append(users, user)
	}
	if err := s.add(group, g.Account); err != nil {
		return "", fmt.Errorf("adding group: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		user.join(group)
	}
	return group.arn(), nil
}

func (p *principal) join(group *principal) {
	p.unrestricted = false
	if !slices.Contains(p.groups, group) {
		p.groups = append(p.groups, group)
	}
}

// membersOf are the users of a group, in order.
func (s *Server) membersOf(group *principal) []*principal {
	var users []*principal
	for _, p := range s.byARN {
		if slices.Contains(p.groups, group) {
			users = append(users, p)
		}
	}
	slices.SortFunc(users, func(a, b *principal) int { return strings.Compare(a.name, b.name) })
	return users
}

// getGroup answers all members on one page.
func (s *Server) getGroup(_ *call, group *principal) (any, *apiError) {
	users := members{}
	for _, user := range s.membersOf(group) {
		users = append(users, s.describeIdentity(user, false))
	}
	return object{{"Group", s.describeIdentity(group, false)}, {"Users", users}, {"IsTruncated", false}}, nil
}

// namedUser is the user that a request names beside the group.
func (s *Server) namedUser(c *call, group *principal) (*principal, *apiError) {
	name, err := c.iamName("UserName", 64)
	if err != nil {
		return nil, err
	}
	user := s.named(group.account, kindUser, name)
	if user == nil {
		return nil, noSuchEntity(fmt.Sprintf("The user with name %s cannot be found.", name))
	}
	return user, nil
}

func (s *Server) addUserToGroup(c *call, group *principal) (any, *apiError) {
	user, err := s.namedUser(c, group)
	if err != nil {
		return nil, err
	}
	user.join(group)
	return nil, nil
}

func (s *Server) removeUserFromGroup(c *call, group *principal) (any, *apiError) {
	user, err := s.namedUser(c, group)
	if err != nil {
		return nil, err
	}
	i := slices.Index(user.groups, group)
	if i < 0 {
		return nil, noSuchEntity(fmt.Sprintf("User %s is not in group %s", user.name, group.name))
	}
	user.groups = slices.Delete(user.groups, i, i+1)
	return nil, nil
}

func (s *Server) listGroupsForUser(c *call, user *principal) (any, *apiError) {
	found := map[string]*principal{}
	for _, group := range user.groups {
		found[group.name] = group
	}
	return iamPage(c, "Groups", found, func(p *principal) any { return s.describeIdentity(p, false) })
}

// keysOf are the ids of a user's access keys, in order.
func (s *Server) keysOf(user *principal) []string {
	var ids []string
	for id, cred := range s.keys {
		if cred.owner == user {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (s *Server) createAccessKey(c *call, user *principal) (any, *apiError) {
	k := Key{AccessKeyID: s.newID("AKIA", 20), SecretAccessKey: s.newSecret()}
	s.keys[k.AccessKeyID] = &credential{key: k, owner: user}
	return object{{"AccessKey", object{
		{"UserName", user.name}, {"AccessKeyId", k.AccessKeyID}, {"Status", "Active"}, {"SecretAccessKey", k.SecretAccessKey}, {"CreateDate", timestamp(c.at)},
	}}}, nil
}

func (s *Server) deleteAccessKey(c *call, user *principal) (any, *apiError) {
	id := c.params["AccessKeyId"]
	if !slices.Contains(s.keysOf(user), id) {
		return nil, noSuchEntity(fmt.Sprintf("The Access Key with id %s cannot be found.", id))
	}
	delete(s.keys, id)
	return nil, nil
}

// listAccessKeys answers all on one page; a user has few.
func (s *Server) listAccessKeys(_ *call, user *principal) (any, *apiError) {
	list := members{}
	for _, id := range s.keysOf(user) {
		list = append(list, object{{"UserName", user.name}, {"AccessKeyId", id}, {"Status", "Active"}, {"CreateDate", timestamp(user.created)}})
	}
	return object{{"AccessKeyMetadata", list}, {"IsTruncated", false}}, nil
}
