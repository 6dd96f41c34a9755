package fakeaws

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// managedPolicy is a managed policy; it has one version, v1. It is used under the
// server's lock.
type managedPolicy struct {
	document
	arn, path, name, id string
	created             time.Time
}

// ManagedPolicy is a managed policy to add.
type ManagedPolicy struct {
	Account  string // twelve digits, or aws for one of AWS's own, which every account has
	Path     string // such as /service-role/; empty means /
	Name     string
	Document string
}

// AddPolicy adds a managed policy and returns its ARN. AWS's own AdministratorAccess
// is there from the start. One of AWS's own is in the partition "aws".
func (s *Server) AddPolicy(p ManagedPolicy) (string, error) {
	parsed, err := parseIdentityPolicy(p.Document)
	if err != nil {
		return "", fmt.Errorf("adding policy: %w", err)
	}
	partition := "aws"
	if p.Account != "aws" {
		acct, err := s.account(p.Account, partition)
		if err != nil {
			return "", fmt.Errorf("adding policy: %w", err)
		}
		partition = acct.partition
	}
	if p.Path == "" {
		p.Path = "/"
	}
	if !validPath(p.Path) || p.Name == "" || len(p.Name) > 128 || !onlyNameBytes(p.Name, "+=,.@-") {
		return "", fmt.Errorf("adding policy: no policy is named %s%s", p.Path, p.Name)
	}
	added := &managedPolicy{
		document: document{p.Document, parsed}, path: p.Path, name: p.Name, id: s.newID("ANPA", 21), created: s.clock(),
		arn: "arn:" + partition + ":iam::" + p.Account + ":policy" + p.Path + p.Name,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policies[added.arn] != nil {
		return "", fmt.Errorf("adding policy: %s exists", added.arn)
	}
	s.policies[added.arn] = added
	return added.arn, nil
}

const administratorAccess = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// findPolicy finds a managed policy by ARN. AdministratorAccess is in every partition.
func (s *Server) findPolicy(arn string) *managedPolicy {
	p := s.policies[arn]
	const suffix = ":iam::aws:policy/AdministratorAccess"
	if partition, ok := strings.CutSuffix(arn, suffix); ok && p == nil && validPartition(strings.TrimPrefix(partition, "arn:")) {
		parsed, _ := parseIdentityPolicy(administratorAccess) // a constant, and a test holds it
		p = &managedPolicy{
			document: document{administratorAccess, parsed}, arn: arn, path: "/", name: "AdministratorAccess", id: "ANPAIWMBCKSKIEE64ZLYK",
			created: time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC),
		}
		s.policies[arn] = p
	}
	return p
}

func policyHandlers() map[Action]handler {
	return map[Action]handler{
		"iam:CreatePolicy":       (*Server).createPolicy,
		"iam:ListPolicies":       (*Server).listPolicies,
		"iam:GetPolicy":          onPolicy((*Server).getPolicy),
		"iam:GetPolicyVersion":   onPolicy((*Server).getPolicyVersion),
		"iam:ListPolicyVersions": onPolicy((*Server).listPolicyVersions),
		"iam:DeletePolicy":       onPolicy((*Server).deletePolicy),
	}
}

// onPolicy is a handler for a call on one managed policy: the caller's account's, or
// AWS's own.
func onPolicy(handle func(*Server, *call, *managedPolicy) (any, *apiError)) handler {
	return func(s *Server, c *call, who *credential) (any, *apiError) {
		arn := c.params["PolicyArn"]
		if err := c.authorize(who, c.action, arn, "policy "+arn, nil); err != nil {
			return nil, err
		}
		p := s.findPolicy(arn)
		if p == nil || !p.visibleTo(who.owner.account) {
			return nil, noSuchEntity(fmt.Sprintf("Policy %s was not found.", arn))
		}
		return handle(s, c, p)
	}
}

func (p *managedPolicy) visibleTo(acct *account) bool {
	prefix := "arn:" + acct.partition + ":iam::"
	return strings.HasPrefix(p.arn, prefix+acct.id+":") || strings.HasPrefix(p.arn, prefix+"aws:")
}

