package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/kubeapi"
)

// EKS is the part of *eks.Client that changes access entries.
type EKS interface {
	accessentry.API
	CreateAccessEntry(context.Context, *eks.CreateAccessEntryInput, ...func(*eks.Options)) (*eks.CreateAccessEntryOutput, error)
	UpdateAccessEntry(context.Context, *eks.UpdateAccessEntryInput, ...func(*eks.Options)) (*eks.UpdateAccessEntryOutput, error)
	DeleteAccessEntry(context.Context, *eks.DeleteAccessEntryInput, ...func(*eks.Options)) (*eks.DeleteAccessEntryOutput, error)
	AssociateAccessPolicy(context.Context, *eks.AssociateAccessPolicyInput, ...func(*eks.Options)) (*eks.AssociateAccessPolicyOutput, error)
	DisassociateAccessPolicy(context.Context, *eks.DisassociateAccessPolicyInput, ...func(*eks.Options)) (*eks.DisassociateAccessPolicyOutput, error)
	TagResource(context.Context, *eks.TagResourceInput, ...func(*eks.Options)) (*eks.TagResourceOutput, error)
}

// Target is what a plan is carried out on.
type Target struct {
	EKS  EKS
	Kube func(context.Context) (*kubeapi.Client, error)
}

// Step is one call of a plan.
type Step struct {
	Call string `json:"call"`
	Text string `json:"text"`

	run   func(context.Context, *Target) error
	model func(*Cluster) // makes of a cluster what the call does
}

// Plan is a change of a cluster's access: calls in order. Carried out again it does what is
// left.
type Plan struct {
	Steps []Step `json:"steps"`
	// Notes are what is worth knowing before.
	Notes []string `json:"notes"`
}

// RequestError says why a change cannot be made as it was asked for.
type RequestError struct{ Reason, Hint string }

func (e *RequestError) Error() string { return e.Reason }

// GrantRequest is what is to be granted to a principal.
type GrantRequest struct {
	// Principal is the ARN of a role or user, or the id of an account (in aws-auth only).
	Principal string
	// Policies are names or ARNs of access policies, Namespaces their scope; none means the
	// whole cluster.
	Policies, Namespaces []string
	Groups               []string
	// Username is empty for the one that EKS makes up, or that is there.
	Username string
	// To is SourceEntry or SourceAWSAuth. Empty means access entries where the
	// authentication mode has them.
	To Source
	// Until is when the access ends, written into a tag of the access entry; zero means
	// never. It is for entries that the grant makes, or whose end it moves: nothing else
	// would end.
	Until time.Time
}

// ExpiresTag is the tag of an access entry that holds when it ends, in RFC 3339.
const ExpiresTag = "ekskey.io/expires-at"

// expires returns when an entry ends, and whether it does. What is no time does not end it.
func expires(e accessentry.Entry) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, e.Tags[ExpiresTag])
	return t, err == nil
}

// CheckPrincipal refuses ARNs that cannot be given access, and says which one can.
func (c *Cluster) CheckPrincipal(text string) (identity.Principal, error) {
	p, err := identity.ParsePrincipal(text)
	if err != nil {
		return p, &RequestError{Reason: fmt.Sprintf("%q is not the ARN of a principal", text), Hint: "it looks like arn:aws:iam::111122223333:role/name"}
	}
	switch {
	case p.Kind == identity.KindAssumedRole:
		return p, &RequestError{Reason: text + " is one session of a role", Hint: "name the role: " + p.Canonical().String()}
	case p.Kind != identity.KindRole && p.Kind != identity.KindUser:
		return p, &RequestError{Reason: text + " is neither a role nor a user", Hint: "EKS gives access to IAM roles and users"}
	case strings.HasPrefix(p.Path, "/aws-service-role/"):
		return p, &RequestError{Reason: text + " is a service-linked role", Hint: "EKS gives no access to service-linked roles; name the role of the program"}
	case p.Partition != c.Partition():
		return p, &RequestError{Reason: fmt.Sprintf("%s is of partition %s, and the cluster is of %s", text, p.Partition, c.Partition()), Hint: "name a principal of the cluster's partition"}
	}
	return p, nil
}

