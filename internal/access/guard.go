package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ekskey/ekskey/internal/rbac"
)

// Danger is something that a change takes away and that may lock somebody out.
type Danger struct {
	Code      string `json:"code"`
	Principal string `json:"principal,omitempty"`
	Text      string `json:"text"`
}

// The codes of dangers.
const (
	DangerOwnAccess = "own-access" // the caller's way in
	DangerOwnAdmin  = "own-admin"  // the caller is an administrator no more
	DangerLastAdmin = "last-admin" // no administrator is left
	DangerNode      = "node"       // a node's way in
	DangerShadow    = "shadow"     // a new access entry hides what aws-auth gives
)

// anything is a request that only an administrator of the whole cluster may make.
var anything = rbac.Request{Verb: "*", Group: "*", Resource: "*"}

// standing is what a principal has by all its ways in effect.
type standing struct {
	present, admin, node bool
	groups               []string
}

// Guard compares who has access before and after a change, and says what may lock somebody
// out. caller is the ARN of who makes the change. Without RBAC, policy nil, only
// system:masters and AmazonEKSClusterAdminPolicy make an administrator. It fails with
// *mapping.TextError.
func (c *Cluster) Guard(after *Cluster, caller string, policy *rbac.Policy) ([]Danger, error) {
	before, err := c.standings(policy)
	if err != nil {
		return nil, err
	}
	then, err := after.standings(policy)
	if err != nil {
		return nil, err
	}
	var out []Danger
	add := func(code, principal, format string, args ...any) {
		out = append(out, Danger{Code: code, Principal: principal, Text: fmt.Sprintf(format, args...)})
	}
	own := principalKey(caller)
	names := make([]string, 0, len(before))
	for key := range before {
		names = append(names, key)
	}
	slices.Sort(names)
	admins := 0
	for _, s := range then {
		if s.admin {
			admins++
		}
	}
	had := false
	for _, key := range names {
		was, is := before[key], then[key]
		had = had || was.admin
		switch {
		case key == own && was.present && !is.present:
			add(DangerOwnAccess, caller, "you lose your own way in, %s", caller)
		case key == own && was.admin && !is.admin:
			add(DangerOwnAdmin, caller, "you are an administrator no more, as %s", caller)
		case was.node && !is.node:
			add(DangerNode, was.name(key), "nodes with %s cannot join any more, and those that run become NotReady", was.name(key))
		case is.present && was.present && len(lost(was.groups, is.groups)) > 0 && len(after.Entries) > len(c.Entries):
			add(DangerShadow, was.name(key), "with an access entry, aws-auth does not count for %s any more: it loses the groups %s", was.name(key), strings.Join(lost(was.groups, is.groups), ", "))
		}
	}
	if had && admins == 0 {
		add(DangerLastAdmin, "", "no administrator is left")
	}
	return out, nil
}

func (s standing) name(key string) string {
	f := strings.Fields(key)
	if len(f) != 4 {
		return key
	}
	return "arn:" + f[0] + ":iam::" + f[1] + ":" + f[2] + "/" + f[3]
}

func lost(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(before), func(g string) bool { return slices.Contains(after, g) })
}

// standings are those of all principals that have a way in effect and exist, as far as IAM
// tells, by principalKey. The creator is not among them: nobody knows who that is, and
// whether they still exist.
func (c *Cluster) standings(policy *rbac.Policy) (map[string]standing, error) {
	ways, err := c.Ways()
	if err != nil {
		return nil, err
	}
	out := map[string]standing{}
	for _, w := range ways {
		if !w.InEffect || w.Source == SourceCreator || slices.Contains(w.Findings, DeadPrincipal) || slices.Contains(w.Findings, RemadePrincipal) {
			continue
		}
		key := principalKey(w.Principal)
		s := out[key]
		s.present = true
		s.admin = s.admin || isAdmin(w, policy)
		s.node = s.node || madeByEKS(w) || slices.ContainsFunc(w.Groups, func(g string) bool { return g == "system:nodes" || g == "system:bootstrappers" })
		s.groups = union(s.groups, w.Groups)
		out[key] = s
	}
	return out, nil
}

func isAdmin(w Way, policy *rbac.Policy) bool {
	if rbac.Masters(w.Groups) || isClusterAdmin(w) {
		return true
	}
	if policy == nil {
		return false
	}
	_, ok := policy.Allows(w.Username, append(slices.Clone(w.Groups), rbac.Authenticated), anything)
	return ok
}
