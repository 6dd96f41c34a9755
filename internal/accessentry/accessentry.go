// Package accessentry reads the access entries of an EKS cluster, with their access
// policies, from EKS's API.
//
// Source: https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
package accessentry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/accesspolicy"
)

// The types of access entries. Only Standard entries take groups and have a username of
// the user's choice; only Standard and AutoNode entries take access policies.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html
const (
	Standard = "STANDARD"
	AutoNode = "EC2"
)

// Entry is an access entry. Its JSON names are those of EKS's API.
type Entry struct {
	// PrincipalARN is the IAM user or role, with its path.
	PrincipalARN string `json:"principalArn"`
	// ARN is the entry's own.
	ARN  string `json:"accessEntryArn,omitempty"`
	Type string `json:"type"`
	// Username and Groups are templates, see package mapping. EKS fills in Username.
	Username string            `json:"username"`
	Groups   []string          `json:"kubernetesGroups"`
	Tags     map[string]string `json:"tags,omitempty"`
	// CreatedAt is when the principal's unique id was pinned.
	CreatedAt  time.Time                  `json:"createdAt"`
	ModifiedAt time.Time                  `json:"modifiedAt"`
	Policies   []accesspolicy.Association `json:"associatedAccessPolicies"`
}

// API is the part of *eks.Client that List and Get call.
type API interface {
	eks.ListAccessEntriesAPIClient
	eks.ListAssociatedAccessPoliciesAPIClient
	DescribeAccessEntry(context.Context, *eks.DescribeAccessEntryInput, ...func(*eks.Options)) (*eks.DescribeAccessEntryOutput, error)
}

// AtOnce is how many entries are described concurrently. EKS has no call that describes
// several.
const AtOnce = 32

// attempts bounds the tries of a throttled call.
const attempts = 9

// Config configures a Reader. EKS and Cluster are required.
type Config struct {
	EKS     API
	Cluster string
	// AtOnce bounds concurrent calls. Zero means the constant AtOnce.
	AtOnce int
	// Progress is told how many of how many entries are described, by one goroutine at a
	// time. Nil means nobody is.
	Progress func(done, total int)
}

// Reader reads the entries of one cluster. It is safe for concurrent use.
type Reader struct {
	cfg Config
	// retryer is shared by all calls, so that one throttled call slows them all down.
	retryer aws.Retryer
}

// New makes a Reader.
func New(c Config) *Reader {
	if c.AtOnce <= 0 {
		c.AtOnce = AtOnce
	}
	return &Reader{cfg: c, retryer: retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
			o.MaxAttempts, o.RateLimiter = attempts, ratelimit.None
		})
	})}
}

func (r *Reader) options(o *eks.Options) { o.Retryer = r.retryer }

// List returns all entries, sorted by principal. An entry that is deleted meanwhile is
// left out. It fails with the first error of a call.
func (r *Reader) List(ctx context.Context) ([]Entry, error) {
	var principals []string
	pages := eks.NewListAccessEntriesPaginator(r.cfg.EKS, &eks.ListAccessEntriesInput{ClusterName: &r.cfg.Cluster, MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, r.options)
		if err != nil {
			return nil, err
		}
		principals = append(principals, page.AccessEntries...)
	}
	slices.Sort(principals)
	principals = slices.Compact(principals)

	found, err := r.describe(ctx, principals)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(e Entry) bool { return e.PrincipalARN == "" }), nil
}

// describe gets entries concurrently, in the same order. What does not exist has no
// principal.
func (r *Reader) describe(ctx context.Context, principals []string) ([]Entry, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make([]Entry, len(principals))
	var next, done atomic.Int64
	var progress sync.Mutex
	var workers sync.WaitGroup
	for range min(r.cfg.AtOnce, len(principals)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(principals) || ctx.Err() != nil {
					return
				}
				e, err := r.Get(ctx, principals[i])
				var gone *types.ResourceNotFoundException
				if err != nil && !errors.As(err, &gone) {
					cancel(err)
					return
				}
				found[i] = e
				progress.Lock()
				if n := int(done.Add(1)); r.cfg.Progress != nil {
					r.cfg.Progress(n, len(principals))
				}
				progress.Unlock()
			}
		})
	}
	workers.Wait()
	return found, context.Cause(ctx)
}

// Get returns the entry of one principal. It fails with
// *types.ResourceNotFoundException if there is none, and with *ResponseError if the
// response is about another principal.
func (r *Reader) Get(ctx context.Context, principal string) (Entry, error) {
	out, err := r.cfg.EKS.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: &r.cfg.Cluster, PrincipalArn: &principal}, r.options)
	if err != nil {
		return Entry{}, err
	}
	if out.AccessEntry == nil || aws.ToString(out.AccessEntry.PrincipalArn) != principal {
		return Entry{}, &ResponseError{Principal: principal}
	}
	e := entryOf(out.AccessEntry)
	if !TakesPolicies(e.Type) {
		return e, nil
	}
	pages := eks.NewListAssociatedAccessPoliciesPaginator(r.cfg.EKS, &eks.ListAssociatedAccessPoliciesInput{ClusterName: &r.cfg.Cluster, PrincipalArn: &principal})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, r.options)
		if err != nil {
			return Entry{}, err
		}
		if page.PrincipalArn != nil && *page.PrincipalArn != principal {
			return Entry{}, &ResponseError{Principal: principal}
		}
		for _, p := range page.AssociatedAccessPolicies {
			e.Policies = append(e.Policies, associationOf(p))
		}
	}
	slices.SortFunc(e.Policies, func(a, b accesspolicy.Association) int { return strings.Compare(a.PolicyARN, b.PolicyARN) })
	return e, nil
}

// TakesPolicies reports whether entries of a type can have access policies.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_AssociateAccessPolicy.html
func TakesPolicies(kind string) bool { return kind == Standard || kind == AutoNode }

func entryOf(e *types.AccessEntry) Entry {
	groups := slices.Clone(e.KubernetesGroups)
	slices.Sort(groups)
	return Entry{
		PrincipalARN: aws.ToString(e.PrincipalArn), ARN: aws.ToString(e.AccessEntryArn), Type: aws.ToString(e.Type),
		Username: aws.ToString(e.Username), Groups: groups, Tags: e.Tags,
		CreatedAt: aws.ToTime(e.CreatedAt).UTC(), ModifiedAt: aws.ToTime(e.ModifiedAt).UTC(),
	}
}

func associationOf(p types.AssociatedAccessPolicy) accesspolicy.Association {
	a := accesspolicy.Association{PolicyARN: aws.ToString(p.PolicyArn)}
	if p.AccessScope != nil {
		a.Scope = accesspolicy.Scope{Type: accesspolicy.ScopeType(p.AccessScope.Type), Namespaces: p.AccessScope.Namespaces}
	}
	return a
}

// ResponseError reports a response of EKS that is not about the requested principal.
type ResponseError struct{ Principal string }

func (e *ResponseError) Error() string {
	return fmt.Sprintf("describing the access entry of %s: the response is about another principal", e.Principal)
}
