package fakeaws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Nodegroup is a managed node group, or a Fargate profile, to add to a cluster.
type Nodegroup struct {
	Account, Region, Cluster string

	Name    string // empty means default
	RoleARN string // the node role, or the profile's pod execution role

	// AMIType is such as AL2023_x86_64_STANDARD or WINDOWS_CORE_2022_x86_64; empty
	// means the former. FARGATE means a Fargate profile.
	AMIType string
}

// nodegroup is a Nodegroup and what EKS adds to it.
type nodegroup struct {
	Nodegroup
	kind    string // the type of access entry that EKS makes for its role
	id      string
	created time.Time
}

// AddNodegroup adds a node group or Fargate profile, in place of one of the same name. EKS
// makes an access entry for its role, unless there is one, at once or when the cluster's
// access entries are turned on. In a cluster with aws-auth EKS writes into that as well,
// which is for the owner of the cluster's API server to do.
func (s *Server) AddNodegroup(g Nodegroup) error {
	now := s.clock()
	g.Name, g.AMIType = cmp.Or(g.Name, "default"), cmp.Or(g.AMIType, "AL2023_x86_64_STANDARD")
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterKey{g.Account, g.Region, g.Cluster}]
	if k == nil {
		return fmt.Errorf("adding node group: cluster %s: %w", g.Cluster, ErrNotFound)
	}
	role := s.byARN[g.RoleARN]
	if role == nil || role.kind != kindRole || role.account.id != g.Account {
		return fmt.Errorf("adding node group: role %s of account %s: %w", g.RoleARN, g.Account, ErrNotFound)
	}
	kind := typeLinux
	switch {
	case g.AMIType == "FARGATE":
		kind = typeFargate
	case strings.HasPrefix(g.AMIType, "WINDOWS_"):
		kind = typeWindows
	}
	k.nodes = slices.DeleteFunc(k.nodes, func(n *nodegroup) bool { return n.Name == g.Name && (n.kind == typeFargate) == (kind == typeFargate) })
	k.nodes = append(k.nodes, &nodegroup{Nodegroup: g, kind: kind, id: newRequestID(), created: now})
	s.settle(k, now)
	if k.AuthenticationMode != modeConfigMap {
		s.addOwnEntries(k, now)
	}
	return nil
}

// listNodegroups answers a page of names. Fargate profiles are none
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_ListNodegroups.html).
func (s *Server) listNodegroups(c *call, who *credential) (any, *apiError) {
	k, err := s.clusterOf(c, who, nil)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, n := range k.nodes {
		if n.kind != typeFargate {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return c.eksPageOf(names, "nodegroups")
}

// describeNodegroup answers what is known of a node group: the parts of its shape that say
// who its nodes are
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_Nodegroup.html).
func (s *Server) describeNodegroup(c *call, who *credential) (any, *apiError) {
	name := c.labels[1]
	var found *nodegroup
	id := "*"
	if k := s.clusters[clusterKey{who.owner.account.id, c.auth.region, c.labels[0]}]; k != nil {
		if i := slices.IndexFunc(k.nodes, func(n *nodegroup) bool { return n.Name == name && n.kind != typeFargate }); i >= 0 {
			found, id = k.nodes[i], k.nodes[i].id
		}
	}
	arn := c.eksARN(who, "nodegroup/"+c.labels[0]+"/"+name+"/"+id)
	if err := c.authorize(who, DescribeNodegroup, arn, "", nil); err != nil {
		return nil, err
	}
	k, err := s.findCluster(c, who)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, notFound("No node group found for name: " + name + ".")
	}
	return object{{"nodegroup", object{
		{"nodegroupName", found.Name}, {"nodegroupArn", arn}, {"clusterName", k.Name}, {"version", k.Version},
		{"createdAt", preciseTime(found.created)}, {"modifiedAt", preciseTime(found.created)}, {"status", "ACTIVE"},
		{"capacityType", "ON_DEMAND"}, {"amiType", found.AMIType}, {"nodeRole", found.RoleARN},
		{"health", map[string]any{"issues": []any{}}}, {"tags", map[string]string{}},
	}}}, nil
}
