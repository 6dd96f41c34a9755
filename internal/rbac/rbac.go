// Package rbac evaluates Kubernetes RBAC as kube-apiserver does, from the roles and
// bindings of a cluster. It answers who may do something, which no API of Kubernetes
// does.
//
// The JSON names are those of rbac.authorization.k8s.io/v1.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
package rbac

import (
	"fmt"
	"slices"
	"strings"
)

// Request is what is asked for: the attributes of a SubjectAccessReview. Names are
// compared byte by byte.
type Request struct {
	Verb string
	// Group is the API group; the core group is "".
	Group, Resource, Subresource string
	// Name is that of a single object; empty means all, or none in particular.
	Name string
	// Namespace is empty for cluster-scoped resources and for all namespaces.
	Namespace string
	// Path is that of a non-resource request, such as "/metrics", else empty. It decides
	// which of the two kinds a request is of.
	Path string
}

// String gives the request in the words of kubectl auth can-i.
func (r Request) String() string {
	if r.Path != "" {
		return r.Verb + " " + r.Path
	}
	s := r.Verb + " " + r.Resource
	if r.Group != "" {
		s += "." + r.Group
	}
	if r.Subresource != "" {
		s += "/" + r.Subresource
	}
	if r.Name != "" {
		s += " " + r.Name
	}
	if r.Namespace != "" {
		s += " -n " + r.Namespace
	}
	return s
}

// Rule is a PolicyRule.
type Rule struct {
	Verbs           []string `json:"verbs"`
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
}

// Allows reports whether the rule allows the request, wherever the rule is in force.
//
// Source: https://github.com/kubernetes/kubernetes, plugin/pkg/auth/authorizer/rbac
func (r Rule) Allows(q Request) bool {
	if q.Path != "" {
		return matches(r.Verbs, q.Verb) && slices.ContainsFunc(r.NonResourceURLs, func(pattern string) bool {
			return pattern == q.Path || strings.HasSuffix(pattern, "*") && strings.HasPrefix(q.Path, strings.TrimRight(pattern, "*"))
		})
	}
	return matches(r.Verbs, q.Verb) && matches(r.APIGroups, q.Group) && r.hasResource(q.Resource, q.Subresource) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.Name))
}

// hasResource compares "pods/log" with "pods/log", "*/log" and "*". The pattern "pods/*"
// means nothing to RBAC.
func (r Rule) hasResource(resource, subresource string) bool {
	combined := resource
	if subresource != "" {
		combined += "/" + subresource
	}
	return slices.ContainsFunc(r.Resources, func(pattern string) bool {
		return pattern == "*" || pattern == combined || subresource != "" && pattern == "*/"+subresource
	})
}

func matches(list []string, word string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, word)
}

// The kinds of roles and of subjects.
const (
	ClusterRole    = "ClusterRole"
	RoleKind       = "Role"
	User           = "User"
	Group          = "Group"
	ServiceAccount = "ServiceAccount"
)

// Role is a Role, or a ClusterRole if it has no namespace.
type Role struct {
	Metadata Metadata `json:"metadata"`
	Rules    []Rule   `json:"rules"`
}

// Binding is a RoleBinding, or a ClusterRoleBinding if it has no namespace.
type Binding struct {
	Metadata Metadata  `json:"metadata"`
	Subjects []Subject `json:"subjects"`
	Role     RoleRef   `json:"roleRef"`
}

// Metadata is as much of ObjectMeta as counts here.
type Metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Subject is who a binding is for.
type Subject struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // of a service account
}

// RoleRef is the role that a binding gives.
type RoleRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String names a binding in the words of Kubernetes' audit log.
func (b Binding) String() string {
	if b.Metadata.Namespace == "" {
		return fmt.Sprintf("ClusterRoleBinding %q of %s %q", b.Metadata.Name, b.Role.Kind, b.Role.Name)
	}
	return fmt.Sprintf("RoleBinding %q of %s %q in namespace %s", b.Metadata.Name, b.Role.Kind, b.Role.Name, b.Metadata.Namespace)
}

// masters is a group that kube-apiserver lets do everything, whatever RBAC says.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
const masters = "system:masters"

// Authenticated is the group of everybody who has authenticated.
const Authenticated = "system:authenticated"

// Masters reports whether the groups bypass authorization.
func Masters(groups []string) bool { return slices.Contains(groups, masters) }

// Policy are the roles and bindings of a cluster. The zero value allows nothing. It is not
// changed, and safe for concurrent use.
type Policy struct {
	ClusterRoles, Roles           []Role
	ClusterBindings, RoleBindings []Binding
}

// rules returns what a binding gives; nil if its role does not exist.
func (p *Policy) rules(b Binding) []Rule {
	roles, namespace := p.ClusterRoles, ""
	if b.Role.Kind == RoleKind {
		roles, namespace = p.Roles, b.Metadata.Namespace
		if namespace == "" {
			return nil // a ClusterRoleBinding cannot give a Role
		}
	}
	for _, r := range roles {
		if r.Metadata.Name == b.Role.Name && r.Metadata.Namespace == namespace {
			return r.Rules
		}
	}
	return nil
}

// Giving returns the bindings that allow the request to their subjects: those of the
// whole cluster, and those of the request's namespace.
func (p *Policy) Giving(q Request) []Binding {
	var found []Binding
	allows := func(b Binding) bool {
		return slices.ContainsFunc(p.rules(b), func(r Rule) bool { return r.Allows(q) })
	}
	for _, b := range p.ClusterBindings {
		if allows(b) {
			found = append(found, b)
		}
	}
	if q.Path != "" || q.Namespace == "" {
		return found
	}
	for _, b := range p.RoleBindings {
		if b.Metadata.Namespace == q.Namespace && allows(b) {
			found = append(found, b)
		}
	}
	return found
}

// Binds reports whether a user, with all groups that the API server gives it, is a subject
// of the binding.
func (b Binding) Binds(user string, groups []string) bool {
	return slices.ContainsFunc(b.Subjects, func(s Subject) bool {
		switch s.Kind {
		case User:
			return s.Name == user
		case Group:
			return slices.Contains(groups, s.Name)
		case ServiceAccount:
			namespace := s.Namespace
			if namespace == "" {
				namespace = b.Metadata.Namespace
			}
			return namespace != "" && user == "system:serviceaccount:"+namespace+":"+s.Name
		}
		return false
	})
}

// Allows returns why a user may do what is asked for, or false.
func (p *Policy) Allows(user string, groups []string, q Request) (string, bool) {
	if Masters(groups) {
		return "group " + masters + ", which bypasses authorization", true
	}
	for _, b := range p.Giving(q) {
		if b.Binds(user, groups) {
			return b.String(), true
		}
	}
	return "", false
}

// Names reports whether any binding has the user, or the group, as a subject.
func (p *Policy) Names(kind, name string) bool {
	for _, list := range [][]Binding{p.ClusterBindings, p.RoleBindings} {
		for _, b := range list {
			if slices.ContainsFunc(b.Subjects, func(s Subject) bool { return s.Kind == kind && s.Name == name }) {
				return true
			}
		}
	}
	return false
}
