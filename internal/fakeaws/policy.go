package fakeaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// policy is a policy document, ready to be evaluated: a role's trust policy, or
// what an identity may do. A document that cannot be evaluated whole does not
// parse: a condition that is not understood must not pass for one that holds.
type policy struct{ statements []statement }

type statement struct {
	deny bool

	// Of each pair one is set. A trust policy has actions and no resources.
	actions, notActions     []string
	resources, notResources []string

	principals []string // of type AWS; "*" is anyone
	federated  []string // of type Federated
	conditions []condition

	// ids are the unique ids of the users and roles among principals that existed
	// when the policy was set. IAM stores those, so that a principal that is
	// deleted and made again is not trusted by what named its predecessor
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html).
	ids map[string]string
}

type condition struct {
	operator string
	negated  bool
	ifExists bool
	key      string
	values   []string
}

// decision is what policies say of a request. An explicit denial outweighs any
// number of allowances
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
type decision int

const (
	implicitlyDenied decision = iota
	allowed
	explicitlyDenied
)

// list is IAM's "a string or a list of strings"; true and false may stand
// unquoted.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	var many []any
	if json.Unmarshal(b, &many) != nil {
		var one any
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		many = []any{one}
	}
	for _, v := range many {
		switch v := v.(type) {
		case string:
			*l = append(*l, v)
		case bool:
			*l = append(*l, strconv.FormatBool(v))
		case float64:
			*l = append(*l, strconv.FormatFloat(v, 'f', -1, 64))
		default:
			return fmt.Errorf("%s is not a string", b)
		}
	}
	return nil
}

type wirePrincipal map[string]list

func (p *wirePrincipal) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		*p = wirePrincipal{"AWS": {"*"}}
		return nil
	}
	return json.Unmarshal(b, (*map[string]list)(p))
}

type wireStatement struct {
	Sid         string
	Effect      string
	Principal   wirePrincipal
	Action      list
	NotAction   list
	Resource    list
	NotResource list
	Condition   map[string]map[string]list
}

type wireStatements []wireStatement

func (s *wireStatements) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		b = slices.Concat([]byte("["), b, []byte("]"))
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields() // NotPrincipal would invert the meaning
	return d.Decode((*[]wireStatement)(s))
}

// negations are the operators that hold where another does not.
var negations = map[string]string{
	"StringNotEquals":           "StringEquals",
	"StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike":             "StringLike",
	"ArnNotEquals":              "ArnEquals",
	"ArnNotLike":                "ArnLike",
}

// operators are the other condition operators that are understood, each as a
// test of one value of the policy against the request's.
var operators = map[string]func(policy, request string) bool{
	"StringEquals":           func(p, r string) bool { return p == r },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             matchWildcard,
	"ArnEquals":              matchWildcard,
	"ArnLike":                matchWildcard,
	"Bool":                   strings.EqualFold,
	"Null":                   strings.EqualFold, // of whether the key is absent
}

// conditionKeys are the keys that a request's context may have. Those of a web
// identity are named by its provider, and are known by their ends.
var conditionKeys = []string{
	"aws:multifactorauthpresent", "aws:principalaccount", "aws:principalarn", "aws:requestedregion", "aws:userid", "aws:username",
	"eks:accessentrytype", "eks:accessscope", "eks:authenticationmode", "eks:policyarn", "eks:principalarn", "eks:username",
	"sts:externalid", "sts:rolesessionname",
}

