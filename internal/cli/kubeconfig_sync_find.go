package cli

import (
	"context"
	"fmt"
	"path"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// clusterSync is one run of `ekskey kubeconfig sync`.
type clusterSync struct {
	options kubeconfig.Options // alike for all clusters
	alias   alias
	match   []string
	tags    []wantedTag
	prune   bool

	before   map[string]kubeconfig.MergedContext // those of ekskey before the search began, if prune
	listings []discovery.Listing
	listed   int // clusters, each counted once
	found    []foundCluster
	rows     []syncRow
	changes  []int      // the row of each of the batch's changes
	odd      [][]string // what is odd about each of them
	note     string     // of the profile that is written
	twins    string     // what there is to say of clusters that several profiles see
}

// wantedTag is a tag that a cluster must have, with this value if valued.
type wantedTag struct {
	key, value string
	valued     bool
}

// foundCluster is a cluster that was listed, and what EKS then said of it.
type foundCluster struct {
	name, region, account string
	profile               string
	answer                discovery.Answer
}

// sighting is a cluster in a listing. Where it is in several, and its context's
// name does not tell by which profile it was seen, only one is to be written: the
// first that can be described.
type sighting struct {
	listings []*discovery.Listing
	name     string
}

// describe has the wanted clusters of the listings described.
func (s *clusterSync) describe(ctx context.Context, finder *discovery.Finder) error {
	all := s.sightings()
	s.countTwins(all)
	s.found = make([]foundCluster, len(all))
	pending := make([]int, len(all))
	for i := range all {
		pending[i] = i
	}
	for len(pending) > 0 {
		questions := make([]discovery.Question, len(pending))
		for n, i := range pending {
			l := all[i].listings[0]
			questions[n] = discovery.Question{Session: l.Session, Region: l.Region, Name: all[i].name, Account: l.Account}
		}
		answers, err := finder.Describe(ctx, questions)
		if err != nil {
			return err
		}
		var again []int
		for n, i := range pending {
			l := all[i].listings[0]
			if all[i].listings = all[i].listings[1:]; answers[n].Err != nil && len(all[i].listings) > 0 {
				again = append(again, i)
				continue
			}
			s.found[i] = foundCluster{name: all[i].name, region: l.Region, account: l.Account, profile: l.Profile, answer: answers[n]}
		}
		pending = again
	}
	return nil
}

// sightings are the clusters whose names match, in the order of the listings.
func (s *clusterSync) sightings() []*sighting {
	type key struct{ account, region, name string }
	var all []*sighting
	found := map[key]*sighting{} // nil for those that do not match
	for i := range s.listings {
		l := &s.listings[i]
		for _, name := range l.Names {
			k := key{l.Account, l.Region, name}
			first, known := found[k]
			if !known {
				s.listed++
				found[k] = nil
			}
			switch {
			case !s.matches(name):
			case first != nil && l.Account != "" && !s.alias.has("profile"):
				first.listings = append(first.listings, l)
			default:
				found[k] = &sighting{listings: []*discovery.Listing{l}, name: name}
				all = append(all, found[k])
			}
		}
	}
	return all
}

// countTwins counts the clusters that several profiles see.
func (s *clusterSync) countTwins(all []*sighting) {
	twins := 0
	var first *sighting
	for _, one := range all {
		if len(one.listings) > 1 {
			if twins++; twins == 1 {
				first = one
			}
		}
	}
	if twins > 0 {
		s.twins = fmt.Sprintf(
			"clusters that several profiles see, and that are written with the first of them: %d, such as %s in %s (%s, %s); {profile} in --alias keeps them apart",
			twins, first.name, first.listings[0].Region, first.listings[0].Profile, first.listings[1].Profile)
	}
}

func (s *clusterSync) matches(name string) bool {
	for _, pattern := range s.match {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return len(s.match) == 0
}

func (s *clusterSync) tagged(c discovery.Cluster) bool {
	for _, t := range s.tags {
		if value, ok := c.Tags[t.key]; !ok || t.valued && value != t.value {
			return false
		}
	}
	return true
}

// cluster is what is known of a cluster that is not described.
func (f foundCluster) cluster() discovery.Cluster {
	c := discovery.Cluster{Name: f.name, Region: f.region, Account: f.account}
	if p, err := identity.PartitionOfRegion(f.region); err == nil && f.account != "" {
		c.Partition = p.ID
		c.ARN = "arn:" + p.ID + ":eks:" + f.region + ":" + f.account + ":cluster/" + f.name
	}
	return c
}
