package mapping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ekskey/ekskey/identity"
)

// The placeholders of aws-iam-authenticator. SessionName is the session name with -
// instead of @, so that an e-mail address can be part of a name; a@b and a-b become the
// same, which SessionNameRaw avoids.
//
// Whoever may assume a role chooses the session name, unless a trust policy restricts
// it: a session named i-0123456789abcdef0 does not prove to be that instance. Map a
// node's role only if nobody but EC2 can assume it.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator#full-configuration-format
const (
	accountID         = "AccountID"
	sessionName       = "SessionName"
	sessionNameRaw    = "SessionNameRaw"
	ec2PrivateDNSName = "EC2PrivateDNSName"
	accessKeyID       = "AccessKeyID"
)

var placeholders = [...]string{accountID, sessionName, sessionNameRaw, ec2PrivateDNSName, accessKeyID}

// maxName bounds a username or group, in bytes. Kubernetes has no limit; this one is
// longer than any canonical ARN (a path has at most 512 characters), so that
// mapAccounts always works.
const maxName = 1024

// RenderError reports a template that cannot be rendered for an identity. It is final.
type RenderError struct {
	// Source is the entry.
	Source string
	// Template is the text of the entry.
	Template string
	Reason   string
}

func (e *RenderError) Error() string {
	return fmt.Sprintf("%s: rendering %s: %s", e.Source, quote(e.Template), e.Reason)
}

// LookupError says that EC2 did not tell an instance's name. It is temporary, unless its
// cause says otherwise.
type LookupError struct {
	InstanceID string
	Err        error
}

func (e *LookupError) Error() string {
	return fmt.Sprintf("looking up the private DNS name of instance %s: %v", e.InstanceID, e.Err)
}

func (e *LookupError) Unwrap() error { return e.Err }

// Temporary reports whether the next try may succeed.
func (e *LookupError) Temporary() bool {
	var t interface{ Temporary() bool }
	return !errors.As(e.Err, &t) || t.Temporary()
}

// template is text with placeholders, cut up once when it is loaded. Rendering
// goes over the parts once, so what a placeholder yields is never read again.
type template struct {
	text  string
	parts []part
}

// part is literal text, or a placeholder if name is set.
type part struct{ literal, name string }

// parseTemplate parses and checks a text. It refuses any double brace that is not one
// of the placeholders: other servers use it as literal text, and the user is then named
// "{{Sessionname}}".
func parseTemplate(text string) (template, error) {
	t := template{text: text}
	rest := text
	for {
		before, after, found := strings.Cut(rest, "{{")
		if strings.Contains(before, "}}") {
			return template{}, fmt.Errorf("%s has }} without {{", quote(text))
		}
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return template{}, fmt.Errorf("%s has {{ without }}", quote(text))
		}
		if !slices.Contains(placeholders[:], name) {
			return template{}, fmt.Errorf("%s has unknown placeholder %s: valid ones are {{%s}}", quote(text), quote("{{"+name+"}}"), strings.Join(placeholders[:], "}}, {{"))
		}
		t.parts = append(t.parts, part{name: name})
		rest = tail
	}
	var sample strings.Builder
	for _, p := range t.parts {
		sample.WriteString(p.literal)
		if p.name != "" {
			sample.WriteByte('x')
		}
	}
	if reason := checkName(sample.String()); reason != "" {
		return template{}, fmt.Errorf("%s %s", quote(text), reason)
	}
	return t, nil
}

func (t template) uses(names ...string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" && slices.Contains(names, p.name) })
}

// freeSession reports whether the template has a session name without a colon before
// it. STS allows no colon in a session name, so after a literal colon it has a name
// space of its own. Without one, whoever may assume the role can choose somebody else's
// username ("kubernetes-admin", "alice") or, in a group, join any group; but not
// "system:admin", which needs a colon.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// (RoleSessionName); EKS demands the colon of access entries.
func (t template) freeSession() bool {
	colon := false
	for _, p := range t.parts {
		if strings.Contains(p.literal, ":") {
			colon = true
		}
		if !colon && (p.name == sessionName || p.name == sessionNameRaw) {
			return true
		}
	}
	return false
}

// freeSystem reports whether a session's name stands right behind "system:". Whoever
// may assume the role can then be "system:kube-scheduler", or in "system:masters".
func (t template) freeSystem() bool {
	return len(t.parts) > 1 && t.parts[0].literal == "system:" &&
		(t.parts[1].name == sessionName || t.parts[1].name == sessionNameRaw)
}

// renderer holds what placeholders stand for in one mapping.
type renderer struct {
	id     identity.Identity
	lookup Lookup
	source string
	dns    string
}

func (r *renderer) render(ctx context.Context, t template) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", &RenderError{Source: r.source, Template: t.text, Reason: fmt.Sprintf(format, args...)}
	}
	var b strings.Builder
	for _, p := range t.parts {
		value := p.literal
		switch p.name {
		case accountID:
			value = r.id.Principal.Account
		case sessionName:
			value = strings.ReplaceAll(r.id.Principal.SessionName, "@", "-")
		case sessionNameRaw:
			value = r.id.Principal.SessionName
		case accessKeyID:
			value = r.id.AccessKeyID
		case ec2PrivateDNSName:
			session := r.id.Principal.SessionName
			if !isInstanceID(session) {
				return fail("{{%s}} needs a session named after an EC2 instance, not %s", p.name, quote(session))
			}
			if r.lookup == nil {
				return fail("{{%s}} needs to ask EC2, which is not configured", p.name)
			}
			if r.dns == "" {
				dns, err := r.lookup(ctx, session, r.id)
				if err != nil {
					return "", &LookupError{InstanceID: session, Err: err}
				}
				if !isDNSName(dns) {
					return fail("EC2 returned %s, which is not a DNS name, for instance %s", quote(dns), session)
				}
				r.dns = dns
			}
			value = r.dns
		}
		if p.name != "" && value == "" {
			return fail("the identity has nothing for {{%s}}", p.name)
		}
		b.WriteString(value)
	}
	if reason := checkName(b.String()); reason != "" {
		return fail("the result %s %s", quote(b.String()), reason)
	}
	return b.String(), nil
}

// checkName returns what is wrong with a username or group, or "". Invisible characters
// are refused so that two names that look the same in an audit log are the same.
func checkName(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxName:
		return fmt.Sprintf("is longer than %d bytes", maxName)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space"
	}
	for _, c := range s {
		if unicode.In(c, unicode.C, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || c == '\u2800' {
			return fmt.Sprintf("has the control or invisible character %U", c)
		}
	}
	return ""
}

// isInstanceID accepts i- and 8 or 17 lower-case hexadecimal digits.
//
// Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
func isInstanceID(s string) bool {
	hex, ok := strings.CutPrefix(s, "i-")
	return ok && (len(hex) == 8 || len(hex) == 17) && isLowerHex(hex)
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func isDNSName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 253
}
