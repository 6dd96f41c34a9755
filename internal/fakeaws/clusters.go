package fakeaws

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Cluster is an EKS cluster to add. What is left empty and has no default here
// is left out of the answer, as EKS does for a cluster that is being created.
type Cluster struct {
	Account, Region, Name string

	Endpoint string // such as https://127.0.0.1:6443
	CAData   string // base64 of the CA's PEM, answered exactly as given
	Status   string // CREATING, ACTIVE, UPDATING, …; empty means ACTIVE
	Version  string // such as 1.36
	Platform string // such as eks.7
	RoleARN  string
	Issuer   string // of the cluster's OIDC identity provider
	IPv4CIDR string // of services

	// AuthenticationMode is CONFIG_MAP, API_AND_CONFIG_MAP or API; empty means
	// API_AND_CONFIG_MAP.
	AuthenticationMode string

	// ID and OutpostARNs belong to local clusters on Outposts, which go by their
	// id where others go by their name.
	ID          string
	OutpostARNs []string

	// Connector is set for a cluster that is only registered with EKS. Such a
	// cluster has no endpoint, and ListClusters leaves it out unless asked.
	Connector *Connector

	Tags      map[string]string
	CreatedAt time.Time // zero means when it was added
}

// Connector says how a registered cluster is connected.
type Connector struct {
	Provider     string // such as OTHER, GKE, AKS
	RoleARN      string
	ActivationID string
}

type clusterKey struct{ account, region, name string }

// AddCluster adds a cluster, in place of one of the same account, region and
// name.
func (s *Server) AddCluster(c Cluster) error {
	acct, err := s.account(c.Account, partitionOf(c.Region))
	if err != nil {
		return fmt.Errorf("adding cluster: %w", err)
	}
	if !validRegion(c.Region) || partitionOf(c.Region) != acct.partition {
		return fmt.Errorf("adding cluster: region %q is not one of partition %s", c.Region, acct.partition)
	}
	if !validClusterName(c.Name) {
		return fmt.Errorf("adding cluster: %q is no cluster name", c.Name)
	}
	if c.Status == "" {
		c.Status = "ACTIVE"
	}
	if c.AuthenticationMode == "" {
		c.AuthenticationMode = "API_AND_CONFIG_MAP"
	}
	if c.CreatedAt.IsZero() {
		c.CreatedAt = s.clock()
	}
	c.Tags = maps.Clone(c.Tags)
	c.OutpostARNs = slices.Clone(c.OutpostARNs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters[clusterKey{c.Account, c.Region, c.Name}] = c
	return nil
}

// RemoveCluster deletes a cluster.
func (s *Server) RemoveCluster(account, region, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := clusterKey{account, region, name}
	if _, ok := s.clusters[key]; !ok {
		return fmt.Errorf("removing cluster %s: %w", name, ErrNotFound)
	}
	delete(s.clusters, key)
	return nil
}

// validClusterName is EKS's rule: up to 100 letters, digits, hyphens and
// underscores, a letter or digit first
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html).
func validClusterName(name string) bool {
	return name != "" && len(name) <= 100 && onlyNameBytes(name, "-") && name[0] != '-' && name[0] != '_'
}