// Grant plans what gives a principal access. Nothing is taken away; a plan without steps
// says that all is there.
func (c *Cluster) Grant(g GrantRequest) (Plan, error) {
	for _, n := range append([]string{g.Username}, g.Groups...) {
		if err := checkName(n); err != nil {
			return Plan{}, err
		}
	}
	to := g.To
	if to == "" {
		to = SourceAWSAuth
		if c.Mode.HasEntries() {
			to = SourceEntry
		}
	}
	if identity.IsAccountID(g.Principal) {
		if to == SourceEntry {
			return Plan{}, &RequestError{Reason: "an access entry is for one role or user, not for account " + g.Principal, Hint: "name its roles, or use --to aws-auth"}
		}
		return c.grantAuth(g, g.Principal, KindAccount)
	}
	p, err := c.CheckPrincipal(g.Principal)
	if err != nil {
		return Plan{}, err
	}
	switch {
	case to == SourceEntry && !c.Mode.HasEntries():
		return Plan{}, &RequestError{Reason: "the cluster's authentication mode is CONFIG_MAP, which has no access entries", Hint: "use --to aws-auth"}
	case to == SourceAWSAuth && !c.Mode.HasConfigMap():
		return Plan{}, &RequestError{Reason: "the cluster's authentication mode is API, in which aws-auth does not count", Hint: "use --to access-entry"}
	case to == SourceEntry:
		return c.grantEntry(g, p)
	}
	return c.grantAuth(g, authARN(p), kindOfPrincipal(p))
}

// maxName is longer than any name of a user or group, in bytes. A token is longer.
const maxName = 256

// checkName refuses what is no name of a user or group. It is not quoted: it may be a
// secret in the wrong place.
func checkName(name string) error {
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || !unicode.IsGraphic(r) }) {
		return &RequestError{Reason: fmt.Sprintf("the name of a user or group has control characters or more than %d bytes", maxName)}
	}
	return nil
}

func kindOfPrincipal(p identity.Principal) Kind {
	if p.Kind == identity.KindUser {
		return KindUser
	}
	return KindRole
}

func (c *Cluster) grantEntry(g GrantRequest, p identity.Principal) (Plan, error) {
	for _, group := range g.Groups {
		if strings.HasPrefix(group, "system:") {
			return Plan{}, &RequestError{Reason: "an access entry cannot have group " + group, Hint: "EKS refuses groups that begin with system:; use --policy " + clusterAdminPolicy + ", or a group of your own"}
		}
	}
	wanted, err := c.policies(g)
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	arn := p.String()
	if known, ok := c.Principals[arn]; ok && known.Exists && known.ARN != arn {
		plan.note("IAM's ARN of the %s is %s", p.Kind, known.ARN)
		arn = known.ARN
	} else if ok && !known.Exists {
		return plan, &RequestError{Reason: fmt.Sprintf("IAM has no %s %s", p.Kind, p.Name), Hint: "EKS refuses principals that do not exist"}
	}
	i := slices.IndexFunc(c.Entries, func(e accessentry.Entry) bool { return principalKey(e.PrincipalARN) == principalKey(arn) })
	if i < 0 {
		plan.add(c.createEntry(arn, g))
	} else {
		e := c.Entries[i]
		arn = e.PrincipalARN
		if !accessentry.TakesPolicies(e.Type) || e.Type != accessentry.Standard {
			return plan, &RequestError{Reason: fmt.Sprintf("the access entry of %s is of type %s, which gives nodes access", arn, e.Type), Hint: "people need a role of their own"}
		}
		if end, ends := expires(e); !g.Until.IsZero() && !ends {
			return plan, &RequestError{Reason: arn + " has an access entry that does not expire, which --for would end as a whole", Hint: "leave out --for, or use a role of its own"}
		} else if !g.Until.IsZero() && !end.Equal(g.Until) {
			plan.add(c.extend(e, g.Until))
		}
		groups := union(e.Groups, g.Groups)
		if len(groups) > len(e.Groups) || g.Username != "" && g.Username != e.Username {
			plan.add(c.updateEntry(e, groups, cmp.Or(g.Username, e.Username)))
		}
	}
	for _, w := range wanted {
		if i >= 0 {
			if at := slices.IndexFunc(c.Entries[i].Policies, func(a accesspolicy.Association) bool { return a.PolicyARN == w.PolicyARN }); at >= 0 {
				have := c.Entries[i].Policies[at].Scope
				if have.Type == accesspolicy.ScopeCluster {
					if w.Scope.Type != accesspolicy.ScopeCluster {
						plan.note("%s is associated with the whole cluster already", name(w.PolicyARN))
					}
					continue
				}
				if w.Scope.Type == accesspolicy.ScopeNamespace {
					all := union(have.Namespaces, w.Scope.Namespaces)
					if len(all) == len(have.Namespaces) {
						continue
					}
					w.Scope.Namespaces = all // associating replaces the scope
				}
			}
		}
		plan.add(c.associate(arn, w))
	}
	return plan, nil
}

