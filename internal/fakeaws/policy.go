package fakeaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// trustPolicy is a role's AssumeRolePolicyDocument, ready to be evaluated. What
// it cannot evaluate it refuses to parse: a condition that is not understood
// must not pass for one that holds.
type trustPolicy struct{ statements []statement }

type statement struct {
	deny       bool
	actions    []string
	principals []string // of type AWS; "*" is anyone
	federated  []string // of type Federated
	conditions []condition
}

type condition struct {
	operator string
	negated  bool
	ifExists bool
	key      string
	values   []string
}

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
			return fmt.Errorf("%s is no string", b)
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
	Sid       string
	Effect    string
	Principal wirePrincipal
	Action    list
	Condition map[string]map[string]list
}

type wireStatements []wireStatement

func (s *wireStatements) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		b = slices.Concat([]byte("["), b, []byte("]"))
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields() // NotPrincipal, NotAction: they would invert the meaning
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
}

// conditionKeys are the keys that trustContext may fill. Those of a web identity
// are named by its provider, and are known by their ends.
var conditionKeys = []string{"sts:externalid", "sts:rolesessionname", "aws:multifactorauthpresent", "aws:principalarn", "aws:principalaccount", "aws:userid", "aws:username"}

func parseTrustPolicy(text string) (*trustPolicy, error) {
	var doc struct {
		Version, ID string
		Statement   wireStatements
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("parsing trust policy: %w", err)
	}
	if d.More() {
		return nil, errors.New("parsing trust policy: text after the document")
	}
	if strings.Contains(text, "${") {
		return nil, errors.New("parsing trust policy: policy variables are not supported")
	}
	var policy trustPolicy
	for _, w := range doc.Statement {
		st := statement{deny: w.Effect == "Deny", actions: w.Action, principals: w.Principal["AWS"], federated: w.Principal["Federated"]}
		if w.Effect != "Allow" && w.Effect != "Deny" {
			return nil, fmt.Errorf("parsing trust policy: effect %q is neither Allow nor Deny", w.Effect)
		}
		if len(w.Action) == 0 || len(w.Principal) == 0 {
			return nil, errors.New("parsing trust policy: a statement needs an Action and a Principal")
		}
		for operator, keys := range w.Condition {
			for key, values := range keys {
				cond := condition{key: strings.ToLower(key), values: values}
				cond.operator, cond.ifExists = strings.CutSuffix(operator, "IfExists")
				if plain, ok := negations[cond.operator]; ok {
					cond.operator, cond.negated = plain, true
				}
				if _, ok := operators[cond.operator]; !ok {
					return nil, fmt.Errorf("parsing trust policy: condition operator %q is not supported", operator)
				}
				if !slices.Contains(conditionKeys, cond.key) && !isWebIdentityKey(cond.key) {
					return nil, fmt.Errorf("parsing trust policy: condition key %q is not supported", key)
				}
				st.conditions = append(st.conditions, cond)
			}
		}
		policy.statements = append(policy.statements, st)
	}
	return &policy, nil
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

// trustContext is what conditions may ask about an AssumeRole request. MFA is
// absent, not false, for a long-term key that proved none, as in AWS
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-multifactorauthpresent).
func trustContext(params map[string]string, who *credential, mfa bool) map[string]string {
	ctx := map[string]string{
		"sts:rolesessionname":  params["RoleSessionName"],
		"aws:principalarn":     who.owner.arn(),
		"aws:principalaccount": who.owner.account.id,
		"aws:userid":           who.userID(),
	}
	if id, ok := params["ExternalId"]; ok {
		ctx["sts:externalid"] = id
	}
	if who.owner.kind == kindUser {
		ctx["aws:username"] = who.owner.name
	}
	if mfa || who.session != "" {
		ctx["aws:multifactorauthpresent"] = strconv.FormatBool(mfa)
	}
	return ctx
}

// allows reports whether a statement allows the action to a caller and none
// denies it. Named says whether a statement is about the caller.
func (p *trustPolicy) allows(a Action, ctx map[string]string, named func(statement) bool) bool {
	allowed := false
	for _, st := range p.statements {
		if !st.applies(a, ctx, named) {
			continue
		}
		if st.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (st statement) applies(a Action, ctx map[string]string, named func(statement) bool) bool {
	acts := slices.ContainsFunc(st.actions, func(pattern string) bool { return matchAction(pattern, a) })
	if !acts || !named(st) {
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
	if !ok {
		return c.negated || c.ifExists
	}
	found := slices.ContainsFunc(c.values, func(v string) bool { return operators[c.operator](v, value) })
	return found != c.negated
}

// isNamed reports whether a statement is about the caller.
func (c *credential) isNamed(st statement) bool { return slices.ContainsFunc(st.principals, c.matches) }

// matches reports whether the caller is meant by a principal of type AWS: by
// "*", an account's id or root, or the ARN of a user, role or role session.
func (c *credential) matches(principal string) bool {
	switch principal {
	case "*", c.owner.account.id, c.owner.account.root.arn(), c.owner.arn(), c.arn():
		return true
	}
	return false
}
