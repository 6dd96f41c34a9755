package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// tagKeys is the query parameter that UntagResource gives once a key.
const tagKeys = "tagKeys"

// tagged finds the tags of the cluster or access entry that the path names by its
// ARN, once the caller may do to it what it asks. AWS documents the codes; the words
// are ours (https://docs.aws.amazon.com/eks/latest/APIReference/API_TagResource.html).
func (s *Server) tagged(c *call, who *credential) (map[string]string, *apiError) {
	arn := c.labels[0]
	resource, ok := strings.CutPrefix(arn, c.eksARN(who, ""))
	if !ok {
		return nil, &apiError{"BadRequestException", "The resource ARN is not valid: " + arn, http.StatusBadRequest}
	}
	if err := c.authorize(who, c.action, arn, "", nil); err != nil {
		return nil, err
	}
	parts := strings.Split(resource, "/")
	if len(parts) > 1 {
		if k := s.clusters[clusterKey{who.owner.account.id, c.auth.region, parts[1]}]; k != nil {
			s.settle(k, c.at)
			if resource == "cluster/"+k.Name {
				return k.Tags, nil
			}
			for _, e := range k.entries {
				if e.arn == arn {
					return e.tags, nil
				}
			}
		}
	}
	return nil, &apiError{"NotFoundException", "The resource could not be found: " + arn, http.StatusNotFound}
}

func (s *Server) tagResource(c *call, who *credential) (any, *apiError) {
	tags, err := s.tagged(c, who)
	if err != nil {
		return nil, err
	}
	var in struct{ Tags map[string]string }
	if err := c.readJSON(&in); err != nil {
		return nil, err
	}
	after := maps.Clone(tags)
	maps.Copy(after, in.Tags)
	const most = 50
	if len(in.Tags) == 0 || len(after) > most {
		return nil, &apiError{"BadRequestException", fmt.Sprintf("A resource has 1 to %d tags.", most), http.StatusBadRequest}
	}
	maps.Copy(tags, in.Tags)
	return object{}, nil
}

func (s *Server) untagResource(c *call, who *credential) (any, *apiError) {
	tags, err := s.tagged(c, who)
	if err != nil {
		return nil, err
	}
	for _, p := range c.query {
		if p.key == tagKeys {
			delete(tags, p.value)
		}
	}
	return object{}, nil
}

func (s *Server) listTags(c *call, who *credential) (any, *apiError) {
	tags, err := s.tagged(c, who)
	if err != nil {
		return nil, err
	}
	return object{{"tags", maps.Clone(tags)}}, nil
}
