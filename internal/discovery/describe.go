package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
)

// Question names one cluster.
type Question struct {
	Session      *awsconf.Session
	Region, Name string
	// Account is the cluster's account. Empty means the caller's.
	Account string
}

// Answer is the result of DescribeCluster. Exactly one of its fields is set.
type Answer struct {
	Cluster *Cluster
	// Gone is true if there is no such cluster: EKS said so to a caller of the account
	// in the question.
	Gone bool
	// Err is why the state is unknown. It is *AccountError if EKS was not called, and
	// an *awserr.APIError that is NotFound if EKS has no such cluster but the account
	// may be another one.
	Err error
}

// AccountError reports that a session's credentials are of another account than the
// cluster.
type AccountError struct {
	Want, Got string // twelve digits
}

func (e *AccountError) Error() string {
	return "the credentials are of account " + e.Got + ", not " + e.Want
}

// Describe describes clusters concurrently. The answers are in the order of the
// questions. It fails only when the context ends.
func (f *Finder) Describe(ctx context.Context, questions []Question) ([]Answer, error) {
	answers := make([]Answer, len(questions))
	f.step(func(p *Progress) { p.Clusters += len(questions) })
	var wait sync.WaitGroup
	for i, q := range questions {
		wait.Go(func() {
			answers[i] = f.answer(ctx, q)
			f.done(ctx, func(p *Progress) { p.Described++ })
		})
	}
	wait.Wait()
	return answers, ctx.Err()
}

func (f *Finder) answer(ctx context.Context, q Question) Answer {
	caller, accountErr := f.Account(ctx, q.Session)
	if accountErr == nil && q.Account != "" && caller != q.Account {
		return Answer{Err: &AccountError{Want: q.Account, Got: caller}}
	}
	cluster, err := f.describe(ctx, q, caller)
	var api *awserr.APIError
	switch {
	case err == nil:
		return Answer{Cluster: cluster}
	case errors.As(err, &api) && api.NotFound() && caller != "" && caller == q.Account:
		return Answer{Gone: true}
	}
	return Answer{Err: err}
}

func (f *Finder) describe(ctx context.Context, q Question, account string) (*Cluster, error) {
	c := f.client(q.Session, account, q.Region)
	if account == "" {
		account = q.Account
	}
	var out *eks.DescribeClusterOutput
	err := c.do(ctx, func(ctx context.Context, retry ...func(*eks.Options)) (err error) {
		out, err = c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &q.Name}, retry...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := Check(out.Cluster, q.Name, q.Region, account); err != nil {
		return nil, fmt.Errorf("calling EKS DescribeCluster: %w", err)
	}
	cluster := Summary(out.Cluster, f.cfg.Tags)
	return &cluster, nil
}
