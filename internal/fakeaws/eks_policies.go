package fakeaws

import (
	"slices"
	"strings"
	"time"
)

// accessPolicies are the names of EKS's access policies, in order: what
// `aws eks list-access-policies` printed in April 2026, and
// AmazonEKSClusterInsightsPolicy, which the user guide names.
var accessPolicies = []string{
	"AIDevOpsAgentAccessPolicy", "AmazonAIOpsAssistantPolicy", "AmazonARCRegionSwitchScalingPolicy", "AmazonEKSACKPolicy",
	"AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy", "AmazonEKSArgoCDClusterPolicy", "AmazonEKSArgoCDPolicy",
	"AmazonEKSAutoNodePolicy", "AmazonEKSBlockStorageClusterPolicy", "AmazonEKSBlockStoragePolicy", "AmazonEKSClusterAdminPolicy",
	"AmazonEKSClusterInsightsPolicy", "AmazonEKSComputeClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSEditPolicy",
	"AmazonEKSEventPolicy", "AmazonEKSHybridPolicy", "AmazonEKSKROPolicy", "AmazonEKSLoadBalancingClusterPolicy",
	"AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingClusterPolicy", "AmazonEKSNetworkingPolicy", "AmazonEKSPodIdentityPolicy",
	"AmazonEKSSecretAdminPolicy", "AmazonEKSSecretReaderPolicy", "AmazonEKSViewPolicy", "AmazonEMRJobPolicy",
	"AmazonSagemakerHyperpodClusterPolicy", "AmazonSagemakerHyperpodControllerPolicy", "AmazonSagemakerHyperpodSpacePolicy",
	"AmazonSagemakerHyperpodSpaceTemplatePolicy", "AmazonSagemakerHyperpodSystemNamespacePolicy", "AmazonSagemakerHyperpodUserClusterPolicy",
}

func accessPolicyPrefix(partition string) string {
	return "arn:" + partition + ":eks::aws:cluster-access-policy/"
}

func accessPolicyARN(k *cluster, name string) string {
	return accessPolicyPrefix(partitionOf(k.Region)) + name
}

// listAccessPolicies answers a page of names and ARNs.
func (s *Server) listAccessPolicies(c *call, who *credential) (any, *apiError) {
	if err := c.authorize(who, c.action, "*", "", nil); err != nil {
		return nil, err
	}
	names, next, refusal := c.page(accessPolicies, "maxResults", "nextToken", 1, eksPage, eksPage)
	if refusal != "" {
		return nil, invalidParameter(refusal)
	}
	list := []object{}
	for _, name := range names {
		list = append(list, object{{"name", name}, {"arn", accessPolicyPrefix(who.owner.account.partition) + name}})
	}
	return withToken(object{{"accessPolicies", list}}, next), nil
}

// withToken adds the token of the next page, if there is one.
func withToken(answer object, next string) object {
	if next == "" {
		return answer
	}
	return append(answer, member{"nextToken", next})
}

type accessScope struct {
	Type       string   `json:"type"`
	Namespaces []string `json:"namespaces"`
}

// policyAssociation is one policy of an access entry. There is one a policy: to
// associate it again replaces the scope.
type policyAssociation struct {
	arn                  string
	scope                accessScope
	associated, modified time.Time
}

func (a *policyAssociation) describe() object {
	scope := a.scope
	if scope.Namespaces == nil {
		scope.Namespaces = []string{}
	}
	return object{
		{"policyArn", a.arn}, {"accessScope", scope},
		{"associatedAt", preciseTime(a.associated)}, {"modifiedAt", preciseTime(a.modified)},
	}
}

func (e *accessEntry) association(policyARN string) *policyAssociation {
	i := slices.IndexFunc(e.policies, func(a *policyAssociation) bool { return a.arn == policyARN })
	if i < 0 {
		return nil
	}
	return e.policies[i]
}

// associate is AssociateAccessPolicy
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_AssociateAccessPolicy.html).
// The words about the scope were read off the API by
// https://github.com/badmintoncryer/cdk-preflight, those about the type are in
// https://github.com/aws-controllers-k8s/community/issues/2144.
func (e *accessEntry) associate(_ *Server, c *call, k *cluster) (any, *apiError) {
	var in struct {
		PolicyARN   string
		AccessScope accessScope
	}
	if err := c.readJSON(&in); err != nil {
		return nil, err
	}
	a, err := e.putPolicy(k, in.PolicyARN, in.AccessScope, c.at)
	if err != nil {
		return nil, err
	}
	return object{{"clusterName", k.Name}, {"principalArn", e.principalARN}, {"associatedAccessPolicy", a.describe()}}, nil
}

func (e *accessEntry) putPolicy(k *cluster, arn string, scope accessScope, at time.Time) (*policyAssociation, *apiError) {
	switch {
	case scope.Type != "cluster" && scope.Type != "namespace":
		return nil, invalidParameter("accessScope type must be one of [cluster, namespace]")
	case scope.Type == "cluster" && len(scope.Namespaces) > 0:
		return nil, invalidParameter("accessScope should not include namespaces if the type is not set as namespace")
	case scope.Type == "namespace" && (len(scope.Namespaces) == 0 || slices.Contains(scope.Namespaces, "")):
		return nil, invalidParameter("At least 1 namespace must be provided if the type is set as namespace")
	}
	name, known := strings.CutPrefix(arn, accessPolicyARN(k, ""))
	if !known || !slices.Contains(accessPolicies, name) {
		return nil, policyNotFound()
	}
	if e.kind != typeStandard && (e.kind != typeAutoNode || name != "AmazonEKSAutoNodePolicy") {
		return nil, invalidParameter(`This operation can only be performed on Access Entries with a type of "STANDARD".`)
	}
	a := e.association(arn)
	if a == nil {
		a = &policyAssociation{arn: arn, associated: at}
		e.policies = append(e.policies, a)
	}
	a.scope, a.modified = scope, at
	return a, nil
}

func (e *accessEntry) disassociate(_ *Server, c *call, _ *cluster) (any, *apiError) {
	a := e.association(c.labels[2])
	if a == nil {
		return nil, policyNotFound()
	}
	e.policies = slices.DeleteFunc(e.policies, func(other *policyAssociation) bool { return other == a })
	return object{}, nil
}

func policyNotFound() *apiError { return notFound("The specified policyArn could not be found.") }

func (e *accessEntry) listPolicies(_ *Server, c *call, k *cluster) (any, *apiError) {
	var arns []string
	for _, a := range e.policies {
		arns = append(arns, a.arn)
	}
	slices.Sort(arns)
	page, next, refusal := c.page(arns, "maxResults", "nextToken", 1, eksPage, eksPage)
	if refusal != "" {
		return nil, invalidParameter(refusal)
	}
	list := []object{}
	for _, arn := range page {
		list = append(list, e.association(arn).describe())
	}
	return withToken(object{{"clusterName", k.Name}, {"principalArn", e.principalARN}, {"associatedAccessPolicies", list}}, next), nil
}
