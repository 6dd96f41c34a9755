package fakeaws

import (
	"errors"
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

	// AuthenticationMode is CONFIG_MAP, API_AND_CONFIG_MAP or API. Empty means
	// API_AND_CONFIG_MAP, which AWS's console and eksctl choose; EKS's API would
	// choose CONFIG_MAP.
	AuthenticationMode string

	// CreatorARN is the user, role or root that made the cluster, if that matters.
	// Where access entries are on, or get turned on, it has one with
	// AmazonEKSClusterAdminPolicy, unless NoCreatorAdmin is set, which is
	// bootstrapClusterCreatorAdminPermissions: false.
	CreatorARN     string
	NoCreatorAdmin bool

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

// cluster is a Cluster and what has become of it. It is used under the server's
// lock.
type cluster struct {
	Cluster
	creatorID string // the creator's unique id when the cluster was added
	entries   map[string]*accessEntry
	updates   []*update
	nodes     []*nodegroup
}

// AddCluster adds a cluster, in place of one of the same account, region and
// name with its access entries, updates and node groups.
func (s *Server) AddCluster(c Cluster) error {
	acct, err := s.account(c.Account, partitionOf(c.Region))
	if err != nil {
		return fmt.Errorf("adding cluster: %w", err)
	}
	if !validRegion(c.Region) || partitionOf(c.Region) != acct.partition {
		return fmt.Errorf("adding cluster: region %q is not one of partition %s", c.Region, acct.partition)
	}
	if !validClusterName(c.Name) {
		return fmt.Errorf("adding cluster: %q is not a cluster name", c.Name)
	}
	if c.Status == "" {
		c.Status = "ACTIVE"
	}
	if c.AuthenticationMode == "" {
		c.AuthenticationMode = modeBoth
	}
	if !slices.Contains([]string{modeConfigMap, modeBoth, modeAPI}, c.AuthenticationMode) {
		return fmt.Errorf("adding cluster: no authentication mode %q", c.AuthenticationMode)
	}
	if c.AuthenticationMode == modeConfigMap && c.NoCreatorAdmin {
		return errors.New("adding cluster: bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to CONFIG_MAP")
	}
	if c.CreatedAt.IsZero() {
		c.CreatedAt = s.clock()
	}
	c.Tags = maps.Clone(c.Tags)
	if c.Tags == nil {
		c.Tags = map[string]string{}
	}
	c.OutpostARNs = slices.Clone(c.OutpostARNs)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &cluster{Cluster: c, entries: map[string]*accessEntry{}}
	if c.CreatorARN != "" {
		creator := s.byARN[c.CreatorARN]
		if creator == nil || creator.kind == kindGroup {
			return fmt.Errorf("adding cluster: creator %s: %w", c.CreatorARN, ErrNotFound)
		}
		k.creatorID = creator.id
	}
	if c.AuthenticationMode != modeConfigMap {
		s.addOwnEntries(k, c.CreatedAt)
	}
	s.clusters[clusterKey{c.Account, c.Region, c.Name}] = k
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