// policies are the associations that a request is for.
func (c *Cluster) policies(g GrantRequest) ([]accesspolicy.Association, error) {
	scope := accesspolicy.Scope{Type: accesspolicy.ScopeCluster}
	if len(g.Namespaces) > 0 {
		scope = accesspolicy.Scope{Type: accesspolicy.ScopeNamespace, Namespaces: g.Namespaces}
	}
	if len(g.Policies) == 0 && len(g.Namespaces) > 0 {
		return nil, &RequestError{Reason: "a namespace is the scope of an access policy, and no policy is named", Hint: "add --policy"}
	}
	var out []accesspolicy.Association
	for _, text := range g.Policies {
		arn := text
		if !strings.HasPrefix(arn, "arn:") {
			arn = "arn:" + c.Partition() + ":eks::aws:cluster-access-policy/" + text
		}
		if _, errs := accesspolicy.NewSet(c.Partition(), []accesspolicy.Association{{PolicyARN: arn, Scope: scope}}); len(errs) > 0 {
			return nil, &RequestError{Reason: errs[0].Error(), Hint: "policies for people are " + strings.Join(PolicyNames(), ", ")}
		}
		out = append(out, accesspolicy.Association{PolicyARN: arn, Scope: scope})
	}
	return out, nil
}

func (c *Cluster) grantAuth(g GrantRequest, arn string, kind Kind) (Plan, error) {
	if !g.Until.IsZero() {
		return Plan{}, &RequestError{Reason: "aws-auth has no place for an end", Hint: "leave out --for, or use --to access-entry"}
	}
	if len(g.Policies) > 0 {
		return Plan{}, &RequestError{Reason: "aws-auth has no access policies", Hint: "use --groups with a group that a binding names, or --to access-entry"}
	}
	var plan Plan
	if c.Mode == ModeBoth && c.hasEntry(arn) {
		return plan, &RequestError{Reason: arn + " has an access entry, and then aws-auth does not count for it", Hint: "use --to access-entry"}
	}
	section := sectionOf(kind)
	item := authItem{section: section, arn: arn, username: g.Username, groups: g.Groups}
	set, err := c.authSet()
	if err != nil {
		return plan, err
	}
	for _, l := range set.Listed() {
		if l.Section == section && strings.EqualFold(l.ARN+l.Account, arn) && l.InEffect {
			item.username, item.groups = cmp.Or(g.Username, l.Username), union(l.Groups, g.Groups)
			if item.username == l.Username && len(item.groups) == len(l.Groups) {
				return plan, nil
			}
		}
	}
	if item.username == "" && kind != KindAccount {
		item.username = defaultUsername(arn)
	}
	plan.add(c.patchAuth(section, arn, "map "+arn+" to user "+item.username+inGroups(item.groups), &item))
	return plan, nil
}

// extend moves the end of an access entry.
func (c *Cluster) extend(e accessentry.Entry, until time.Time) Step {
	text := until.UTC().Format(time.RFC3339)
	return Step{
		Call: "eks:TagResource", Text: "let the access entry of " + e.PrincipalARN + " end at " + text,
		run: func(ctx context.Context, t *Target) error {
			_, err := t.EKS.TagResource(ctx, &eks.TagResourceInput{ResourceArn: &e.ARN, Tags: map[string]string{ExpiresTag: text}})
			return err
		},
		model: func(*Cluster) {},
	}
}

// Expire plans the end of all access entries whose time is over.
func (c *Cluster) Expire(now time.Time) Plan {
	var plan Plan
	for _, e := range c.Entries {
		if end, ends := expires(e); ends && !now.Before(end) {
			s := c.deleteEntry(e)
			s.Text += ", which ended at " + end.UTC().Format(time.RFC3339)
			plan.add(s)
		}
	}
	return plan
}

