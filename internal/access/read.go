package access

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/kubeapi"
)

// The ConfigMap of aws-auth.
const (
	authNamespace = "kube-system"
	authName      = "aws-auth"
)

// IAM is the part of *iam.Client that is called.
type IAM interface {
	GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	GetUser(context.Context, *iam.GetUserInput, ...func(*iam.Options)) (*iam.GetUserOutput, error)
}

// iamAtOnce bounds concurrent calls of IAM, whose quota is small.
const iamAtOnce = 8

// ReadConfig says where a cluster's access is read from. Cluster and EKS are required.
type ReadConfig struct {
	// Cluster is what EKS DescribeCluster says.
	Cluster *types.Cluster
	EKS     accessentry.API
	// Kube returns a client of the API server. It is called only where aws-auth counts. Nil
	// means that aws-auth is not read.
	Kube func(context.Context) (*kubeapi.Client, error)
	// IAM is asked about principals of the cluster's own account. Nil means that nobody is.
	IAM IAM
	// Progress is told how many of how many access entries are described.
	Progress func(done, total int)
}

// ModeOf is a cluster's authentication mode.
func ModeOf(c *types.Cluster) Mode {
	if c.AccessConfig == nil || c.AccessConfig.AuthenticationMode == "" {
		return ModeConfigMap
	}
	return Mode(c.AccessConfig.AuthenticationMode)
}

// Read reads who has access. What one source fails with stands in the Cluster, beside
// what the others say; only the context's end is an error.
func Read(ctx context.Context, c ReadConfig) (*Cluster, error) {
	out := &Cluster{
		Name: aws.ToString(c.Cluster.Name), ARN: aws.ToString(c.Cluster.Arn), Mode: ModeOf(c.Cluster), Principals: map[string]Principal{},
	}
	if c.Cluster.AccessConfig != nil {
		out.CreatorIsAdmin = c.Cluster.AccessConfig.BootstrapClusterCreatorAdminPermissions
	}
	var work sync.WaitGroup
	if out.Mode.HasEntries() {
		work.Go(func() {
			out.Entries, out.EntriesErr = accessentry.New(accessentry.Config{EKS: c.EKS, Cluster: out.Name, Progress: c.Progress}).List(ctx)
		})
	}
	if out.Mode.HasConfigMap() && c.Kube != nil {
		work.Go(func() { out.AWSAuth, out.AWSAuthErr = readAWSAuth(ctx, c.Kube) })
	}
	work.Wait()
	if c.IAM != nil && ctx.Err() == nil {
		out.askIAM(ctx, c.IAM)
	}
	return out, ctx.Err()
}

// readAWSAuth returns nil if the ConfigMap does not exist.
func readAWSAuth(ctx context.Context, client func(context.Context) (*kubeapi.Client, error)) (*kubeapi.ConfigMap, error) {
	kube, err := client(ctx)
	if err != nil {
		return nil, err
	}
	m, err := kube.ConfigMap(ctx, authNamespace, authName)
	var status *kubeapi.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return nil, nil
	}
	return m, err
}

// askIAM fills in Principals. It stops at the first refusal: then the caller may not read
// IAM, and nothing is known.
func (c *Cluster) askIAM(ctx context.Context, api IAM) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	retryer := retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts, o.RateLimiter = 9, ratelimit.None })
	})
	slots := make(chan struct{}, iamAtOnce)
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, arn := range c.principals() {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			p, err := LookUp(ctx, api, arn, func(o *iam.Options) { o.Retryer = retryer })
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				c.Principals[arn] = p
				return
			}
			if c.IAMErr == nil && ctx.Err() == nil {
				c.IAMErr = err
			}
			cancel()
		})
	}
	work.Wait()
}

// principals are the ARNs of roles and users in the cluster's own account, of which IAM
// can tell.
func (c *Cluster) principals() []string {
	known := map[string]bool{}
	var out []string
	add := func(text string) {
		p, err := identity.ParsePrincipal(text)
		if err != nil || known[text] || p.Account != c.Account() || p.Kind != identity.KindRole && p.Kind != identity.KindUser {
			return
		}
		known[text] = true
		out = append(out, text)
	}
	for _, e := range c.Entries {
		add(e.PrincipalARN)
	}
	if set, err := c.authSet(); err == nil {
		for _, l := range set.Listed() {
			add(l.ARN)
		}
	}
	return out
}

// LookUp asks IAM about a role or user, by its name. An answer for another path says so in
// ARN; a principal that does not exist is no error.
func LookUp(ctx context.Context, api IAM, arn string, options ...func(*iam.Options)) (Principal, error) {
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		return Principal{}, err
	}
	var out Principal
	if p.Kind == identity.KindUser {
		user, failed := api.GetUser(ctx, &iam.GetUserInput{UserName: &p.Name}, options...)
		if err = failed; err == nil && user.User != nil {
			out = Principal{Exists: true, ARN: aws.ToString(user.User.Arn), CreatedAt: aws.ToTime(user.User.CreateDate)}
		}
	} else {
		role, failed := api.GetRole(ctx, &iam.GetRoleInput{RoleName: &p.Name}, options...)
		if err = failed; err == nil && role.Role != nil {
			out = Principal{Exists: true, ARN: aws.ToString(role.Role.Arn), CreatedAt: aws.ToTime(role.Role.CreateDate)}
		}
	}
	var missing *iamtypes.NoSuchEntityException
	if errors.As(err, &missing) {
		return Principal{}, nil
	}
	return out, err
}
