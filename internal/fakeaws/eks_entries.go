package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The types of access entries
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html).
const (
	typeStandard = "STANDARD"
	typeAutoNode = "EC2"
	typeLinux    = "EC2_LINUX"
	typeWindows  = "EC2_WINDOWS"
	typeFargate  = "FARGATE_LINUX"
)

const perInstance, perSession = "system:node:{{EC2PrivateDNSName}}", "system:node:{{SessionName}}"

// nodeTypes are the types for nodes, each with the username and groups that EKS
// gives. The user guide has the usernames; the groups of EC2_LINUX are in the
// example of DescribeAccessEntry, those of the others are what aws-auth has for
// the same nodes (https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html).
var nodeTypes = map[string]struct {
	username string
	groups   []string
}{
	typeAutoNode:     {perInstance, []string{"system:nodes"}},
	typeLinux:        {perInstance, []string{"system:nodes"}},
	typeWindows:      {perInstance, []string{"eks:kube-proxy-windows", "system:nodes"}},
	typeFargate:      {perSession, []string{"system:node-proxier", "system:nodes"}},
	"HYBRID_LINUX":   {perSession, []string{"system:nodes"}},
	"HYPERPOD_LINUX": {perSession, []string{"system:nodes"}},
}

// reserved are the beginnings that usernames and groups may not have.
var reserved = []string{"system:", "eks:", "aws:", "amazon:", "iam:"}

// accessEntry is an access entry of a cluster. It is used under the server's lock.
type accessEntry struct {
	principalARN string
	principalID  string // pinned when the entry is made, and never answered
	arn, kind    string
	username     string
	groups       []string
	tags         map[string]string
	created      time.Time
	modified     time.Time
	policies     []*policyAssociation
	token, body  string // of the request that made it
}

// newEntry makes an entry for a principal, with the username and groups that its
// type brings.
func (s *Server) newEntry(k *cluster, p *principal, kind string, at time.Time) *accessEntry {
	e := &accessEntry{
		principalARN: p.arn(), principalID: p.id, kind: kind, groups: []string{}, tags: map[string]string{}, created: at, modified: at,
		arn: fmt.Sprintf("%s%s/%s", k.entriesARN(), identityPath(p.kind, p.account.id, p.name), newRequestID()),
	}
	switch node, ok := nodeTypes[kind]; {
	case ok:
		e.username, e.groups = node.username, slices.Clone(node.groups)
	case p.kind == kindRole:
		e.username = "arn:" + p.account.partition + ":sts::" + p.account.id + ":assumed-role/" + p.name + "/{{SessionName}}"
	default:
		e.username = p.arn()
	}
	k.entries[e.principalARN] = e
	return e
}

// identityPath is how an access entry's ARN names its principal.
func identityPath(kind, account, name string) string { return kind + "/" + account + "/" + name }

func (k *cluster) entriesARN() string {
	return "arn:" + partitionOf(k.Region) + ":eks:" + k.Region + ":" + k.Account + ":access-entry/" + k.Name + "/"
}

// addOwnEntries makes the entries that EKS makes by itself where access entries
// are on: the creator's, and those of node groups and Fargate profiles. A creator
// that is gone, or was made again, has none.
func (s *Server) addOwnEntries(k *cluster, at time.Time) {
	if creator := s.byARN[k.CreatorARN]; creator != nil && creator.id == k.creatorID && !k.NoCreatorAdmin && k.entries[k.CreatorARN] == nil {
		e := s.newEntry(k, creator, typeStandard, at)
		e.policies = []*policyAssociation{{arn: accessPolicyARN(k, "AmazonEKSClusterAdminPolicy"), scope: accessScope{Type: "cluster"}, associated: at, modified: at}}
	}
	for _, node := range k.nodes {
		if role := s.byARN[node.RoleARN]; role != nil && k.entries[node.RoleARN] == nil {
			s.newEntry(k, role, node.kind, at)
		}
	}
}

// describe gives the entry the shape of EKS's API
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_AccessEntry.html).
func (e *accessEntry) describe(k *cluster) object {
	return object{{"accessEntry", object{
		{"clusterName", k.Name}, {"principalArn", e.principalARN}, {"kubernetesGroups", e.groups}, {"accessEntryArn", e.arn},
		{"createdAt", preciseTime(e.created)}, {"modifiedAt", preciseTime(e.modified)}, {"tags", maps.Clone(e.tags)}, {"username", e.username}, {"type", e.kind},
	}}}
}

// SetLag sets how long EKS does not know a new principal of IAM's or a new access
// entry, because both are eventually consistent: until then it answers as if they did
// not exist. Zero, the default, means that it knows them at once.
func (s *Server) SetLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = d
}

func (s *Server) lags(made, now time.Time) bool { return s.lag > 0 && now.Before(made.Add(s.lag)) }

