package fakeaws

import (
	"cmp"
	"fmt"
	"slices"
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
