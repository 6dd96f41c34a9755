package mapping

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"

	"github.com/ekskey/ekskey/identity"
)

// The dialect EKS: what aws-iam-authenticator v0.6.13 does, and so Amazon EKS. The
// module interop/authenticator compares the two over a table.
//
//   - ARNs are compared as text, lower-cased. So a role's ARN with its path never
//     matches. In the file and in dynamic files, an ARN of a session stands for its role.
//   - What cannot be read of an aws-auth is empty: a section that is no YAML, an entry
//     that is no mapping, groups that are no list.
//   - Of two entries for one principal the last counts, and mapRoles before mapUsers.
//   - An entry without username gives an empty username. An unknown placeholder is text.
//   - mapAccounts maps everybody of the account, the root too, to their ARN.
//   - A userid counts in dynamic files only, and only with Options.ByUniqueID.
//   - There are no entries by permission set.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/mapper and
// pkg/server (doMapping, renderTemplate)

// eksMaps are the entries in force.
type eksMaps struct {
	roles, users, accounts map[string]*eksEntry
}

type eksEntry struct {
	section     string
	index, line int
	username    string
	groups      []string
}

func newEKSMaps() *eksMaps {
	return &eksMaps{roles: map[string]*eksEntry{}, users: map[string]*eksEntry{}, accounts: map[string]*eksEntry{}}
}

func (m *eksMaps) len() int { return len(m.roles) + len(m.users) + len(m.accounts) }

// form is which backend of aws-iam-authenticator a text is for.
type form int

const (
	fileForm form = iota
	awsAuthForm
	dynamicForm
)

// putEKS takes an entry as aws-iam-authenticator does, and reports whether anybody can
// match it.
func (b *builder) putEKS(in Entry) bool {
	e := &eksEntry{section: in.Section, index: in.Index, line: in.Line, username: in.Username, groups: in.Groups}
	if in.Account != "" || in.Section == mapAccounts {
		b.set.eks.accounts[in.Account] = e
		return identity.IsAccountID(in.Account)
	}
	to := b.set.eks.roles
	if in.Section == mapUsers {
		to = b.set.eks.users
	}
	k := strings.ToLower(in.ARN)
	canonical, ok := canonicalEKS(k)
	switch {
	case b.set.opts.ByUniqueID:
		if k = in.UserID; k == "" {
			b.note(0, NoUserID, true, "has no userid, and entries match by their userid")
			return false
		}
	case in.SSO != nil:
		b.note(in.lines.principal, BadSSO, true, "names a permission set, which EKS does not know; name the role")
		return false
	case b.form != awsAuthForm && in.ARN == "":
		b.note(0, BadARN, true, "has no arn")
		return false
	case b.form == fileForm && !ok:
		b.note(in.lines.principal, BadARN, true, "%s is not an arn that aws-iam-authenticator takes", quote(in.ARN))
		return false
	case b.form != awsAuthForm:
		k = canonical
	}
	if k == "" {
		return false
	}
	if prev := to[k]; prev != nil {
		b.note(0, Duplicate, false, "is for the same principal as %s[%d] line %d; this one counts", prev.section, prev.index, prev.line)
	}
	to[k] = e
	return b.set.opts.ByUniqueID || ok && !hasRolePath(k)
}

// hasRolePath reports whether a canonical ARN is a role's with its path. STS reports
// roles without.
func hasRolePath(arn string) bool {
	_, resource, _ := strings.Cut(arn, ":role/")
	return strings.Contains(arn, ":iam:") && strings.Contains(resource, "/")
}

// canonicalEKS is arn.Canonicalize of aws-iam-authenticator.
func canonicalEKS(arn string) (string, bool) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" {
		return "", false
	}
	if _, err := identity.LookupPartition(part[1]); err != nil {
		return "", false
	}
	name := strings.Split(part[5], "/")
	switch part[2] + "/" + name[0] {
	case "sts/federated-user", "iam/role", "iam/user", "iam/root":
		return arn, true
	case "sts/assumed-role":
		if len(name) < 3 {
			return "", false
		}
		return "arn:" + part[1] + ":iam::" + part[4] + ":role/" + strings.Join(name[1:len(name)-1], "/"), true
	}
	return "", false
}

