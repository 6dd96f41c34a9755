package fakeaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The authentication modes of a cluster
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessConfigRequest.html).
const (
	modeConfigMap = "CONFIG_MAP"
	modeBoth      = "API_AND_CONFIG_MAP"
	modeAPI       = "API"
)

// update is an update of a cluster's configuration. It is completed by the first
// request that comes when it is due.
type update struct {
	id, status string
	mode       string // the authentication mode that it sets
	created    time.Time
	token      string
	failure    string // why it will fail
}

const inProgress = "InProgress"

// describe gives the update the shape of EKS's API
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_Update.html). A mode is
// quoted twice, as EKS does it.
func (u *update) describe() object {
	value, _ := json.Marshal(u.mode) // of a string: never fails
	failures := []object{}
	if u.status == "Failed" {
		failures = append(failures, object{{"errorCode", "Unknown"}, {"errorMessage", u.failure}})
	}
	return object{{"update", object{
		{"id", u.id}, {"status", u.status}, {"type", "AccessConfigUpdate"},
		{"params", []object{{{"type", "AuthenticationMode"}, {"value", string(value)}}}},
		{"createdAt", preciseTime(u.created)}, {"errors", failures},
	}}}
}

// status is that of the cluster: UPDATING as long as an update is not done.
func (k *cluster) status() string {
	if k.updating() != nil {
		return "UPDATING"
	}
	return k.Status
}

func (k *cluster) updating() *update {
	if n := len(k.updates); n > 0 && k.updates[n-1].status == inProgress {
		return k.updates[n-1]
	}
	return nil
}

// settle completes a cluster's update that is due. If it turns access entries on, the
// creator and the roles of node groups get theirs
// (https://github.com/aws/containers-roadmap/issues/185). The caller holds the lock.
func (s *Server) settle(k *cluster, now time.Time) {
	u := k.updating()
	if u == nil || now.Before(u.created.Add(s.updating)) {
		return
	}
	if u.failure != "" {
		u.status = "Failed"
		return
	}
	u.status = "Successful"
	before := k.AuthenticationMode
	k.AuthenticationMode = u.mode
	if before == modeConfigMap {
		s.addOwnEntries(k, u.created.Add(s.updating))
	}
}

// FailUpdate makes the update that is in progress in a cluster end as Failed, with a
// message.
func (s *Server) FailUpdate(account, region, name, reason string) error {
	if reason == "" {
		return errors.New("failing update: no reason")
	}
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.clusters[clusterKey{account, region, name}]
	if k == nil {
		return fmt.Errorf("failing update of cluster %s: %w", name, ErrNotFound)
	}
	s.settle(k, now)
	u := k.updating()
	if u == nil {
		return fmt.Errorf("failing update of cluster %s: no update in progress", name)
	}
	u.failure = reason
	return nil
}

// updateClusterConfig changes the authentication mode, one step up at a time, and
// nothing else (https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateClusterConfig.html).
func (s *Server) updateClusterConfig(c *call, who *credential) (any, *apiError) {
	var in struct {
		AccessConfig       *struct{ AuthenticationMode string }
		ClientRequestToken string

		ResourcesVPCConfig, Logging, UpgradePolicy, ZonalShiftConfig, ComputeConfig, KubernetesNetworkConfig,
		StorageConfig, RemoteNetworkConfig, DeletionProtection, ControlPlaneScalingConfig json.RawMessage
	}
	if err := c.readJSON(&in); err != nil {
		return nil, err
	}
	extra := map[string]string{}
	if in.AccessConfig != nil {
		extra["eks:authenticationmode"] = in.AccessConfig.AuthenticationMode
	}
	k, err := s.clusterOf(c, who, extra)
	if err != nil {
		return nil, err
	}
	unsupported := slices.Concat(in.ResourcesVPCConfig, in.Logging, in.UpgradePolicy, in.ZonalShiftConfig, in.ComputeConfig, in.KubernetesNetworkConfig,
		in.StorageConfig, in.RemoteNetworkConfig, in.DeletionProtection, in.ControlPlaneScalingConfig)
	switch {
	case in.AccessConfig == nil:
		return nil, invalidParameter("Only accessConfig can be updated here.")
	case len(unsupported) > 0:
		// https://github.com/kubernetes-sigs/cluster-api-provider-aws/issues/3553
		return nil, invalidParameter("Only one type of update can be allowed.")
	}
	for _, u := range k.updates {
		if in.ClientRequestToken != "" && u.token == in.ClientRequestToken && u.mode == in.AccessConfig.AuthenticationMode {
			return u.describe(), nil
		}
	}
	if u := k.updating(); u != nil {
		// https://github.com/aws/aws-cdk/issues/33452
		return nil, inUse(fmt.Sprintf("Cannot AccessConfigUpdate because cluster %s currently has update %s in progress", k.Name, u.id))
	}
	from, to := k.AuthenticationMode, in.AccessConfig.AuthenticationMode
	if step := from + " " + to; step != modeConfigMap+" "+modeBoth && step != modeBoth+" "+modeAPI {
		// https://github.com/pulumi/pulumi-eks/issues/1493
		return nil, invalidParameter("Unsupported authentication mode update from " + from + " to " + to)
	}
	u := &update{id: newRequestID(), status: inProgress, mode: to, created: c.at, token: in.ClientRequestToken}
	k.updates = append(k.updates, u)
	return u.describe(), nil
}

func (s *Server) describeUpdate(c *call, who *credential) (any, *apiError) {
	k, err := s.clusterOf(c, who, nil)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(k.updates, func(u *update) bool { return u.id == c.labels[1] })
	if i < 0 {
		return nil, notFound("No update found for ID: " + c.labels[1])
	}
	return k.updates[i].describe(), nil
}

func (s *Server) listUpdates(c *call, who *credential) (any, *apiError) {
	k, err := s.clusterOf(c, who, nil)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, u := range k.updates {
		ids = append(ids, u.id)
	}
	slices.Sort(ids)
	return c.eksPageOf(ids, "updateIds")
}