// defaultUsername is what EKS gives an access entry.
func defaultUsername(arn string) string {
	p, err := identity.ParsePrincipal(arn)
	if err != nil || p.Kind != identity.KindRole {
		return arn
	}
	return "arn:" + p.Partition + ":sts::" + p.Account + ":assumed-role/" + p.Name + "/{{SessionName}}"
}

func inGroups(groups []string) string {
	if len(groups) == 0 {
		return " without groups"
	}
	return " in " + strings.Join(groups, ", ")
}

// RevokeRequest is what is to be taken away from a principal.
type RevokeRequest struct {
	Principal string
	// Policies and Groups are taken away from its access entry. None of both means
	// everything, in every place.
	Policies, Groups []string
}

// Revoke plans what takes access away. aws-auth goes first: without the access entry in
// front of it, its entry would count again.
func (c *Cluster) Revoke(r RevokeRequest) (Plan, error) {
	var plan Plan
	if !identity.IsAccountID(r.Principal) {
		if p, err := identity.ParsePrincipal(r.Principal); err != nil || p.Kind == identity.KindAssumedRole {
			_, err := c.CheckPrincipal(r.Principal)
			return plan, err
		}
	}
	key := principalKey(r.Principal)
	i := slices.IndexFunc(c.Entries, func(e accessentry.Entry) bool { return principalKey(e.PrincipalARN) == key })
	if len(r.Policies)+len(r.Groups) > 0 {
		if i < 0 {
			return plan, &RequestError{Reason: r.Principal + " has no access entry", Hint: "leave out --policy and --groups to take everything away"}
		}
		e := c.Entries[i]
		wanted, err := c.policies(GrantRequest{Policies: r.Policies})
		if err != nil {
			return plan, err
		}
		for _, w := range wanted {
			if slices.ContainsFunc(e.Policies, func(a accesspolicy.Association) bool { return a.PolicyARN == w.PolicyARN }) {
				plan.add(c.disassociate(e.PrincipalARN, w.PolicyARN))
			}
		}
		left := slices.DeleteFunc(slices.Clone(e.Groups), func(g string) bool { return slices.Contains(r.Groups, g) })
		if len(left) < len(e.Groups) {
			plan.add(c.updateEntry(e, left, e.Username))
		}
		return plan, nil
	}
	set, err := c.authSet()
	if err != nil {
		return plan, err
	}
	planned := map[string]bool{}
	for _, l := range set.Listed() {
		text := l.ARN + l.Account
		if (l.Account != r.Principal || l.Account == "") && (l.ARN == "" || principalKey(l.ARN) != key) || planned[l.Section+strings.ToLower(text)] {
			continue
		}
		planned[l.Section+strings.ToLower(text)] = true
		plan.add(c.patchAuth(l.Section, text, "remove "+text+" from "+l.Section+" of aws-auth", nil))
	}
	if i >= 0 {
		plan.add(c.deleteEntry(c.Entries[i]))
	}
	return plan, nil
}

func (p *Plan) add(s Step) { p.Steps = append(p.Steps, s) }

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func name(policyARN string) string { return policyARN[strings.LastIndex(policyARN, "/")+1:] }

func (c *Cluster) createEntry(arn string, g GrantRequest) Step {
	text := "create an access entry for " + arn + inGroups(g.Groups)
	if g.Username != "" {
		text += " as user " + g.Username
	}
	var tags map[string]string
	if !g.Until.IsZero() {
		tags = map[string]string{ExpiresTag: g.Until.UTC().Format(time.RFC3339)}
		text += " until " + tags[ExpiresTag]
	}
	return Step{
		Call: "eks:CreateAccessEntry", Text: text,
		run: func(ctx context.Context, t *Target) error {
			in := &eks.CreateAccessEntryInput{ClusterName: &c.Name, PrincipalArn: &arn, KubernetesGroups: g.Groups, Tags: tags}
			if g.Username != "" {
				in.Username = &g.Username
			}
			_, err := t.EKS.CreateAccessEntry(ctx, in)
			return err
		},
		model: func(after *Cluster) {
			now := time.Now()
			after.Entries = append(after.Entries, accessentry.Entry{
				PrincipalARN: arn, Type: accessentry.Standard, Username: cmp.Or(g.Username, defaultUsername(arn)), Groups: g.Groups, CreatedAt: now, ModifiedAt: now,
			})
		},
	}
}

