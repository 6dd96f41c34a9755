package fakeaws

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// handler runs an action for a caller whose signature was verified. The server's
// lock is held.
type handler func(*Server, *call, *credential) (any, *apiError)

// handlers are the actions that need a signature.
var handlers = merged(map[Action]handler{
	GetCallerIdentity: (*Server).getCallerIdentity,
	AssumeRole:        (*Server).assumeRole,

	ListClusters:                 (*Server).listClusters,
	DescribeCluster:              (*Server).describeCluster,
	CreateAccessEntry:            (*Server).createAccessEntry,
	DescribeAccessEntry:          onEntry((*accessEntry).described),
	ListAccessEntries:            (*Server).listAccessEntries,
	UpdateAccessEntry:            onEntry((*accessEntry).update),
	DeleteAccessEntry:            onEntry((*accessEntry).remove),
	AssociateAccessPolicy:        onEntry((*accessEntry).associate),
	DisassociateAccessPolicy:     onEntry((*accessEntry).disassociate),
	ListAssociatedAccessPolicies: onEntry((*accessEntry).listPolicies),
	ListAccessPolicies:           (*Server).listAccessPolicies,
	TagResource:                  (*Server).tagResource,
	UntagResource:                (*Server).untagResource,
	ListTagsForResource:          (*Server).listTags,
	UpdateClusterConfig:          (*Server).updateClusterConfig,
	DescribeUpdate:               (*Server).describeUpdate,
	ListUpdates:                  (*Server).listUpdates,
	ListNodegroups:               (*Server).listNodegroups,
	DescribeNodegroup:            (*Server).describeNodegroup,

	DescribeInstances: (*Server).describeInstances,
}, iamHandlers())

func merged(all, more map[Action]handler) map[Action]handler {
	maps.Copy(all, more)
	return all
}

// eksRoutes are EKS's actions by method and path, from its API reference. A {}
// stands for one segment, which may have escaped slashes in it.
var eksRoutes = map[string]Action{
	"GET /clusters":                                            ListClusters,
	"GET /clusters/{}":                                         DescribeCluster,
	"POST /clusters/{}/update-config":                          UpdateClusterConfig,
	"GET /clusters/{}/node-groups":                             ListNodegroups,
	"GET /clusters/{}/node-groups/{}":                          DescribeNodegroup,
	"GET /clusters/{}/updates":                                 ListUpdates,
	"GET /clusters/{}/updates/{}":                              DescribeUpdate,
	"POST /clusters/{}/access-entries":                         CreateAccessEntry,
	"GET /clusters/{}/access-entries":                          ListAccessEntries,
	"GET /clusters/{}/access-entries/{}":                       DescribeAccessEntry,
	"POST /clusters/{}/access-entries/{}":                      UpdateAccessEntry,
	"DELETE /clusters/{}/access-entries/{}":                    DeleteAccessEntry,
	"POST /clusters/{}/access-entries/{}/access-policies":      AssociateAccessPolicy,
	"GET /clusters/{}/access-entries/{}/access-policies":       ListAssociatedAccessPolicies,
	"DELETE /clusters/{}/access-entries/{}/access-policies/{}": DisassociateAccessPolicy,
	"GET /access-policies":                                     ListAccessPolicies,
	"POST /tags/{}":                                            TagResource,
	"DELETE /tags/{}":                                          UntagResource,
	"GET /tags/{}":                                             ListTagsForResource,
}

// eksAction finds the action that a request to EKS is for, and reads the
// placeholders of its path. Every second segment of EKS's paths is one.
func (c *call) eksAction() Action {
	segments := strings.Split(strings.TrimPrefix(c.path, "/"), "/")
	var labels []string
	for i := 1; i < len(segments); i += 2 {
		label, err := url.PathUnescape(segments[i])
		if err != nil || label == "" {
			return ""
		}
		labels = append(labels, label)
		segments[i] = "{}"
	}
	a := eksRoutes[c.r.Method+" /"+strings.Join(segments, "/")]
	if a != "" {
		c.labels = labels
	}
	return a
}

// readJSON reads a REST request's body. An empty one is an empty object.
func (c *call) readJSON(into any) *apiError {
	if len(c.body) == 0 {
		return nil
	}
	if json.Unmarshal(c.body, into) != nil {
		return &apiError{"SerializationException", "The request body could not be parsed.", http.StatusBadRequest}
	}
	return nil
}
