// Package ec2names finds the private DNS names of EC2 instances, for {{EC2PrivateDNSName}}.
// Instances that are asked for at one moment are described by one call.
package ec2names

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"golang.org/x/time/rate"

	"github.com/ekskey/ekskey/identity"
)

// The defaults of aws-iam-authenticator.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, cmd/aws-iam-authenticator/server.go
const (
	DefaultQPS   = 15
	DefaultBurst = 5
)

const (
	// wait is how long an instance waits for others to be described with.
	wait = 20 * time.Millisecond
	// mostIDs is how many instances one call describes. EC2 recommends no more.
	mostIDs = 100
	// callTimeout bounds one call with all its attempts.
	callTimeout = 10 * time.Second
	// ttl is how long a name is remembered: an instance keeps it for life. missingTTL is for
	// an instance that EC2 does not know yet: it is eventually consistent.
	ttl        = time.Hour
	missingTTL = 10 * time.Second
	// mostNames bounds what is remembered.
	mostNames = 100_000
)

// instanceID is what EC2 calls instances.
//
// Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// EC2 is the part of *ec2.Client that is called.
type EC2 interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
}

// IAM is the part of *iam.Client that is called.
type IAM interface {
	GetInstanceProfile(context.Context, *iam.GetInstanceProfileInput, ...func(*iam.Options)) (*iam.GetInstanceProfileOutput, error)
}

// Config configures a Resolver. EC2 is required.
type Config struct {
	EC2 EC2
	// IAM is asked which role an instance's profile has: it must be the role that signed. Who
	// may assume a node's role chooses the session's name, and so the instance; this stops
	// instances of other roles. Nil leaves that out.
	IAM IAM
	// QPS and Burst limit calls to EC2. Zero means the defaults.
	QPS   float64
	Burst int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Resolver finds names. It is safe for concurrent use.
type Resolver struct {
	cfg     Config
	limiter *rate.Limiter

	mu      sync.Mutex
	known   map[string]answer
	pending *batch
	roles   map[string]profileRole // by the ARN of an instance profile
}

// answer is what EC2 says of an instance. Without a name it does not know it, or the
// instance has none.
type answer struct {
	name, profile string
	reason        string // why there is no name
	until         time.Time
}

type profileRole struct {
	arn   string
	until time.Time
}

// batch are instances to be described by one call.
type batch struct {
	ids  []string
	done chan struct{}
	err  error
}

// New makes a Resolver.
func New(c Config) *Resolver {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.QPS <= 0 {
		c.QPS = DefaultQPS
	}
	if c.Burst <= 0 {
		c.Burst = DefaultBurst
	}
	return &Resolver{cfg: c, limiter: rate.NewLimiter(rate.Limit(c.QPS), c.Burst), known: map[string]answer{}, roles: map[string]profileRole{}}
}

// InstanceError says why an instance has no name. It is final: the next try meets it too.
type InstanceError struct{ ID, Reason string }

func (e *InstanceError) Error() string { return fmt.Sprintf("instance %q %s", e.ID, e.Reason) }

// Temporary says that another try will not help.
func (e *InstanceError) Temporary() bool { return false }

// Name returns the private DNS name of an instance whose role signed as id. It fails with
// *InstanceError, with the context's error, or with that of a call.
func (r *Resolver) Name(ctx context.Context, instance string, id identity.Identity) (string, error) {
	if !instanceID.MatchString(instance) {
		return "", &InstanceError{instance, "is not the ID of an instance"}
	}
	a, err := r.describe(ctx, instance)
	if err != nil {
		return "", err
	}
	if a.name == "" {
		return "", &InstanceError{instance, a.reason}
	}
	if r.cfg.IAM == nil {
		return a.name, nil
	}
	return a.name, r.checkRole(ctx, instance, a.profile, id)
}

// describe gets an answer, from memory or with others in one call. Who gives up does not
// end the call that others wait for.
func (r *Resolver) describe(ctx context.Context, instance string) (answer, error) {
	r.mu.Lock()
	if a, ok := r.known[instance]; ok && r.cfg.Now().Before(a.until) {
		r.mu.Unlock()
		return a, nil
	}
	b := r.pending
	if b == nil || len(b.ids) == mostIDs {
		b = &batch{done: make(chan struct{})}
		r.pending = b
		go r.run(b) // #nosec G118 -- who gives up does not end what others wait for
	}
	if !slices.Contains(b.ids, instance) {
		b.ids = append(b.ids, instance)
	}
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-b.done:
	}
	if b.err != nil {
		return answer{}, b.err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[instance], nil
}

// run closes a batch after a moment, and describes its instances.
func (r *Resolver) run(b *batch) {
	defer close(b.done)
	time.Sleep(wait)
	r.mu.Lock()
	if r.pending == b {
		r.pending = nil
	}
	ids := slices.Clone(b.ids)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	found, err := r.call(ctx, ids)
	if err != nil {
		b.err = err
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known)+len(ids) > mostNames {
		clear(r.known)
	}
	now := r.cfg.Now()
	for _, id := range ids {
		a, ok := found[id]
		if !ok {
			a.reason = "does not exist, or EC2 does not know it yet"
		}
		a.until = now.Add(ttl)
		if a.name == "" {
			a.until = now.Add(missingTTL)
		}
		r.known[id] = a
	}
}

// call describes instances. One that does not exist would fail the call for all, so a filter
// names them, and is not an error.
func (r *Resolver) call(ctx context.Context, ids []string) (map[string]answer, error) {
	found := map[string]answer{}
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: ids}}, MaxResults: aws.Int32(1000)}
	for {
		if err := r.limiter.Wait(ctx); err != nil {
			return nil, fmt.Errorf("waiting for the limit of calls to EC2: %w", err)
		}
		out, err := r.cfg.EC2.DescribeInstances(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, reservation := range out.Reservations {
			for _, i := range reservation.Instances {
				a := answer{name: aws.ToString(i.PrivateDnsName), reason: "has no private DNS name"}
				if i.IamInstanceProfile != nil {
					a.profile = aws.ToString(i.IamInstanceProfile.Arn)
				}
				if i.State != nil && (i.State.Name == types.InstanceStateNameTerminated || i.State.Name == types.InstanceStateNameShuttingDown) {
					a = answer{reason: "is terminated"}
				}
				found[aws.ToString(i.InstanceId)] = a
			}
		}
		if aws.ToString(out.NextToken) == "" {
			return found, nil
		}
		in.NextToken = out.NextToken
	}
}