// updateEntry replaces the groups, which EKS does without a precondition: they are read
// again before and compared after.
func (c *Cluster) updateEntry(e accessentry.Entry, groups []string, username string) Step {
	text := "set the groups of " + e.PrincipalARN + " to " + cmp.Or(strings.Join(groups, ", "), "none")
	if username != e.Username {
		text += " and its user to " + username
	}
	return Step{
		Call: "eks:UpdateAccessEntry", Text: text,
		run: func(ctx context.Context, t *Target) error {
			reader := accessentry.New(accessentry.Config{EKS: t.EKS, Cluster: c.Name})
			now, err := reader.Get(ctx, e.PrincipalARN)
			if err != nil {
				return err
			}
			if !slices.Equal(now.Groups, e.Groups) || now.Username != e.Username {
				return &ChangedError{Object: "the access entry of " + e.PrincipalARN}
			}
			if _, err := t.EKS.UpdateAccessEntry(ctx, &eks.UpdateAccessEntryInput{ClusterName: &c.Name, PrincipalArn: &e.PrincipalARN, KubernetesGroups: groups, Username: &username}); err != nil {
				return err
			}
			want := slices.Sorted(slices.Values(groups))
			if now, err = reader.Get(ctx, e.PrincipalARN); err == nil && !slices.Equal(now.Groups, want) {
				err = &ChangedError{Object: "the access entry of " + e.PrincipalARN, After: true}
			}
			return err
		},
		model: func(after *Cluster) {
			for i := range after.Entries {
				if after.Entries[i].PrincipalARN == e.PrincipalARN {
					after.Entries[i].Groups, after.Entries[i].Username = groups, username
				}
			}
		},
	}
}

// ChangedError says that somebody else changed an object meanwhile.
type ChangedError struct {
	Object string
	After  bool // behind our change, not before it
}

func (e *ChangedError) Error() string {
	if e.After {
		return e.Object + " was changed by somebody else right after; look at it again"
	}
	return e.Object + " was changed by somebody else meanwhile; nothing was changed, plan again"
}

func (c *Cluster) deleteEntry(e accessentry.Entry) Step {
	text := "delete the access entry of " + e.PrincipalARN
	if len(e.Policies) > 0 {
		text += ", and with it its access policies"
	}
	return Step{
		Call: "eks:DeleteAccessEntry", Text: text,
		run: func(ctx context.Context, t *Target) error {
			_, err := t.EKS.DeleteAccessEntry(ctx, &eks.DeleteAccessEntryInput{ClusterName: &c.Name, PrincipalArn: &e.PrincipalARN})
			var gone *types.ResourceNotFoundException
			if errors.As(err, &gone) {
				return nil
			}
			return err
		},
		model: func(after *Cluster) {
			after.Entries = slices.DeleteFunc(after.Entries, func(x accessentry.Entry) bool { return x.PrincipalARN == e.PrincipalARN })
		},
	}
}

func (c *Cluster) associate(arn string, a accesspolicy.Association) Step {
	return Step{
		Call: "eks:AssociateAccessPolicy", Text: "associate " + name(a.PolicyARN) + " with " + arn + ", scope " + a.Scope.String(),
		run: func(ctx context.Context, t *Target) error {
			_, err := t.EKS.AssociateAccessPolicy(ctx, &eks.AssociateAccessPolicyInput{
				ClusterName: &c.Name, PrincipalArn: &arn, PolicyArn: &a.PolicyARN,
				AccessScope: &types.AccessScope{Type: types.AccessScopeType(a.Scope.Type), Namespaces: a.Scope.Namespaces},
			})
			return err
		},
		model: func(after *Cluster) {
			for i := range after.Entries {
				if e := &after.Entries[i]; e.PrincipalARN == arn {
					e.Policies = append(slices.DeleteFunc(slices.Clone(e.Policies), func(x accesspolicy.Association) bool { return x.PolicyARN == a.PolicyARN }), a)
				}
			}
		},
	}
}

