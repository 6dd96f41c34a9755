package fakeaws

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document is a policy as it was written, and ready to be evaluated.
type document struct {
	text   string
	policy *policy
}

// permissions are what IAM lets an identity do.
type permissions struct {
	// unrestricted is true of a principal that was added from Go without a policy:
	// it may do anything until it gets one.
	unrestricted bool

	inline   map[string]document // by policy name
	attached []*managedPolicy
	groups   []*principal // of a user
}

// seedPermissions are those of a principal that is added from Go.
func seedPermissions(policies map[string]string) (permissions, error) {
	granted := permissions{unrestricted: len(policies) == 0, inline: map[string]document{}}
	for name, text := range policies {
		parsed, err := parseIdentityPolicy(text)
		if err != nil {
			return permissions{}, fmt.Errorf("policy %s: %w", name, err)
		}
		granted.inline[name] = document{text, parsed}
	}
	return granted, nil
}

// documents are all policies that count for an identity: its own and those of its
// groups.
func (p *permissions) documents() []*policy {
	var all []*policy
	for _, doc := range p.inline {
		all = append(all, doc.policy)
	}
	for _, managed := range p.attached {
		all = append(all, managed.policy)
	}
	for _, group := range p.groups {
		all = append(all, group.documents()...)
	}
	return all
}

// identityDecision is what a caller's own policies say. The caller of this holds
// the lock.
func (p *principal) identityDecision(a Action, resource string, ctx map[string]string) decision {
	if slices.ContainsFunc(p.deny, func(pattern string) bool { return matchAction(pattern, a) }) {
		return explicitlyDenied
	}
	if p.unrestricted {
		return allowed
	}
	result := implicitlyDenied
	for _, doc := range p.documents() {
		switch doc.decide(a, resource, ctx, nil) {
		case explicitlyDenied:
			return explicitlyDenied
		case allowed:
			result = allowed
		}
	}
	return result
}

// requestContext is what conditions may ask about any request. MFA is absent, not
// false, for a long-term key; sessions of AssumeRole carry none
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-multifactorauthpresent).
func (c *call) requestContext(who *credential) map[string]string {
	ctx := map[string]string{
		"aws:principalarn":     who.owner.arn(),
		"aws:principalaccount": who.owner.account.id,
		"aws:requestedregion":  c.auth.region,
		"aws:userid":           who.userID(),
	}
	if who.owner.kind == kindUser {
		ctx["aws:username"] = who.owner.name
	}
	if who.session != "" {
		ctx["aws:multifactorauthpresent"] = "false"
	}
	return ctx
}

// assumeContext is requestContext for an AssumeRole request, which may prove a
// MFA device.
func (c *call) assumeContext(who *credential, mfa bool) map[string]string {
	ctx := c.requestContext(who)
	ctx["sts:rolesessionname"] = c.params["RoleSessionName"]
	if id, ok := c.params["ExternalId"]; ok {
		ctx["sts:externalid"] = id
	}
	if mfa {
		ctx["aws:multifactorauthpresent"] = "true"
	}
	return ctx
}

// authorize refuses what the caller's policies do not allow. Extra are condition
// keys of the action's own; shown is how the message names the resource, where
// that is not its ARN. The server's lock is held.
func (c *call) authorize(who *credential, a Action, resource, shown string, extra map[string]string) *apiError {
	ctx := c.requestContext(who)
	maps.Copy(ctx, extra)
	verdict := who.owner.identityDecision(a, resource, ctx)
	if verdict == allowed {
		return nil
	}
	if shown == "" {
		shown = resource
	}
	return accessDenied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who.arn(), a, shown, verdict.because(a)))
}

// because explains a refusal as AWS does
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).
func (d decision) because(a Action) string {
	if d == explicitlyDenied {
		return "with an explicit deny in an identity-based policy"
	}
	return fmt.Sprintf("because no identity-based policy allows the %s action", a)
}

// mayAssume evaluates a role's trust policy together with the caller's own
// policies. In one account it suffices that the trust policy names the caller
// itself; where it names the whole account, or the role is another account's, the
// caller's own policies must allow it as well
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-single-account.html).
// The caller of this holds the lock.
func (role *principal) mayAssume(who *credential, ctx map[string]string) bool {
	own := who.owner.identityDecision(AssumeRole, role.arn(), ctx)
	if own == explicitlyDenied || role.trust.decide(AssumeRole, "", ctx, who.isNamed) != allowed {
		return false
	}
	return own == allowed ||
		role.account == who.owner.account && role.trust.decide(AssumeRole, "", ctx, who.isNamedItself) == allowed
}

// isNamed reports whether a statement of a trust policy is about the caller: it
// names it, or its account.
func (c *credential) isNamed(st statement) bool {
	return c.isNamedItself(st) || slices.ContainsFunc(st.principals, func(principal string) bool {
		return principal == c.owner.account.id || principal == c.owner.account.root.arn()
	})
}

// isNamedItself is isNamed for a statement that does not name only its account: it
// has "*", or the ARN of the user, role or role session.
func (c *credential) isNamedItself(st statement) bool {
	return slices.ContainsFunc(st.principals, func(principal string) bool {
		switch principal {
		case "*", c.arn(), c.owner.arn():
			id := st.ids[principal]
			return id == "" || id == c.owner.id
		}
		return false
	})
}

// pinPrincipals notes the unique ids of the users and roles that a trust policy
// names. The caller holds the lock.
func (s *Server) pinPrincipals(p *policy) {
	for i := range p.statements {
		st := &p.statements[i]
		st.ids = map[string]string{}
		for _, arn := range st.principals {
			if named := s.byARN[arn]; named != nil && named.kind != kindRoot {
				st.ids[arn] = named.id
			}
		}
	}
}

// trustDocument is a role's trust policy as IAM shows it: where a principal is
// gone, or is another one by now, its unique id stands in the place of its ARN.
// The caller holds the lock.
func (s *Server) trustDocument(role *principal) string {
	text := role.trustText
	for _, st := range role.trust.statements {
		for arn, id := range st.ids {
			if now := s.byARN[arn]; now == nil || now.id != id {
				text = strings.ReplaceAll(text, strconv.Quote(arn), strconv.Quote(id))
			}
		}
	}
	return text
}
