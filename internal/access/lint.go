package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/rbac"
)

// Level says how much a finding matters.
type Level string

// The levels. An error keeps somebody out, or lets more people in than is meant.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNote    Level = "note"
)

// Finding is something odd about who has access.
type Finding struct {
	Code  string `json:"code"`
	Level Level  `json:"level"`
	// Principal is whom it is about; empty for a section or the whole.
	Principal string `json:"principal,omitempty"`
	Source    Source `json:"source"`
	// Where is the section and line of an aws-auth.
	Where   string `json:"where,omitempty"`
	Message string `json:"message"`
	// Fix is what to do about it.
	Fix string `json:"fix,omitempty"`
}

// The codes of findings besides those of package mapping. Codes are never reused.
const (
	Shadowed         = "shadowed"          // an aws-auth entry of a principal with an access entry
	IgnoredByMode    = "ignored-by-mode"   // a way in that the authentication mode makes not count
	SystemMasters    = "system-masters"    // a group that bypasses authorization
	SystemGroup      = "system-group"      // another group of Kubernetes' own
	NoPermissions    = "no-permissions"    // an access entry with neither groups nor policies
	DeadPrincipal    = "dead-principal"    // IAM has no such user or role
	RemadePrincipal  = "remade-principal"  // the user or role was made after its access entry
	AccountWide      = "account-wide"      // everybody of an account
	IAMUser          = "iam-user"          // a user with long-lived keys where people come by SSO
	UnboundGroup     = "unbound-group"     // a group that no binding names
	UnboundUser      = "unbound-user"      // a username that no binding names, without groups
	UnknownPolicy    = "unknown-policy"    // a policy that does not exist
	WholeClusterRole = "cluster-admin"     // everything is allowed
	WrongNodeGroups  = "wrong-node-groups" // a node's mapping without system:nodes
)

// nodeGroups are groups of Kubernetes' own that nodes have.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
var nodeGroups = []string{"system:bootstrappers", "system:nodes", "system:node-proxier", "eks:kube-proxy-windows"}

// Lint returns all findings about the ways into the cluster. RBAC may be nil; then what
// depends on it is left out. It fails with *mapping.TextError.
func (c *Cluster) Lint(policy *rbac.Policy) ([]Finding, error) {
	ways, err := c.Ways()
	if err != nil {
		return nil, err
	}
	set, err := c.authSet()
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, p := range set.Problems() {
		out = append(out, problemFinding(p, ways))
	}
	sso := slices.ContainsFunc(ways, func(w Way) bool { return strings.Contains(w.Principal, "AWSReservedSSO_") })
	for _, w := range ways {
		out = append(out, c.findings(w, sso, policy)...)
	}
	return out, nil
}

// lint fills in the codes that need nothing but the cluster.
func (c *Cluster) lint(ways []Way, set *mapping.Set) {
	codes := map[int][]string{}
	for _, p := range set.Problems() {
		for i, w := range ways {
			if w.Source == SourceAWSAuth && w.section == p.Section && w.index == p.Index {
				codes[i] = append(codes[i], string(p.Code))
			}
		}
	}
	sso := slices.ContainsFunc(ways, func(w Way) bool { return strings.Contains(w.Principal, "AWSReservedSSO_") })
	for i := range ways {
		for _, f := range c.findings(ways[i], sso, nil) {
			codes[i] = append(codes[i], f.Code)
		}
		ways[i].Findings = list(slices.Compact(codes[i]))
	}
}

func problemFinding(p mapping.Problem, ways []Way) Finding {
	f := Finding{Code: string(p.Code), Level: LevelWarning, Source: SourceAWSAuth, Where: where(p.Section, p.Index, p.Line), Message: p.Message}
	if p.Dropped {
		f.Level = LevelError
	}
	for _, w := range ways {
		if w.Source == SourceAWSAuth && w.section == p.Section && w.index == p.Index {
			f.Principal = w.Principal
		}
	}
	return f
}

func where(section string, index, line int) string {
	s := section
	if index >= 0 {
		s += fmt.Sprintf("[%d]", index)
	}
	if line > 0 {
		s += fmt.Sprintf(" line %d", line)
	}
	return strings.TrimSpace(s)
}

