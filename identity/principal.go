package identity

import "strings"

// Kind is the kind of principal that an ARN names. The zero value is no kind.
type Kind int

// The kinds of principal that STS GetCallerIdentity reports, and KindRole, to which an
// assumed role becomes canonical.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
const (
	KindNone Kind = iota
	KindRoot
	KindUser
	KindRole
	KindAssumedRole
	KindFederatedUser
)

var kindNames = [...]string{"none", "root", "user", "role", "assumed-role", "federated-user"}

// String returns the name in an ARN's resource.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Principal is the ARN of an IAM or STS principal. The zero value is not a principal.
type Principal struct {
	Kind      Kind
	Partition string
	Account   string
	// Path begins and ends with a slash. It is empty for kinds without a path, and for
	// an assumed role: STS omits it.
	Path string
	// Name is the user, role or federated user name; empty for the root.
	Name string
	// SessionName is the session name of an assumed role, else empty.
	SessionName string
}

// ParsePrincipal parses the ARN of a principal. It fails with *ARNError.
func ParsePrincipal(s string) (Principal, error) {
	a, err := ParseARN(s)
	if err != nil {
		return Principal{}, err
	}
	return a.Principal()
}

// Principal returns the principal of the ARN: arn:p:iam::account:root, user/… or
// role/…, arn:p:sts::account:assumed-role/name/session or federated-user/name. It fails
// with *ARNError.
func (a ARN) Principal() (Principal, error) {
	fail := func(reason string) (Principal, error) {
		return Principal{}, &ARNError{Text: clip(a.String()), Reason: reason}
	}
	if a.Account == "" {
		return fail("names no account")
	}
	if a.Region != "" {
		return fail("has a region, which no principal has")
	}
	p := Principal{Partition: a.Partition, Account: a.Account}
	kind, rest, _ := strings.Cut(a.Resource, "/")
	switch a.Service + "/" + kind {
	case "iam/root":
		if a.Resource != "root" {
			return fail("has something behind root")
		}
		p.Kind = KindRoot
		return p, nil
	case "iam/user", "iam/role":
		p.Kind = KindUser
		if kind == "role" {
			p.Kind = KindRole
		}
		i := strings.LastIndexByte(rest, '/')
		p.Path, p.Name = "/"+rest[:i+1], rest[i+1:]
		if !validPath(p.Path) {
			return fail("has an empty part in its path")
		}
	case "sts/assumed-role":
		p.Kind = KindAssumedRole
		p.Name, p.SessionName, _ = strings.Cut(rest, "/")
		if !validName(p.SessionName) {
			return fail("has no session name, or one with characters that STS does not allow")
		}
	case "sts/federated-user":
		p.Kind, p.Name = KindFederatedUser, rest
	default:
		return fail("names no IAM user, role, root, assumed role or federated user")
	}
	if !validName(p.Name) {
		return fail("has no name, or one with characters that IAM does not allow")
	}
	return p, nil
}

// Canonical returns the principal without its session: an assumed role becomes the
// role. Other kinds are unchanged. The role has no path, because STS omits it; role
// names are unique in an account whatever their path.
func (p Principal) Canonical() Principal {
	if p.Kind == KindAssumedRole {
		p.Kind, p.SessionName, p.Path = KindRole, "", "/"
	}
	return p
}

// ARN returns the principal as an ARN.
func (p Principal) ARN() ARN {
	a := ARN{Partition: p.Partition, Service: "iam", Account: p.Account}
	switch p.Kind {
	case KindRoot:
		a.Resource = "root"
	case KindUser, KindRole:
		a.Resource = p.Kind.String() + p.Path + p.Name
	case KindAssumedRole:
		a.Service, a.Resource = "sts", "assumed-role/"+p.Name+"/"+p.SessionName
	case KindFederatedUser:
		a.Service, a.Resource = "sts", "federated-user/"+p.Name
	}
	return a
}

// String is the principal's ARN.
func (p Principal) String() string { return p.ARN().String() }

// validName accepts the characters that IAM and STS allow in user, role, session and
// federated user names: letters, digits and _+=,.@-
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func validName(s string) bool {
	return s != "" && len(s) <= 128 && onlyBytes(s, func(c byte) bool {
		return isLowerAlnum(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("_+=,.@-", c) >= 0
	})
}

func validPath(path string) bool { return path == "/" || !strings.Contains(path, "//") }
