package accesspolicy

import "slices"

// Request is what a policy is asked about: the attributes of a SubjectAccessReview.
// Its names are compared byte by byte.
type Request struct {
	Verb string
	// Group, Resource and Subresource name what a resource request is about. The core
	// API group is "".
	Group, Resource, Subresource string
	// Namespace is empty in a request for a cluster-scoped resource or for all
	// namespaces. kube-apiserver sets it in requests for one Namespace object too.
	Namespace string
	// Path is that of a non-resource request, such as "/metrics", else empty. It
	// decides which of the two kinds a request is of.
	Path string
}

// Allows reports whether the rule allows a request, whatever the scope.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
func (r Rule) Allows(q Request) bool {
	if q.Verb == "" || !matches(r.Verbs, q.Verb) {
		return false
	}
	if q.Path != "" {
		return matches(r.NonResourceURLs, q.Path)
	}
	return q.Resource != "" && matches(r.APIGroups, q.Group) &&
		slices.ContainsFunc(r.Resources, func(name string) bool { return name == all || isResource(name, q.Resource, q.Subresource) })
}

const all = "*"

func matches(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return n == all || n == name })
}

// isResource compares a rule's "resource" or "resource/subresource" with the two
// parts, without making a string.
func isResource(name, resource, subresource string) bool {
	if subresource == "" {
		return name == resource
	}
	n := len(resource)
	return len(name) == n+1+len(subresource) && name[:n] == resource && name[n] == '/' && name[n+1:] == subresource
}

// rule returns the row, counted from 1, of the first rule that allows a request,
// or 0.
func (p *Policy) rule(q Request) int {
	return 1 + slices.IndexFunc(p.rules, func(r Rule) bool { return r.Allows(q) })
}
