package discovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/ekskey/ekskey/internal/awsconf"
)

// pageSize is the number of clusters per page, EKS's maximum; maxPages is far beyond
// any account's quota of clusters; maxName is the longest name.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html
// and https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
const (
	pageSize = 100
	maxPages = 1000
	maxName  = 100
)

// Source is a session with which to list clusters, and the regions.
type Source struct {
	Session *awsconf.Session
	Profile string // as requested; empty if none was
	Regions []string
	// Err is why there is no Session: then the source is one failed listing.
	Err error
}

// Listing has the clusters of one source in one region.
type Listing struct {
	Session *awsconf.Session
	Profile string
	Region  string // empty if the source failed
	// Account is the caller's. It is empty if STS did not report it.
	Account string
	// Names are sorted and complete: if any page failed, there are no names, and Err.
	Names []string
	Err   error
}

// List lists the clusters of all sources, in the order of the sources and their
// regions. The credentials of the sources are loaded in sequence, because each may
// prompt the user; a source without credentials is one failed listing. List fails only
// when the context ends.
func (f *Finder) List(ctx context.Context, sources []Source) ([]Listing, error) {
	var all []Listing
	for _, s := range sources {
		err := s.Err
		if err == nil {
			_, err = s.Session.Credentials().Retrieve(ctx)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			all = append(all, Listing{Session: s.Session, Profile: s.Profile, Err: err})
			continue
		}
		for _, r := range s.Regions {
			all = append(all, Listing{Session: s.Session, Profile: s.Profile, Region: r})
		}
	}
	f.step(func(p *Progress) { p.Listings += len(all) })
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			if l := &all[i]; l.Err == nil {
				// Without the account the names are still useful.
				l.Account, _ = f.Account(ctx, l.Session)
				l.Names, l.Err = f.list(ctx, l)
			}
			f.done(ctx, func(p *Progress) { p.Listed++ })
		})
	}
	wait.Wait()
	return all, ctx.Err()
}

func (f *Finder) list(ctx context.Context, l *Listing) ([]string, error) {
	c := f.client(l.Session, l.Account, l.Region)
	var names []string
	in := eks.ListClustersInput{MaxResults: aws.Int32(pageSize)}
	visited := map[[sha256.Size]byte]bool{} // digests, because tokens may be long
	for range maxPages {
		var page *eks.ListClustersOutput
		err := c.do(ctx, func(ctx context.Context, retry ...func(*eks.Options)) (err error) {
			page, err = c.eks.ListClusters(ctx, &in, append(retry, wholePage)...)
			return err
		})
		var wrong *pageError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("calling EKS ListClusters: %w", wrong)
		}
		if err != nil {
			return nil, err
		}
		for _, name := range page.Clusters {
			if !validName(name) {
				return nil, fmt.Errorf("calling EKS ListClusters: %q is not a cluster name", clip(name))
			}
		}
		names = append(names, page.Clusters...)
		token := aws.ToString(page.NextToken)
		if token == "" {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
		if len(token) > maxToken {
			return nil, fmt.Errorf("calling EKS ListClusters: the response's nextToken has more than %d bytes", maxToken)
		}
		// Never the same page again, or a bad server could keep this going for ever.
		digest := sha256.Sum256([]byte(token))
		if visited[digest] || len(names) > maxPages*pageSize {
			break
		}
		visited[digest] = true
		in.NextToken = page.NextToken
	}
	return nil, errors.New("calling EKS ListClusters: the list does not end")
}

// validName is EKS's rule for cluster names.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[0] == '_' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func clip(s string) string { return s[:min(len(s), 2*maxName)] }
