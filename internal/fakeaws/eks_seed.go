package fakeaws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AccessEntry is an access entry to add to a cluster.
type AccessEntry struct {
	Account, Region, Cluster string

	PrincipalARN string
	Type         string // empty means STANDARD
	Username     string // empty means the one that EKS gives
	Groups       []string
	Policies     []AccessPolicy
	CreatedAt    time.Time // zero means when it was added
}

// AccessPolicy is an access policy of an entry.
type AccessPolicy struct {
	Name       string   // such as AmazonEKSViewPolicy
	Namespaces []string // empty means the whole cluster
}

// AddAccessEntry adds an access entry. What EKS's API refuses, it refuses.
func (s *Server) AddAccessEntry(e AccessEntry) error {
	at := e.CreatedAt
	now := s.clock()
	if at.IsZero() {
		at = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterKey{e.Account, e.Region, e.Cluster}]
	if k == nil {
		return fmt.Errorf("adding access entry: cluster %s: %w", e.Cluster, ErrNotFound)
	}
	s.settle(k, now)
	if err := s.seedEntry(k, e, at); err != nil {
		return fmt.Errorf("adding access entry: %w", err)
	}
	return nil
}

func (s *Server) seedEntry(k *cluster, e AccessEntry, at time.Time) error {
	in := entryRequest{PrincipalARN: e.PrincipalARN, Type: cmp.Or(e.Type, typeStandard), Username: e.Username, KubernetesGroups: slices.Clone(e.Groups)}
	if k.AuthenticationMode == modeConfigMap {
		return entriesOff()
	}
	if err := in.checkPrincipal(k.Account); err != nil {
		return err
	}
	if err := in.check(in.Type); err != nil {
		return err
	}
	added, err := s.addEntry(k, &in, at)
	if err != nil {
		return err
	}
	for _, p := range e.Policies {
		scope := accessScope{Type: "cluster"}
		if len(p.Namespaces) > 0 {
			scope = accessScope{Type: "namespace", Namespaces: slices.Clone(p.Namespaces)}
		}
		if _, err := added.putPolicy(k, accessPolicyARN(k, p.Name), scope, at); err != nil {
			delete(k.entries, e.PrincipalARN)
			return err
		}
	}
	return nil
}

// nodeRole is the role of a managed node group or Fargate profile, and the type of
// access entry that EKS makes for it.
type nodeRole struct{ arn, kind string }

// Nodegroup is a managed node group, or a Fargate profile, to add to a cluster. Only
// its role counts here.
type Nodegroup struct {
	Account, Region, Cluster string
	RoleARN                  string // the node role, or the profile's pod execution role

	// AMIType is such as AL2023_x86_64_STANDARD or WINDOWS_CORE_2022_x86_64; empty
	// means the former. FARGATE means a Fargate profile.
	AMIType string
}

// AddNodegroup adds a node group or Fargate profile. EKS makes an access entry for
// its role, unless there is one, at once or when the cluster's access entries are
// turned on. In a cluster with aws-auth EKS writes into that as well, which is for
// the owner of the cluster's API server to do.
func (s *Server) AddNodegroup(g Nodegroup) error {
	now := s.clock()
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
	k.nodeRoles = append(k.nodeRoles, nodeRole{g.RoleARN, kind})
	s.settle(k, now)
	if k.AuthenticationMode != modeConfigMap {
		s.addOwnEntries(k, now)
	}
	return nil
}
