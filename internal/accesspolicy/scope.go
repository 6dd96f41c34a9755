package accesspolicy

import (
	"fmt"
	"strings"
)

// ScopeType is how far an associated policy reaches, in the words of EKS's API.
type ScopeType string

// The types of scope.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessScope.html
const (
	ScopeCluster   ScopeType = "cluster"
	ScopeNamespace ScopeType = "namespace"
)

// Scope is the access scope of an associated policy. The zero value covers nothing.
type Scope struct {
	Type ScopeType `json:"type"`
	// Namespaces are names or patterns of namespaces, for ScopeNamespace only. In a
	// pattern, * stands for any characters or none, as in "dev-*": it is the only
	// wildcard that the user guide shows, and no other is taken for one.
	//
	// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-policies.html
	Namespaces []string `json:"namespaces,omitempty"`
}

// String gives "cluster", or "namespace" with the patterns.
func (s Scope) String() string {
	if s.Type == ScopeNamespace {
		return fmt.Sprintf("namespace %s", strings.Join(s.Namespaces, ", "))
	}
	return string(s.Type)
}

// Covers reports whether the scope covers a request. A namespace scope covers
// requests in its namespaces only: none for a cluster-scoped resource, for all
// namespaces at once, or for a non-resource URL, whatever its patterns.
func (s Scope) Covers(q Request) bool {
	switch {
	case s.Type == ScopeCluster:
		return true
	case s.Type != ScopeNamespace || q.Namespace == "" || q.Path != "":
		return false
	}
	for _, pattern := range s.Namespaces {
		if matchPattern(pattern, q.Namespace) {
			return true
		}
	}
	return false
}

// matchPattern matches a whole name with a pattern in which * stands for any
// characters. It goes back to the last * only, which is enough.
func matchPattern(pattern, name string) bool {
	star, resume := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// problem says what is wrong with a scope, or nothing.
func (s Scope) problem() string {
	switch {
	case s.Type == ScopeCluster && len(s.Namespaces) > 0:
		return "a cluster scope must not name namespaces"
	case s.Type == ScopeCluster:
		return ""
	case s.Type != ScopeNamespace:
		return fmt.Sprintf("scope type %q is neither cluster nor namespace", s.Type)
	case len(s.Namespaces) == 0:
		return "a namespace scope must name a namespace"
	}
	for _, pattern := range s.Namespaces {
		if strings.Trim(pattern, "abcdefghijklmnopqrstuvwxyz0123456789-*") != "" || pattern == "" {
			return fmt.Sprintf("%q is neither a namespace name nor a pattern with *", pattern)
		}
	}
	return ""
}
