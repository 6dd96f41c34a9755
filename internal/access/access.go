// Package access shows who can enter an EKS cluster, and how: access entries, aws-auth and
// the cluster's creator in one view, in the way that EKS combines them.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html,
// https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
package access

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/internal/mapping"
)

// Mode is a cluster's authentication mode.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessConfigResponse.html
type Mode string

// The modes. EKS reports none for clusters that are older than access entries; they are in
// ModeConfigMap.
const (
	ModeConfigMap Mode = "CONFIG_MAP"
	ModeBoth      Mode = "API_AND_CONFIG_MAP"
	ModeAPI       Mode = "API"
)

// HasEntries reports whether access entries count in the mode.
func (m Mode) HasEntries() bool { return m == ModeBoth || m == ModeAPI }

// HasConfigMap reports whether aws-auth counts in the mode.
func (m Mode) HasConfigMap() bool { return m != ModeAPI }

// Source is where a way in comes from.
type Source string

// The sources.
const (
	SourceEntry   Source = "access-entry"
	SourceAWSAuth Source = "aws-auth"
	SourceCreator Source = "creator"
)

// Kind is what kind of principal has a way in.
type Kind string

// The kinds.
const (
	KindRole      Kind = "role"
	KindUser      Kind = "user"
	KindRoot      Kind = "root"
	KindFederated Kind = "federated-user"
	KindAccount   Kind = "account"
	KindUnknown   Kind = "unknown"
)

// Policy is an access policy of an entry.
type Policy struct {
	ARN        string   `json:"arn"`
	Scope      string   `json:"scope"` // cluster or namespace
	Namespaces []string `json:"namespaces,omitempty"`
}

// Way is one way into a cluster.
type Way struct {
	// Principal is an ARN, an account's id, or empty for the creator, whom EKS does not
	// name.
	Principal string `json:"principal"`
	Kind      Kind   `json:"kind"`
	Source    Source `json:"source"`
	// Type is an access entry's type, such as STANDARD or EC2_LINUX.
	Type string `json:"type,omitempty"`
	// Username and Groups may have placeholders, as in "{{SessionName}}".
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	Policies []Policy `json:"policies"`
	// InEffect is false where the cluster's authentication mode, or another way in of the
	// same principal, makes this one not count.
	InEffect bool `json:"inEffect"`
	// CreatedAt and ModifiedAt are an access entry's.
	CreatedAt  *time.Time `json:"createdAt,omitempty"`
	ModifiedAt *time.Time `json:"modifiedAt,omitempty"`
	// Where is the section and line of an aws-auth's entry, as "mapRoles[2] line 14".
	Where string `json:"where,omitempty"`
	// Findings are codes of Lint.
	Findings []string `json:"findings"`

	section string // of aws-auth
	index   int
}

// Cluster is what is known of a cluster's access at one moment.
type Cluster struct {
	Name, ARN string
	Mode      Mode
	// CreatorIsAdmin is what EKS says of bootstrapClusterCreatorAdminPermissions; nil is
	// unknown.
	CreatorIsAdmin *bool
	// Entries are the access entries. EntriesErr is why they are not known.
	Entries    []accessentry.Entry
	EntriesErr error
	// AWSAuth is nil if the ConfigMap does not exist or is not known; then AWSAuthErr is
	// why.
	AWSAuth    *kubeapi.ConfigMap
	AWSAuthErr error
	// Principals are IAM's answers about principals, by ARN. Missing ones are not known;
	// IAMErr is why, if IAM was asked.
	Principals map[string]Principal
	IAMErr     error
}

// Principal is what IAM says of a user or role.
type Principal struct {
	// Exists is false if IAM has no such principal.
	Exists bool
	// ARN has the path.
	ARN       string
	CreatedAt time.Time
}

// Partition is that of the cluster's ARN.
func (c *Cluster) Partition() string {
	if arn, err := identity.ParseARN(c.ARN); err == nil {
		return arn.Partition
	}
	return "aws"
}

// Account is that of the cluster's ARN, empty if it is not known.
func (c *Cluster) Account() string {
	if arn, err := identity.ParseARN(c.ARN); err == nil {
		return arn.Account
	}
	return ""
}

