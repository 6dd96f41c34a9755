package access

import (
	"slices"

	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/rbac"
)

// Grant is a way in that may do what was asked for, and why.
type Grant struct {
	Way Way `json:"way"`
	// By is the binding or the access policy that allows it.
	By string `json:"by"`
}

// OtherSubjects are bindings that allow it to subjects that no way in is known to be: service
// accounts, and users and groups of other authenticators.
type OtherSubjects struct {
	Binding  string         `json:"binding"`
	Subjects []rbac.Subject `json:"subjects"`
}

// WhoCan says who may do something.
type WhoCan struct {
	Grants        []Grant         `json:"grants"`
	OtherSubjects []OtherSubjects `json:"otherSubjects"`
	// Unpublished are entries with a policy that covers the request and whose rules are
	// not published: they may be allowed on EKS.
	Unpublished []Grant `json:"unpublished"`
}

// WhoCan returns the ways in effect that allow a request, by RBAC or by an access policy.
// A username or group with a placeholder matches no binding: whom it makes is not known.
func (c *Cluster) WhoCan(policy *rbac.Policy, q rbac.Request) (WhoCan, error) {
	ways, err := c.Ways()
	if err != nil {
		return WhoCan{}, err
	}
	out := WhoCan{Grants: []Grant{}, OtherSubjects: []OtherSubjects{}, Unpublished: []Grant{}}
	used := map[string]bool{}
	giving := policy.Giving(q)
	for _, w := range ways {
		if !w.InEffect {
			continue
		}
		groups := append(slices.Clone(w.Groups), rbac.Authenticated)
		switch set, _ := accesspolicy.NewSet(c.Partition(), w.associations()); {
		case rbac.Masters(groups):
			out.Grants = append(out.Grants, Grant{w, "group " + masters + ", which bypasses authorization"})
		case w.Source == SourceEntry && set.Decide(policyRequest(q)).Allowed():
			out.Grants = append(out.Grants, Grant{w, set.Decide(policyRequest(q)).String()})
		default:
			if i := slices.IndexFunc(giving, func(b rbac.Binding) bool { return b.Binds(w.Username, groups) }); i >= 0 {
				out.Grants = append(out.Grants, Grant{w, giving[i].String()})
			} else if hidden := set.Unpublished(policyRequest(q)); w.Source == SourceEntry && len(hidden) > 0 {
				out.Unpublished = append(out.Unpublished, Grant{w, hidden[0].Name() + ", whose rules are not published"})
			}
		}
	}
	for _, b := range giving {
		var rest []rbac.Subject
		for _, s := range b.Subjects {
			known := slices.ContainsFunc(ways, func(w Way) bool {
				return w.InEffect && (s.Kind == rbac.User && w.Username == s.Name || s.Kind == rbac.Group && (s.Name == rbac.Authenticated || slices.Contains(w.Groups, s.Name)))
			})
			if !known {
				rest = append(rest, s)
			}
		}
		if len(rest) > 0 && !used[b.String()] {
			used[b.String()] = true
			out.OtherSubjects = append(out.OtherSubjects, OtherSubjects{Binding: b.String(), Subjects: rest})
		}
	}
	return out, nil
}

func policyRequest(q rbac.Request) accesspolicy.Request {
	return accesspolicy.Request{Verb: q.Verb, Group: q.Group, Resource: q.Resource, Subresource: q.Subresource, Namespace: q.Namespace, Path: q.Path}
}

// policyErrors are the policies of a way in that grant nothing, and why.
func policyErrors(partition string, w Way) []error {
	_, errs := accesspolicy.NewSet(partition, w.associations())
	return errs
}