func (s *Set) mapEKS(ctx context.Context, id identity.Identity) (Mapping, error) {
	k := strings.ToLower(id.Principal.Canonical().String())
	if s.opts.ByUniqueID {
		k = id.PrincipalID
	}
	e := s.eks.roles[k]
	if e == nil {
		e = s.eks.users[k]
	}
	if e == nil {
		return Mapping{}, notMapped(id)
	}
	m := Mapping{Source: sourceText(s.opts.Backend, e.section, e.index, e.line)}
	var err error
	if m.Username, err = s.renderEKS(ctx, e.username, m.Source, id); err != nil {
		return Mapping{}, err
	}
	for _, g := range e.groups {
		group, err := s.renderEKS(ctx, g, m.Source, id)
		if err != nil {
			return Mapping{}, err
		}
		m.Groups = append(m.Groups, group)
	}
	return s.allowed(m)
}

// mapEKSAccount gives the ARN, and heeds no reserved prefixes.
func (s *Set) mapEKSAccount(id identity.Identity) (Mapping, error) {
	e := s.eks.accounts[id.Principal.Account]
	if e == nil || id.Principal.Account == "" {
		return Mapping{}, notMapped(id)
	}
	return Mapping{Username: id.Principal.Canonical().String(), Source: sourceText(s.opts.Backend, e.section, e.index, e.line)}, nil
}

var eksInstanceID = regexp.MustCompile(`^i-(\w{8}|\w{17})$`)

func (s *Set) renderEKS(ctx context.Context, text, source string, id identity.Identity) (string, error) {
	session := id.Principal.SessionName
	if strings.Contains(text, "{{"+ec2PrivateDNSName+"}}") {
		if !eksInstanceID.MatchString(session) {
			return "", &RenderError{Source: source, Template: text, Reason: "the session's name is not an instance id"}
		}
		if s.opts.EC2PrivateDNSName == nil {
			return "", &RenderError{Source: source, Template: text, Reason: "EC2 lookups are not configured"}
		}
		dns, err := s.opts.EC2PrivateDNSName(ctx, session, id)
		if err != nil {
			return "", &LookupError{InstanceID: session, Err: err}
		}
		text = strings.ReplaceAll(text, "{{"+ec2PrivateDNSName+"}}", dns)
	}
	for _, p := range []struct{ name, value string }{
		{accountID, id.Principal.Account},
		{sessionName, strings.ReplaceAll(session, "@", "-")},
		{sessionNameRaw, session},
		{accessKeyID, id.AccessKeyID},
	} {
		text = strings.ReplaceAll(text, "{{"+p.name+"}}", p.value)
	}
	return text, nil
}

// eksRole and eksUser have the fields of config.RoleMapping and config.UserMapping.
type eksRole struct {
	ARN      string   `json:"rolearn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	UserID   string   `json:"userid,omitempty"`
}

type eksUser struct {
	ARN      string   `json:"userarn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	UserID   string   `json:"userid,omitempty"`
}

// decodeEKS reads a section's text with the same libraries, keeping what they keep
// where they fail.
func decodeEKS(section, text string) []Entry {
	if isBlank(text) {
		return nil
	}
	var out []Entry
	if section == mapAccounts {
		var accounts []string
		_ = yamlv2.Unmarshal([]byte(text), &accounts)
		for i, a := range accounts {
			out = append(out, Entry{Section: section, Index: i, Account: a})
		}
		return out
	}
	asJSON, err := yamlToJSON([]byte(text))
	if err != nil {
		return nil
	}
	if section == mapUsers {
		var users []eksUser
		_ = json.Unmarshal(asJSON, &users)
		for i, u := range users {
			out = append(out, Entry{Section: section, Index: i, ARN: u.ARN, Username: u.Username, Groups: u.Groups})
		}
		return out
	}
	var roles []eksRole
	_ = json.Unmarshal(asJSON, &roles)
	for i, r := range roles {
		out = append(out, Entry{Section: section, Index: i, ARN: r.ARN, Username: r.Username, Groups: r.Groups})
	}
	return out
}