// entryCluster finds the cluster of a call on access entries. Its authentication mode
// must include them.
func (s *Server) entryCluster(c *call, who *credential) (*cluster, *apiError) {
	k, err := s.findCluster(c, who)
	if err == nil && k.AuthenticationMode == modeConfigMap {
		err = entriesOff()
	}
	return k, err
}

// entriesOff is the answer in CONFIG_MAP
// (https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3048).
func entriesOff() *apiError {
	return &apiError{"InvalidRequestException", "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.", http.StatusBadRequest}
}

// onEntry is a handler for a call on one access entry, which the path names.
func onEntry(handle func(*accessEntry, *Server, *call, *cluster) (any, *apiError)) handler {
	return func(s *Server, c *call, who *credential) (any, *apiError) {
		arn := c.labels[1]
		name, err := parsePrincipalARN(arn)
		if err != nil {
			return nil, err
		}
		var e *accessEntry
		if k := s.clusters[clusterKey{who.owner.account.id, c.auth.region, c.labels[0]}]; k != nil {
			e = k.entries[arn]
		}
		resource := c.eksARN(who, "access-entry/"+c.labels[0]+"/"+identityPath(name.kind, name.account, name.name)+"/*")
		extra := map[string]string{"eks:principalarn": arn}
		if e != nil {
			resource, extra["eks:accessentrytype"] = e.arn, e.kind
		}
		if err := c.authorize(who, c.action, resource, "", c.entryContext(extra)); err != nil {
			return nil, err
		}
		k, err := s.entryCluster(c, who)
		if err != nil {
			return nil, err
		}
		if e = k.entries[arn]; e == nil || s.lags(e.created, c.at) {
			// https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3024
			return nil, notFound("The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
		}
		return handle(e, s, c, k)
	}
}

// entryContext adds what conditions may ask about the request's own parameters.
func (c *call) entryContext(extra map[string]string) map[string]string {
	var body struct {
		Username, PolicyARN string
		AccessScope         accessScope
	}
	_ = c.readJSON(&body) // what cannot be read is refused later
	if len(c.labels) > 2 {
		body.PolicyARN = c.labels[2]
	}
	for key, value := range map[string]string{"eks:username": body.Username, "eks:policyarn": body.PolicyARN, "eks:accessscope": body.AccessScope.Type} {
		if value != "" {
			extra[key] = value
		}
	}
	return extra
}

func (e *accessEntry) described(_ *Server, _ *call, k *cluster) (any, *apiError) {
	return e.describe(k), nil
}

func (e *accessEntry) remove(_ *Server, _ *call, k *cluster) (any, *apiError) {
	delete(k.entries, e.principalARN)
	return object{}, nil
}

// update replaces what the request names: the group list whole, and nothing that is
// left out (https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAccessEntry.html).
func (e *accessEntry) update(_ *Server, c *call, k *cluster) (any, *apiError) {
	var in entryRequest
	if err := c.readJSON(&in); err != nil {
		return nil, err
	}
	if err := in.check(e.kind); err != nil {
		return nil, err
	}
	if in.KubernetesGroups != nil {
		e.groups = in.KubernetesGroups
	}
	if in.Username != "" {
		e.username = in.Username
	}
	e.modified = c.at
	return e.describe(k), nil
}

func (s *Server) listAccessEntries(c *call, who *credential) (any, *apiError) {
	if err := c.authorize(who, c.action, c.eksARN(who, "cluster/"+c.labels[0]), "", nil); err != nil {
		return nil, err
	}
	k, err := s.entryCluster(c, who)
	if err != nil {
		return nil, err
	}
	arns := []string{}
	policy := c.params["associatedPolicyArn"]
	for _, e := range k.entries {
		if !s.lags(e.created, c.at) && (policy == "" || e.association(policy) != nil) {
			arns = append(arns, e.principalARN)
		}
	}
	slices.Sort(arns)
	return c.eksPageOf(arns, "accessEntries")
}

// entryRequest is what CreateAccessEntry and UpdateAccessEntry take.
type entryRequest struct {
	PrincipalARN       string
	Type               string
	Username           string
	KubernetesGroups   []string
	Tags               map[string]string
	ClientRequestToken string
}

// check refuses usernames and groups in EKS's words, which were read off the API by
// https://github.com/badmintoncryer/cdk-preflight (rules pf-eks-accessentry-…);
// those on the colon are ours.
func (in *entryRequest) check(kind string) *apiError {
	for _, prefix := range reserved {
		if strings.HasPrefix(in.Username, prefix) {
			return invalidParameter("The username must not begin with " + prefix)
		}
		for _, group := range in.KubernetesGroups {
			if strings.HasPrefix(group, prefix) {
				return invalidParameter(fmt.Sprintf("The kubernetes group name %s is invalid, it cannot start with %s", group, prefix))
			}
		}
	}
	if kind != typeStandard {
		if len(in.KubernetesGroups) > 0 {
			return invalidParameter(fmt.Sprintf("The specified kubernetesGroups is invalid: setting kubernetesGroups is not allowed when the type is %q", kind))
		}
		if in.Username != "" {
			return invalidParameter(fmt.Sprintf("The specified username is invalid: setting username is not allowed when the type is %q", kind))
		}
	}
	if before, _, found := strings.Cut(in.Username, "{{SessionName"); found && !strings.Contains(before, ":") {
		return invalidParameter("The specified username is invalid: it must have a colon before {{SessionName}}")
	}
	if slices.Contains(in.KubernetesGroups, "") {
		return invalidParameter("The kubernetes group name  is invalid, it cannot be empty")
	}
	return nil
}

// createAccessEntry first holds the request itself against EKS's rules, then the
// cluster and the principal
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html).
func (s *Server) createAccessEntry(c *call, who *credential) (any, *apiError) {
	in := entryRequest{Type: typeStandard}
	if err := c.readJSON(&in); err != nil {
		return nil, err
	}
	extra := c.entryContext(map[string]string{"eks:principalarn": in.PrincipalARN, "eks:accessentrytype": in.Type})
	if err := c.authorize(who, c.action, c.eksARN(who, "cluster/"+c.labels[0]), "", extra); err != nil {
		return nil, err
	}
	if err := in.checkPrincipal(who.owner.account.id); err != nil {
		return nil, err
	}
	if err := in.check(in.Type); err != nil {
		return nil, err
	}
	k, err := s.entryCluster(c, who)
	if err != nil {
		return nil, err
	}
	if in.Type == typeLinux || in.Type == typeWindows {
		if err := c.authorize(who, "iam:PassRole", in.PrincipalARN, "", nil); err != nil {
			return nil, err
		}
	}
	if e := k.entries[in.PrincipalARN]; e != nil && in.ClientRequestToken != "" && e.token == in.ClientRequestToken && e.body == string(c.body) {
		return e.describe(k), nil
	}
	e, err := s.addEntry(k, &in, c.at)
	if err != nil {
		return nil, err
	}
	e.token, e.body = in.ClientRequestToken, string(c.body)
	return e.describe(k), nil
}

