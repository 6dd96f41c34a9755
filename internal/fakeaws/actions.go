package fakeaws

import "strings"

// Action is an API action as IAM policies name it.
type Action string

// The actions that a Server knows, and AnyAction, which stands for all of them
// and for requests that name none. Those of IAM go by their names alone, such as
// Action("iam:CreateRole").
const (
	GetCallerIdentity Action = "sts:GetCallerIdentity"
	AssumeRole        Action = "sts:AssumeRole"
	GetRole           Action = "iam:GetRole"
	ListClusters      Action = "eks:ListClusters"
	DescribeCluster   Action = "eks:DescribeCluster"
	AnyAction         Action = "*"

	CreateAccessEntry            Action = "eks:CreateAccessEntry"
	DescribeAccessEntry          Action = "eks:DescribeAccessEntry"
	ListAccessEntries            Action = "eks:ListAccessEntries"
	UpdateAccessEntry            Action = "eks:UpdateAccessEntry"
	DeleteAccessEntry            Action = "eks:DeleteAccessEntry"
	AssociateAccessPolicy        Action = "eks:AssociateAccessPolicy"
	DisassociateAccessPolicy     Action = "eks:DisassociateAccessPolicy"
	ListAssociatedAccessPolicies Action = "eks:ListAssociatedAccessPolicies"
	ListAccessPolicies           Action = "eks:ListAccessPolicies"
	TagResource                  Action = "eks:TagResource"
	UntagResource                Action = "eks:UntagResource"
	ListTagsForResource          Action = "eks:ListTagsForResource"
	UpdateClusterConfig          Action = "eks:UpdateClusterConfig"
	DescribeUpdate               Action = "eks:DescribeUpdate"
	ListUpdates                  Action = "eks:ListUpdates"
	ListNodegroups               Action = "eks:ListNodegroups"
	DescribeNodegroup            Action = "eks:DescribeNodegroup"

	DescribeInstances Action = "ec2:DescribeInstances"

	// These are not signed.
	AssumeRoleWithWebIdentity Action = "sts:AssumeRoleWithWebIdentity"
	GetRoleCredentials        Action = "sso:GetRoleCredentials" // #nosec G101 -- a name
	ListAccounts              Action = "sso:ListAccounts"
	ListAccountRoles          Action = "sso:ListAccountRoles"
	RegisterClient            Action = "sso-oauth:RegisterClient"
	StartDeviceAuthorization  Action = "sso-oauth:StartDeviceAuthorization"
	CreateToken               Action = "sso-oauth:CreateToken" // #nosec G101 -- a name
)

// routes are the actions that are known by method and path.
var routes = map[string]map[string]Action{
	servicePortal: {
		"GET /federation/credentials": GetRoleCredentials,
		"GET /assignment/accounts":    ListAccounts,
		"GET /assignment/roles":       ListAccountRoles,
	},
	serviceOIDC: {
		"POST /client/register":      RegisterClient,
		"POST /device_authorization": StartDeviceAuthorization,
		"POST /token":                CreateToken,
	},
}

// unsigned reports whether an action needs no signature: what proves the caller
// is in the request itself.
func (a Action) unsigned() bool {
	switch a {
	case AssumeRoleWithWebIdentity, GetRoleCredentials, ListAccounts, ListAccountRoles, RegisterClient, StartDeviceAuthorization, CreateToken:
		return true
	}
	return false
}

// The API versions of the query protocol, from AWS's API references.
var versions = map[string]string{
	serviceSTS: "2011-06-15",
	serviceIAM: "2010-05-08",
	serviceEC2: "2016-11-15",
}

// actionOf names the action that a request asks for, and is empty for one that
// is not known here.
func actionOf(c *call) Action {
	if known, ok := routes[c.service]; ok {
		return known[c.r.Method+" "+c.path]
	}
	if c.service == serviceEKS {
		return c.eksAction()
	}
	if c.params["Version"] != versions[c.service] {
		return ""
	}
	a := Action(c.service + ":" + c.params["Action"])
	if _, ok := handlers[a]; ok || a == AssumeRoleWithWebIdentity {
		return a
	}
	return ""
}

// name is the action without its service.
func (a Action) name() string {
	_, name, _ := strings.Cut(string(a), ":")
	return name
}

// matchAction reports whether an action is meant by a pattern of IAM's: without
// regard to case, `*` standing for anything.
func matchAction(pattern string, a Action) bool {
	return matchWildcard(strings.ToLower(pattern), strings.ToLower(string(a)))
}

// matchWildcard matches IAM's `*` (any text) and `?` (any one byte).
func matchWildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
