package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

const eksPage = 100 // the default and the most

// eksPageOf answers a page of names, which are sorted, as a list of EKS's with
// that key.
func (c *call) eksPageOf(names []string, key string) (any, *apiError) {
	page, next, refusal := c.page(names, "maxResults", "nextToken", 1, eksPage, eksPage)
	if refusal != "" {
		return nil, invalidParameter(refusal)
	}
	return withToken(object{{key, page}}, next), nil
}

// listClusters answers a page of names, in order
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html).
func (s *Server) listClusters(c *call, who *credential) (any, *apiError) {
	if err := c.authorize(who, ListClusters, c.eksARN(who, "cluster/*"), "", nil); err != nil {
		return nil, err
	}
	return c.eksPageOf(s.clusterNames(who.owner.account.id, c.auth.region, c.params["include"] == "all"), "clusters")
}

// clusterNames are the clusters of an account and region, sorted; registered
// ones only if asked for. The caller holds the lock.
func (s *Server) clusterNames(account, region string, registered bool) []string {
	names := []string{}
	for key, cluster := range s.clusters {
		if key.account == account && key.region == region && (registered || cluster.Connector == nil) {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Server) describeCluster(c *call, who *credential) (any, *apiError) {
	k, err := s.clusterOf(c, who, nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"cluster": k.describe(who.owner.account.partition)}, nil
}

// clusterOf finds the cluster that the path names, once the caller may do to it
// what it asks. Its updates that are due are done.
func (s *Server) clusterOf(c *call, who *credential, extra map[string]string) (*cluster, *apiError) {
	if err := c.authorize(who, c.action, c.eksARN(who, "cluster/"+c.labels[0]), "", extra); err != nil {
		return nil, err
	}
	return s.findCluster(c, who)
}

func (s *Server) findCluster(c *call, who *credential) (*cluster, *apiError) {
	k := s.clusters[clusterKey{who.owner.account.id, c.auth.region, c.labels[0]}]
	if k == nil {
		return nil, notFound(fmt.Sprintf("No cluster found for name: %s.", c.labels[0]))
	}
	s.settle(k, c.at)
	return k, nil
}

// eksARN is the ARN of a resource of the caller's account in the request's region.
func (c *call) eksARN(who *credential, resource string) string {
	return "arn:" + who.owner.account.partition + ":eks:" + c.auth.region + ":" + who.owner.account.id + ":" + resource
}

func notFound(message string) *apiError {
	return &apiError{"ResourceNotFoundException", message, http.StatusNotFound}
}

func invalidParameter(message string) *apiError {
	return &apiError{"InvalidParameterException", message, http.StatusBadRequest}
}

// describe gives the cluster the shape of EKS's API
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html).
func (k *cluster) describe(partition string) map[string]any {
	answer := map[string]any{
		"name":      k.Name,
		"arn":       "arn:" + partition + ":eks:" + k.Region + ":" + k.Account + ":cluster/" + k.Name,
		"createdAt": timestamp(k.CreatedAt),
		"status":    k.status(),
		"tags":      maps.Clone(k.Tags),
	}
	set := func(key, value string) {
		if value != "" {
			answer[key] = value
		}
	}
	if k.Connector != nil {
		answer["connectorConfig"] = map[string]any{
			"provider": k.Connector.Provider, "roleArn": k.Connector.RoleARN, "activationId": k.Connector.ActivationID,
		}
		return answer
	}
	set("id", k.ID)
	set("endpoint", k.Endpoint)
	set("version", k.Version)
	set("platformVersion", k.Platform)
	set("roleArn", k.RoleARN)
	answer["accessConfig"] = map[string]any{
		"authenticationMode": k.AuthenticationMode, "bootstrapClusterCreatorAdminPermissions": !k.NoCreatorAdmin,
	}
	answer["certificateAuthority"] = map[string]any{}
	if k.CAData != "" {
		answer["certificateAuthority"] = map[string]any{"data": k.CAData}
	}
	if k.Issuer != "" {
		answer["identity"] = map[string]any{"oidc": map[string]any{"issuer": k.Issuer}}
	}
	if k.IPv4CIDR != "" {
		answer["kubernetesNetworkConfig"] = map[string]any{"serviceIpv4Cidr": k.IPv4CIDR, "ipFamily": "ipv4"}
	}
	if len(k.OutpostARNs) > 0 {
		answer["outpostConfig"] = map[string]any{"outpostArns": k.OutpostARNs}
	}
	return answer
}