// findings are those about one way in.
func (c *Cluster) findings(w Way, sso bool, policy *rbac.Policy) []Finding {
	if w.Source == SourceCreator || madeByEKS(w) {
		return nil
	}
	var out []Finding
	add := func(code string, level Level, fix, format string, args ...any) {
		out = append(out, Finding{
			Code: code, Level: level, Principal: w.Principal, Source: w.Source, Where: w.Where, Message: fmt.Sprintf(format, args...), Fix: fix,
		})
	}
	switch {
	case w.Source == SourceEntry && !c.Mode.HasEntries():
		add(IgnoredByMode, LevelWarning, "change the authentication mode to "+string(ModeBoth), "access entries do not count in the authentication mode %s", ModeConfigMap)
	case w.Source == SourceAWSAuth && !c.Mode.HasConfigMap():
		add(IgnoredByMode, LevelNote, "delete the ConfigMap aws-auth", "aws-auth does not count in the authentication mode %s", c.Mode)
	case w.Source == SourceAWSAuth && c.Mode == ModeBoth && c.hasEntry(w.Principal):
		add(Shadowed, LevelWarning, "remove the entry from aws-auth", "an access entry of the same principal counts, and this entry does not")
	}
	c.principalFindings(w, sso, add)
	isNode := slices.ContainsFunc(w.Groups, func(g string) bool { return slices.Contains(nodeGroups, g) })
	for _, g := range w.Groups {
		switch {
		case g == masters:
			add(SystemMasters, LevelWarning, "use a group that is bound to cluster-admin, or AmazonEKSClusterAdminPolicy", "group %s bypasses authorization: nothing limits it, and no policy of the cluster sees it", masters)
		case strings.HasPrefix(g, "system:") && !slices.Contains(nodeGroups, g):
			add(SystemGroup, LevelWarning, "use a group of your own", "group %s is one of Kubernetes' own", g)
		case policy != nil && !strings.Contains(g, "{{") && !slices.Contains(nodeGroups, g) && !policy.Names(rbac.Group, g):
			add(UnboundGroup, LevelWarning, "bind the group: kubectl create clusterrolebinding "+g+" --clusterrole view --group "+g, "no binding names group %s, so it gives nothing", g)
		}
	}
	if policy != nil && len(w.Groups) == 0 && len(w.Policies) == 0 && w.Kind != KindAccount && !strings.Contains(w.Username, "{{") && !policy.Names(rbac.User, w.Username) {
		add(UnboundUser, LevelWarning, "add a group or an access policy", "no binding names user %s, who has no groups", w.Username)
	}
	if isNode && !slices.Contains(w.Groups, "system:nodes") {
		add(WrongNodeGroups, LevelError, "add the group system:nodes", "a node needs group system:nodes")
	}
	if w.Source == SourceEntry && w.Type == accessentry.Standard && len(w.Groups) == 0 && len(w.Policies) == 0 {
		add(NoPermissions, LevelWarning, "associate an access policy, or add groups", "the access entry has neither groups nor access policies")
	}
	for _, e := range policyErrors(c.Partition(), w) {
		add(UnknownPolicy, LevelError, "", "%v", e)
	}
	if isClusterAdmin(w) {
		add(WholeClusterRole, LevelNote, "", "AmazonEKSClusterAdminPolicy allows everything in the whole cluster")
	}
	return out
}

func (c *Cluster) principalFindings(w Way, sso bool, add func(code string, level Level, fix, format string, args ...any)) {
	if w.Kind == KindAccount {
		add(AccountWide, LevelWarning, "map the roles and users that need access", "every user and role of account %s authenticates, as its ARN and without groups", w.Principal)
		return
	}
	if w.Kind == KindUser && sso {
		add(IAMUser, LevelNote, "let the person come by IAM Identity Center", "an IAM user has long-lived keys; other people come by IAM Identity Center")
	}
	p, known := c.Principals[w.Principal]
	switch {
	case !known:
	case !p.Exists:
		add(DeadPrincipal, LevelWarning, "remove it", "IAM has no such %s", w.Kind)
	case w.Source == SourceEntry && w.CreatedAt != nil && p.CreatedAt.After(*w.CreatedAt):
		add(RemadePrincipal, LevelError, "delete the access entry, and create it again",
			"the %s was created on %s, after its access entry (%s): it is another one, and is refused", w.Kind, p.CreatedAt.Format("2006-01-02"), w.CreatedAt.Format("2006-01-02"))
	}
}

func (c *Cluster) hasEntry(principal string) bool {
	key := principalKey(principal)
	return slices.ContainsFunc(c.Entries, func(e accessentry.Entry) bool { return principalKey(e.PrincipalARN) == key })
}

// madeByEKS reports whether EKS made an access entry itself: those of nodes, of its own
// service-linked roles, and of its capabilities.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
func madeByEKS(w Way) bool {
	if w.Source != SourceEntry {
		return false
	}
	p, err := identity.ParsePrincipal(w.Principal)
	return w.Type != accessentry.Standard || err == nil && strings.HasPrefix(p.Path, "/aws-service-role/")
}

const clusterAdminPolicy = "AmazonEKSClusterAdminPolicy"

// isClusterAdmin reports whether a way in allows everything by itself, RBAC aside.
func isClusterAdmin(w Way) bool {
	return slices.ContainsFunc(w.Policies, func(p Policy) bool {
		return p.Scope == "cluster" && strings.HasSuffix(p.ARN, "/"+clusterAdminPolicy)
	})
}

// compareFindings orders by level, then by place.
func compareFindings(a, b Finding) int {
	rank := map[Level]int{LevelError: 0, LevelWarning: 1, LevelNote: 2}
	return cmp.Or(cmp.Compare(rank[a.Level], rank[b.Level]), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Code, b.Code))
}

// SortFindings sorts findings by level, then by source, place and principal.
func SortFindings(f []Finding) { slices.SortStableFunc(f, compareFindings) }