func (s *Server) describePolicy(p *managedPolicy) object {
	attached := 0
	for _, holder := range s.byARN {
		if slices.Contains(holder.attached, p) {
			attached++
		}
	}
	return object{
		{"PolicyName", p.name}, {"PolicyId", p.id}, {"Arn", p.arn}, {"Path", p.path}, {"DefaultVersionId", "v1"}, {"AttachmentCount", attached},
		{"PermissionsBoundaryUsageCount", 0}, {"IsAttachable", true}, {"CreateDate", timestamp(p.created)}, {"UpdateDate", timestamp(p.created)},
	}
}

func (s *Server) createPolicy(c *call, who *credential) (any, *apiError) {
	name, err := c.iamName("PolicyName", 128)
	if err != nil {
		return nil, err
	}
	path := "/"
	if p, ok := c.params["Path"]; ok {
		path = p
	}
	arn := iamARN(who.owner.account, "policy", path, name)
	if err := c.authorize(who, c.action, arn, "policy "+name, nil); err != nil {
		return nil, err
	}
	if !validPath(path) {
		return nil, validation("The specified value for path is invalid.")
	}
	text := c.params["PolicyDocument"]
	parsed, parseErr := parseIdentityPolicy(text)
	if parseErr != nil {
		return nil, malformedPolicy(parseErr.Error())
	}
	if s.policies[arn] != nil {
		return nil, &apiError{"EntityAlreadyExists", fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", name), http.StatusConflict}
	}
	p := &managedPolicy{document: document{text, parsed}, arn: arn, path: path, name: name, id: s.newID("ANPA", 21), created: c.at}
	s.policies[arn] = p
	return object{{"Policy", s.describePolicy(p)}}, nil
}

// listPolicies answers those of the account, and unless the scope is Local those of
// AWS that are known here.
func (s *Server) listPolicies(c *call, who *credential) (any, *apiError) {
	acct := who.owner.account
	if err := c.authorize(who, c.action, iamARN(acct, "policy", "/", ""), "policy path /", nil); err != nil {
		return nil, err
	}
	s.findPolicy("arn:" + acct.partition + ":iam::aws:policy/AdministratorAccess")
	found := map[string]*managedPolicy{}
	for arn, p := range s.policies {
		local := strings.Contains(arn, ":iam::"+acct.id+":")
		if scope := c.params["Scope"]; p.visibleTo(acct) && (scope != "Local" || local) && (scope != "AWS" || !local) {
			found[arn] = p
		}
	}
	return iamPage(c, "Policies", found, func(p *managedPolicy) any { return s.describePolicy(p) })
}

func (s *Server) getPolicy(_ *call, p *managedPolicy) (any, *apiError) {
	return object{{"Policy", s.describePolicy(p)}}, nil
}

func (s *Server) getPolicyVersion(c *call, p *managedPolicy) (any, *apiError) {
	if id := c.params["VersionId"]; id != "v1" {
		return nil, noSuchEntity(fmt.Sprintf("Policy %s version %s does not exist or is not attachable.", p.arn, id))
	}
	return object{{"PolicyVersion", append(object{{"Document", escape(p.text, false)}}, p.version()...)}}, nil
}

func (s *Server) listPolicyVersions(_ *call, p *managedPolicy) (any, *apiError) {
	return object{{"Versions", members{p.version()}}, {"IsTruncated", false}}, nil
}

func (p *managedPolicy) version() object {
	return object{{"VersionId", "v1"}, {"IsDefaultVersion", true}, {"CreateDate", timestamp(p.created)}}
}

func (s *Server) deletePolicy(_ *call, p *managedPolicy) (any, *apiError) {
	for _, holder := range s.byARN {
		if slices.Contains(holder.attached, p) {
			return nil, &apiError{"DeleteConflict", "Cannot delete a policy attached to entities.", http.StatusConflict}
		}
	}
	if strings.Contains(p.arn, ":iam::aws:") {
		return nil, accessDenied("Cannot delete a policy of AWS's own.")
	}
	delete(s.policies, p.arn)
	return nil, nil
}

// putInlinePolicy gives an identity an inline policy. One that may do anything for
// want of a policy may from now on do what its policies allow.
func (s *Server) putInlinePolicy(c *call, p *principal) (any, *apiError) {
	name, err := c.iamName("PolicyName", 128)
	if err != nil {
		return nil, err
	}
	text := c.params["PolicyDocument"]
	parsed, parseErr := parseIdentityPolicy(text)
	if parseErr != nil {
		return nil, malformedPolicy(parseErr.Error())
	}
	p.inline[name], p.unrestricted = document{text, parsed}, false
	return nil, nil
}

func (k identityKind) getInlinePolicy(_ *Server, c *call, p *principal) (any, *apiError) {
	name := c.params["PolicyName"]
	doc, ok := p.inline[name]
	if !ok {
		return nil, noInlinePolicy(p, name)
	}
	return object{{k.name + "Name", p.name}, {"PolicyName", name}, {"PolicyDocument", escape(doc.text, false)}}, nil
}

func noInlinePolicy(p *principal, name string) *apiError {
	return noSuchEntity(fmt.Sprintf("The %s policy with name %s cannot be found.", p.kind, name))
}

func (s *Server) deleteInlinePolicy(c *call, p *principal) (any, *apiError) {
	name := c.params["PolicyName"]
	if _, ok := p.inline[name]; !ok {
		return nil, noInlinePolicy(p, name)
	}
	delete(p.inline, name)
	return nil, nil
}

func (s *Server) listInlinePolicies(c *call, p *principal) (any, *apiError) {
	names := map[string]string{}
	for name := range p.inline {
		names[name] = name
	}
	return iamPage(c, "PolicyNames", names, func(name string) any { return name })
}

func (s *Server) attachPolicy(c *call, p *principal) (any, *apiError) {
	arn := c.params["PolicyArn"]
	managed := s.findPolicy(arn)
	if managed == nil || !managed.visibleTo(p.account) {
		return nil, noSuchEntity(fmt.Sprintf("Policy %s does not exist or is not attachable.", arn))
	}
	p.unrestricted = false
	if !slices.Contains(p.attached, managed) {
		p.attached = append(p.attached, managed)
	}
	return nil, nil
}

func (s *Server) detachPolicy(c *call, p *principal) (any, *apiError) {
	arn := c.params["PolicyArn"]
	i := slices.IndexFunc(p.attached, func(managed *managedPolicy) bool { return managed.arn == arn })
	if i < 0 {
		return nil, noSuchEntity(fmt.Sprintf("Policy %s was not found.", arn))
	}
	p.attached = slices.Delete(p.attached, i, i+1)
	return nil, nil
}

func (s *Server) listAttachedPolicies(c *call, p *principal) (any, *apiError) {
	found := map[string]*managedPolicy{}
	for _, managed := range p.attached {
		found[managed.arn] = managed
	}
	return iamPage(c, "AttachedPolicies", found, func(managed *managedPolicy) any {
		return object{{"PolicyName", managed.name}, {"PolicyArn", managed.arn}}
	})
}

// simulatePrincipalPolicy says what a user's or role's policies make of actions, in a
// request without conditions' keys
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html).
func (s *Server) simulatePrincipalPolicy(c *call, who *credential) (any, *apiError) {
	arn := c.params["PolicySourceArn"]
	if err := c.authorize(who, c.action, arn, "", nil); err != nil {
		return nil, err
	}
	p := s.byARN[arn]
	if p == nil || p.account != who.owner.account || p.kind == kindRoot {
		return nil, noSuchEntity(fmt.Sprintf("The entity %s cannot be found.", arn))
	}
	resources := c.listParams("ResourceArns.member")
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	results := members{}
	for _, action := range c.listParams("ActionNames.member") {
		for _, resource := range resources {
			verdict := map[decision]string{allowed: "allowed", explicitlyDenied: "explicitDeny", implicitlyDenied: "implicitDeny"}[p.identityDecision(Action(action), resource, nil)]
			results = append(results, object{{"EvalActionName", action}, {"EvalResourceName", resource}, {"EvalDecision", verdict}, {"MatchedStatements", members{}}, {"MissingContextValues", members{}}})
		}
	}
	return object{{"EvaluationResults", results}, {"IsTruncated", false}}, nil
}