// addEntry makes the entry that a checked request is for, unless its principal does
// not exist or has one.
func (s *Server) addEntry(k *cluster, in *entryRequest, at time.Time) (*accessEntry, *apiError) {
	p := s.byARN[in.PrincipalARN]
	if p == nil || s.lags(p.created, at) {
		// https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2969
		return nil, invalidParameter("The specified principalArn is invalid: invalid principal.")
	}
	if k.entries[in.PrincipalARN] != nil {
		// https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3293
		return nil, inUse("The specified access entry resource is already in use on this cluster.")
	}
	e := s.newEntry(k, p, in.Type, at)
	if in.Username != "" {
		e.username = in.Username
	}
	if len(in.KubernetesGroups) > 0 {
		e.groups = in.KubernetesGroups
	}
	maps.Copy(e.tags, in.Tags)
	return e, nil
}

// checkPrincipal refuses what can be told from the ARN and the type alone, in words
// of the same source as check's.
func (in *entryRequest) checkPrincipal(account string) *apiError {
	name, err := parsePrincipalARN(in.PrincipalARN)
	if err != nil {
		return err
	}
	if name.kind == kindRole && strings.HasPrefix(name.path, "/aws-service-role/") {
		return invalidParameter("The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role")
	}
	if in.Type == typeStandard {
		return nil
	}
	// https://github.com/aws/aws-cdk/pull/31146, from before there were as many.
	if _, ok := nodeTypes[in.Type]; !ok {
		return invalidParameter("AccessEntry type must be one of [EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2, HYPERPOD_LINUX, STANDARD]")
	}
	const types = " when using types [EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2]"
	if name.account != account {
		return invalidParameter("AccessEntry principalArn must be from the same account as the cluster" + types)
	}
	if name.kind != kindRole {
		return invalidParameter("AccessEntry principalArn must be IAM role" + types)
	}
	return nil
}

// principalName is what the ARN of a user, a role or a root says.
type principalName struct{ account, kind, path, name string }

// parsePrincipalARN takes an ARN apart, or refuses it as EKS does, which takes no
// session's (https://github.com/aws-samples/appmod-blueprints/pull/319).
func parsePrincipalARN(arn string) (principalName, *apiError) {
	bad := invalidParameter("The principalArn parameter format is not valid")
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !validPartition(parts[1]) || parts[2] != "iam" || parts[3] != "" || len(parts[4]) != 12 || strings.Trim(parts[4], "0123456789") != "" {
		return principalName{}, bad
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	slash := strings.LastIndexByte(rest, '/')
	p := principalName{account: parts[4], kind: kind, path: "/" + rest[:slash+1], name: rest[slash+1:]}
	if isPrincipal := kind == kindRole || kind == kindUser; isPrincipal == (p.name == "") || !isPrincipal && parts[5] != kindRoot {
		return principalName{}, bad
	}
	return p, nil
}

func inUse(message string) *apiError {
	return &apiError{"ResourceInUseException", message, http.StatusConflict}
}