// authSet reads aws-auth as EKS does. It is an empty Set where there is none. The error
// is a *mapping.TextError.
func (c *Cluster) authSet() (*mapping.Set, error) {
	o := mapping.Options{Backend: string(SourceAWSAuth), Dialect: mapping.EKS, Partition: c.Partition()}
	if c.AWSAuth == nil {
		return mapping.NewSet(nil, o)
	}
	return mapping.ParseAWSAuthData(c.AWSAuth.Data, o)
}

// Ways returns all ways in: access entries by principal, aws-auth in its order, and the
// creator where the mode implies one. Findings are filled in. It fails with
// *mapping.TextError.
func (c *Cluster) Ways() ([]Way, error) {
	var ways []Way
	named := map[string]bool{}
	for _, e := range c.Entries {
		w := entryWay(e)
		w.InEffect = c.Mode.HasEntries()
		ways = append(ways, w)
		if w.InEffect {
			named[principalKey(e.PrincipalARN)] = true
		}
	}
	slices.SortStableFunc(ways, func(a, b Way) int { return strings.Compare(a.Principal, b.Principal) })
	set, err := c.authSet()
	if err != nil {
		return nil, err
	}
	for _, l := range set.Listed() {
		w := Way{
			Principal: cmp.Or(l.ARN, l.Account), Kind: kindOf(l.Entry), Source: SourceAWSAuth, Username: l.Username, Groups: list(l.Groups),
			Policies: []Policy{}, Where: where(l.Section, l.Index, l.Line), section: l.Section, index: l.Index,
		}
		// Of a principal in both, the access entry alone counts.
		w.InEffect = c.Mode.HasConfigMap() && l.InEffect && !named[principalKey(l.ARN)]
		ways = append(ways, w)
	}
	if c.Mode != ModeBoth && c.Mode.HasConfigMap() && (c.CreatorIsAdmin == nil || *c.CreatorIsAdmin) {
		ways = append(ways, Way{
			Kind: KindUnknown, Source: SourceCreator, Username: "kubernetes-admin", Groups: []string{masters}, Policies: []Policy{},
			InEffect: true,
		})
	}
	c.lint(ways, set)
	return ways, nil
}

const masters = "system:masters"

func entryWay(e accessentry.Entry) Way {
	w := Way{
		Principal: e.PrincipalARN, Kind: kindOf(mapping.Entry{ARN: e.PrincipalARN}), Source: SourceEntry, Type: e.Type,
		Username: e.Username, Groups: list(e.Groups), Policies: []Policy{},
	}
	if !e.CreatedAt.IsZero() {
		w.CreatedAt, w.ModifiedAt = &e.CreatedAt, &e.ModifiedAt
	}
	for _, p := range e.Policies {
		w.Policies = append(w.Policies, Policy{ARN: p.PolicyARN, Scope: string(p.Scope.Type), Namespaces: p.Scope.Namespaces})
	}
	return w
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func kindOf(e mapping.Entry) Kind {
	if e.Account != "" {
		return KindAccount
	}
	p, err := identity.ParsePrincipal(e.ARN)
	if err != nil {
		return KindUnknown
	}
	switch p.Canonical().Kind {
	case identity.KindRole:
		return KindRole
	case identity.KindUser:
		return KindUser
	case identity.KindRoot:
		return KindRoot
	case identity.KindFederatedUser:
		return KindFederated
	}
	return KindUnknown
}

// principalKey is equal for two ARNs that IAM can have for one principal only: a role's
// name is unique in its account, whatever its path and case.
func principalKey(arn string) string {
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		return arn
	}
	p = p.Canonical()
	if p.Kind == identity.KindRole || p.Kind == identity.KindUser {
		return strings.ToLower(strings.Join([]string{p.Partition, p.Account, p.Kind.String(), p.Name}, " "))
	}
	return arn
}

// associations are a way's policies for their evaluation.
func (w Way) associations() []accesspolicy.Association {
	var out []accesspolicy.Association
	for _, p := range w.Policies {
		out = append(out, accesspolicy.Association{
			PolicyARN: p.ARN, Scope: accesspolicy.Scope{Type: accesspolicy.ScopeType(p.Scope), Namespaces: p.Namespaces},
		})
	}
	return out
}