// checkRole refuses an instance whose profile does not hold the role that signed.
func (r *Resolver) checkRole(ctx context.Context, instance, profile string, id identity.Identity) error {
	if profile == "" {
		return &InstanceError{instance, "has no instance profile, and so not the role " + id.Principal.Name}
	}
	r.mu.Lock()
	role, ok := r.roles[profile]
	r.mu.Unlock()
	if !ok || !r.cfg.Now().Before(role.until) {
		name := profile[strings.LastIndex(profile, "/")+1:]
		out, err := r.cfg.IAM.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &name})
		var api smithy.APIError
		switch {
		case errors.As(err, &api) && api.ErrorCode() == "NoSuchEntity":
			role = profileRole{}
		case err != nil:
			return err
		case out.InstanceProfile != nil && aws.ToString(out.InstanceProfile.Arn) == profile && len(out.InstanceProfile.Roles) == 1:
			role = profileRole{arn: aws.ToString(out.InstanceProfile.Roles[0].Arn)}
		}
		role.until = r.cfg.Now().Add(missingTTL)
		if role.arn != "" {
			role.until = r.cfg.Now().Add(10 * time.Minute)
		}
		r.mu.Lock()
		if len(r.roles) >= mostNames {
			clear(r.roles)
		}
		r.roles[profile] = role
		r.mu.Unlock()
	}
	p, err := identity.ParsePrincipal(role.arn)
	if err != nil || p.Account != id.Principal.Account || p.Partition != id.Principal.Partition || !strings.EqualFold(p.Name, id.Principal.Name) {
		return &InstanceError{instance, "has an instance profile with another role than " + id.Principal.Name}
	}
	return nil
}