// yamlToJSON is YAMLToJSON of sigs.k8s.io/yaml, which the client must not link.
func yamlToJSON(text []byte) ([]byte, error) {
	var v any
	if err := yamlv2.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	v, err := jsonable(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func jsonable(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = jsonable(v[i]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, value := range v {
			var name string
			switch k := k.(type) {
			case string, int, int64, bool:
				name = fmt.Sprint(k)
			case float64:
				switch name = strconv.FormatFloat(k, 'g', -1, 32); name {
				case "+Inf":
					name = ".inf"
				case "-Inf":
					name = "-.inf"
				case "NaN":
					name = ".nan"
				}
			default:
				return nil, fmt.Errorf("key %v is not a string", k)
			}
			if out[name], err = jsonable(value); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// isBlank reports whether a section's text is empty to aws-iam-authenticator.
func isBlank(text string) bool {
	switch strings.TrimSpace(text) {
	case "", "``", `""`, "''":
		return true
	}
	return false
}

// parseEKSAWSAuth puts the sections' texts in force as EKS does. The problems are those
// that the strict reader found in the same text, and what EKS alone trips over; Dropped
// says of each whether EKS drops the entry or the section.
func parseEKSAWSAuth(texts map[string]string, o Options, strict *Set) *Set {
	b := newBuilder(o, false)
	b.form = awsAuthForm
	b.set.texts = texts
	lines := map[string][]int{}
	type place struct {
		section string
		index   int
	}
	works, reported, size := map[place]bool{}, map[place]bool{}, map[string]int{}
	var listed []Listed
	nameless := map[place]bool{}
	for _, p := range strict.problems {
		at := place{p.Section, p.Index}
		reported[at] = true
		nameless[at] = nameless[at] || p.Code == NoUsername
	}
	for section, l := range strict.lines {
		lines[section] = l
	}
	for _, section := range sectionOrder {
		entries := decodeEKS(section, texts[section])
		size[section] = len(entries)
		for i, e := range entries {
			if i < len(lines[section]) {
				e.Line = lines[section][i]
			}
			b.at(section, i, e.Line)
			at := place{section, i}
			works[at] = b.putEKS(e)
			listed = append(listed, Listed{Entry: e, InEffect: works[at]})
			switch canonical, _ := canonicalEKS(strings.ToLower(e.ARN)); {
			case section == mapAccounts:
			case e.ARN == "" && !reported[at]:
				b.note(0, BadARN, true, "has no arn that EKS reads")
			case hasRolePath(canonical):
				b.note(0, RolePath, true, "%s has a path; EKS compares it with the role's ARN without path, and never finds it", quote(e.ARN))
			case e.ARN != "" && !works[at] && !reported[at]:
				b.note(0, BadARN, true, "%s is not an arn of a principal", quote(e.ARN))
			}
			if works[at] && section != mapAccounts {
				if e.Username == "" && !nameless[at] {
					b.note(0, NoUsername, false, "has no username that EKS reads as text; quote it")
				}
				if slices.Contains(e.Groups, "") {
					b.note(0, BadShape, false, "has a group that EKS does not read as text; quote it")
				}
			}
		}
	}
	for _, p := range strict.problems {
		if p.Code == Duplicate {
			continue // EKS has its own notion of it
		}
		if p.Section != "" {
			p.Dropped = p.Index >= 0 && !works[place{p.Section, p.Index}] || p.Index < 0 && size[p.Section] == 0
		}
		if p.Code == NoUsername {
			p.Message = "has no username; EKS lets the principal in with an empty one"
		}
		b.set.problems = append(b.set.problems, p)
	}
	for i := range listed {
		e := &listed[i]
		k := strings.ToLower(e.ARN)
		winner := b.set.eks.roles[k]
		if winner == nil {
			winner = b.set.eks.users[k]
		}
		if e.Section != mapAccounts {
			e.InEffect = e.InEffect && winner != nil && winner.section == e.Section && winner.index == e.Index
		}
	}
	b.set.listed = listed
	return b.finish()
}

// Listed is an entry of an aws-auth as EKS reads it.
type Listed struct {
	Entry
	// InEffect is false for an entry that EKS drops or never matches, and for one
	// behind which another for the same principal counts.
	InEffect bool
}

// Listed returns the entries of an aws-auth in the dialect EKS, in the order of the text;
// none in other Sets. The caller owns the slice.
func (s *Set) Listed() []Listed { return slices.Clone(s.listed) }