// parseTrustPolicy reads a role's AssumeRolePolicyDocument: each statement says
// whom it is about, and none a resource.
func parseTrustPolicy(text string) (*policy, error) {
	p, err := parsePolicy(text, func(w wireStatement) error {
		if len(w.Action) == 0 || len(w.Principal) == 0 || len(w.NotAction)+len(w.Resource)+len(w.NotResource) > 0 {
			return errors.New("a statement needs an Action and a Principal, and no Resource")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parsing trust policy: %w", err)
	}
	return p, nil
}

// parseIdentityPolicy reads a policy of a user, role or group: each statement
// says which resources it is about, and none a principal.
func parseIdentityPolicy(text string) (*policy, error) {
	p, err := parsePolicy(text, func(w wireStatement) error {
		if (len(w.Action) == 0) == (len(w.NotAction) == 0) || (len(w.Resource) == 0) == (len(w.NotResource) == 0) || len(w.Principal) > 0 {
			return errors.New("a statement needs an Action or NotAction, a Resource or NotResource, and no Principal")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parsing policy: %w", err)
	}
	return p, nil
}

func parsePolicy(text string, check func(wireStatement) error) (*policy, error) {
	var doc struct {
		Version, ID string
		Statement   wireStatements
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("text after the document")
	}
	if strings.Contains(text, "${") {
		return nil, errors.New("policy variables are not supported")
	}
	var parsed policy
	for _, w := range doc.Statement {
		if w.Effect != "Allow" && w.Effect != "Deny" {
			return nil, fmt.Errorf("effect %q is neither Allow nor Deny", w.Effect)
		}
		if err := check(w); err != nil {
			return nil, err
		}
		st := statement{
			deny: w.Effect == "Deny", actions: w.Action, notActions: w.NotAction, resources: w.Resource, notResources: w.NotResource,
			principals: w.Principal["AWS"], federated: w.Principal["Federated"],
		}
		for operator, keys := range w.Condition {
			for key, values := range keys {
				cond, err := parseCondition(operator, key, values)
				if err != nil {
					return nil, err
				}
				st.conditions = append(st.conditions, cond)
			}
		}
		parsed.statements = append(parsed.statements, st)
	}
	return &parsed, nil
}

func parseCondition(operator, key string, values list) (condition, error) {
	cond := condition{key: strings.ToLower(key), values: values}
	cond.operator, cond.ifExists = strings.CutSuffix(operator, "IfExists")
	if plain, ok := negations[cond.operator]; ok {
		cond.operator, cond.negated = plain, true
	}
	if _, ok := operators[cond.operator]; !ok || cond.operator == "Null" && cond.ifExists {
		return condition{}, fmt.Errorf("condition operator %q is not supported", operator)
	}
	if !slices.Contains(conditionKeys, cond.key) && !isWebIdentityKey(cond.key) {
		return condition{}, fmt.Errorf("condition key %q is not supported", key)
	}
	return cond, nil
}

// isWebIdentityKey knows <issuer>:sub and <issuer>:aud. An issuer has a dot in
// it, which tells it from the services of AWS, and SAML's keys are not meant.
func isWebIdentityKey(key string) bool {
	colon := strings.LastIndexByte(key, ':')
	if colon < 0 || !strings.Contains(key[:colon], ".") {
		return false
	}
	return key[colon+1:] == "sub" || key[colon+1:] == "aud"
}

// decide evaluates a policy for an action on a resource, in a context of
// condition keys in lower case. Named says whether a statement is about the
// caller; nil means that each is.
func (p *policy) decide(a Action, resource string, ctx map[string]string, named func(statement) bool) decision {
	result := implicitlyDenied
	for _, st := range p.statements {
		if named != nil && !named(st) || !st.applies(a, resource, ctx) {
			continue
		}
		if st.deny {
			return explicitlyDenied
		}
		result = allowed
	}
	return result
}

func (st statement) applies(a Action, resource string, ctx map[string]string) bool {
	isAction := func(pattern string) bool { return matchAction(pattern, a) }
	isResource := func(pattern string) bool { return matchWildcard(pattern, resource) }
	switch {
	case st.actions != nil && !slices.ContainsFunc(st.actions, isAction),
		slices.ContainsFunc(st.notActions, isAction),
		st.resources != nil && !slices.ContainsFunc(st.resources, isResource),
		slices.ContainsFunc(st.notResources, isResource):
		return false
	}
	for _, cond := range st.conditions {
		if !cond.holds(ctx) {
			return false
		}
	}
	return true
}

// holds follows IAM's rules for several values and for keys that are absent: a
// plain operator fails, a negated one and one with IfExists hold.
func (c condition) holds(ctx map[string]string) bool {
	value, ok := ctx[c.key]
	if c.operator == "Null" {
		value, ok = strconv.FormatBool(!ok), true
	}
	if !ok {
		return c.negated || c.ifExists
	}
	found := slices.ContainsFunc(c.values, func(v string) bool { return operators[c.operator](v, value) })
	return found != c.negated
}
