package fakeaws

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

type clusterList struct {
	Clusters  []string `json:"clusters"`
	NextToken *string  `json:"nextToken"`
}

const clustersPerPage = 100 // the default and the most

// tokenPrefix tells a page token of ours from other base64.
const tokenPrefix = "after:"

// listClusters answers a page of names, in order
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html).
func (s *Server) listClusters(c *call, who *credential) (any, *apiError) {
	if !who.owner.allows(ListClusters) {
		return nil, c.eksDenied(who, "cluster/*")
	}
	limit := clustersPerPage
	if text, ok := c.params["maxResults"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > clustersPerPage {
			return nil, invalidParameter("maxResults needs to be between 1 and 100.")
		}
		limit = n
	}
	after := ""
	if token := c.params["nextToken"]; token != "" {
		decoded, err := base64.RawURLEncoding.DecodeString(token)
		name, ok := strings.CutPrefix(string(decoded), tokenPrefix)
		if err != nil || !ok {
			return nil, invalidParameter("Invalid nextToken.")
		}
		after = name
	}
	names := s.clusterNames(who.owner.account.id, c.auth.region, c.params["include"] == "all")
	first, found := slices.BinarySearch(names, after)
	if found {
		first++
	}
	page := clusterList{Clusters: names[first:]}
	if len(page.Clusters) > limit {
		page.Clusters = page.Clusters[:limit]
		token := base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + page.Clusters[limit-1]))
		page.NextToken = &token
	}
	return page, nil
}

// clusterNames are the clusters of an account and region, sorted; registered
// ones only if asked for.
func (s *Server) clusterNames(account, region string, registered bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	name, _ := c.clusterName()
	if !who.owner.allows(DescribeCluster) {
		return nil, c.eksDenied(who, "cluster/"+name)
	}
	s.mu.Lock()
	cluster, ok := s.clusters[clusterKey{who.owner.account.id, c.auth.region, name}]
	s.mu.Unlock()
	if !ok {
		return nil, &apiError{"ResourceNotFoundException", fmt.Sprintf("No cluster found for name: %s.", name), http.StatusNotFound}
	}
	return map[string]any{"cluster": cluster.describe(who.owner.account.partition)}, nil
}

func (c *call) eksDenied(who *credential, resource string) *apiError {
	return accessDenied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: arn:%s:eks:%s:%s:%s",
		who.arn(), c.action, who.owner.account.partition, c.auth.region, who.owner.account.id, resource))
}

func invalidParameter(message string) *apiError {
	return &apiError{"InvalidParameterException", message, http.StatusBadRequest}
}

// describe gives the cluster the shape of EKS's API
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html).
func (k Cluster) describe(partition string) map[string]any {
	tags := k.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	answer := map[string]any{
		"name":      k.Name,
		"arn":       "arn:" + partition + ":eks:" + k.Region + ":" + k.Account + ":cluster/" + k.Name,
		"createdAt": timestamp(k.CreatedAt),
		"status":    k.Status,
		"tags":      tags,
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
	answer["accessConfig"] = map[string]any{"authenticationMode": k.AuthenticationMode}
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