func (c *Cluster) disassociate(arn, policy string) Step {
	return Step{
		Call: "eks:DisassociateAccessPolicy", Text: "disassociate " + name(policy) + " from " + arn,
		run: func(ctx context.Context, t *Target) error {
			_, err := t.EKS.DisassociateAccessPolicy(ctx, &eks.DisassociateAccessPolicyInput{ClusterName: &c.Name, PrincipalArn: &arn, PolicyArn: &policy})
			return err
		},
		model: func(after *Cluster) {
			for i := range after.Entries {
				if e := &after.Entries[i]; e.PrincipalARN == arn {
					e.Policies = slices.DeleteFunc(slices.Clone(e.Policies), func(x accesspolicy.Association) bool { return x.PolicyARN == policy })
				}
			}
		},
	}
}

// How often aws-auth is edited again after somebody else wrote it, and what stands in its
// managed fields.
const (
	authTries = 30
	manager   = "ekskey"
)

// patchAuth edits a section of aws-auth by compare-and-swap, after the API server has
// checked the change. It looks at it again at the end: who writes without a precondition
// may have undone it.
func (c *Cluster) patchAuth(section, arn, text string, item *authItem) Step {
	return Step{
		Call: "patch configmaps/aws-auth", Text: text,
		run: func(ctx context.Context, t *Target) error {
			kube, err := t.Kube(ctx)
			if err != nil {
				return err
			}
			for try := 1; ; try++ {
				done, err := c.patchOnce(ctx, kube, section, arn, item)
				if done || err != nil && !isConflict(err) {
					return err
				}
				if try == authTries {
					return cmp.Or(err, error(&ChangedError{Object: "aws-auth", After: true}))
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Duration(20+10*try) * time.Millisecond):
				}
			}
		},
		model: func(after *Cluster) {
			data := map[string]string{}
			if after.AWSAuth != nil {
				data = after.AWSAuth.Data
			}
			if edited, err := editAuth(data, c.Partition(), section, arn, item); err == nil {
				after.AWSAuth = &kubeapi.ConfigMap{Data: edited}
			}
		},
	}
}

// patchOnce reports whether aws-auth is as it should be.
func (c *Cluster) patchOnce(ctx context.Context, kube *kubeapi.Client, section, arn string, item *authItem) (bool, error) {
	now, err := readAWSAuth(ctx, func(context.Context) (*kubeapi.Client, error) { return kube, nil })
	if err != nil {
		return false, err
	}
	data := map[string]string{}
	if now != nil {
		data = now.Data
	}
	edited, err := editAuth(data, c.Partition(), section, arn, item)
	if err != nil {
		return true, err
	}
	if text, there := data[section]; there && text == edited[section] {
		return true, nil
	}
	for _, dry := range []bool{true, false} {
		w := kubeapi.Write{DryRun: dry, Manager: manager}
		if now == nil {
			_, err = kube.CreateConfigMap(ctx, authNamespace, authName, map[string]string{section: edited[section]}, w)
		} else {
			text := edited[section]
			_, err = kube.PatchConfigMap(ctx, authNamespace, authName, now.Metadata.ResourceVersion, map[string]*string{section: &text}, w)
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil // it is looked at again
}

func isConflict(err error) bool {
	var status *kubeapi.StatusError
	return errors.As(err, &status) && status.Code == http.StatusConflict
}

// After is the cluster as the plan makes it.
func (c *Cluster) After(p Plan) *Cluster {
	after := *c
	after.Entries = slices.Clone(c.Entries)
	after.Principals = maps.Clone(c.Principals)
	for _, s := range p.Steps {
		s.model(&after)
	}
	return &after
}

// StepError says which call of a plan failed. The calls before it are done.
type StepError struct {
	Step  Step
	Index int // from 0
	Err   error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("step %d (%s): %v", e.Index+1, e.Step.Call, e.Err)
}

// Unwrap returns the call's error.
func (e *StepError) Unwrap() error { return e.Err }

// Apply carries a plan out. done is told of each step that is. It fails with *StepError.
func (p Plan) Apply(ctx context.Context, t *Target, done func(Step)) error {
	for i, s := range p.Steps {
		if err := s.run(ctx, t); err != nil {
			return &StepError{Step: s, Index: i, Err: err}
		}
		done(s)
	}
	return nil
}

// PolicyNames are the names of access policies that people use, sorted.
func PolicyNames() []string {
	var out []string
	for _, p := range accesspolicy.All() {
		if p.Published() {
			out = append(out, p.Name())
		}
	}
	return out
}
