package servercli

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/ec2names"
	"github.com/ekskey/ekskey/internal/mapping"
)

// ec2Config is how {{EC2PrivateDNSName}} is looked up: aws-iam-authenticator's keys, and
// server.ec2.
type ec2Config struct {
	roleARN, sourceARN string
	qps, burst         int
	region             string
	// checkProfile demands that the instance's profile has the role that signed.
	checkProfile bool
}

func (e *ec2Config) read(r *reader, n *yaml.Node) {
	e.checkProfile = true
	r.object(n, "server.ec2.", map[string]func(*yaml.Node){
		"region":               r.text(&e.region),
		"checkinstanceprofile": r.boolean(&e.checkProfile),
	})
}

// roleARN reads the ARN of a role; an empty one, as aws-iam-authenticator's flags default to, is
// none.
func (r *reader) roleARN(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.text(to)(n)
		if p, err := identity.ParsePrincipal(*to); *to != "" && (err != nil || p.Kind != identity.KindRole) {
			r.fail(n, "server.ec2DescribeInstancesRoleARN is not the ARN of a role")
		}
	}
}

func (r *reader) anyARN(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.text(to)(n)
		if _, err := identity.ParseARN(*to); *to != "" && err != nil {
			r.fail(n, "server.sourceARN: "+err.Error())
		}
	}
}

// lookup returns what looks instances up. AWS configuration is loaded at the first use:
// a server without nodes needs none.
func (l *live) lookup(e ec2Config) mapping.Lookup {
	var mu sync.Mutex
	var resolver *ec2names.Resolver
	var failed error
	var again time.Time // not to search for credentials at each request
	open := func(ctx context.Context) (*ec2names.Resolver, error) {
		mu.Lock()
		defer mu.Unlock()
		if resolver != nil || failed != nil && time.Now().Before(again) {
			return resolver, failed
		}
		resolver, failed = e.open(context.WithoutCancel(ctx), l)
		again = time.Now().Add(10 * time.Second)
		return resolver, failed
	}
	return func(ctx context.Context, instance string, id identity.Identity) (string, error) {
		r, err := open(ctx)
		if err != nil {
			return "", err
		}
		return r.Name(ctx, instance, id)
	}
}

func (e ec2Config) open(ctx context.Context, l *live) (*ec2names.Resolver, error) {
	cfg := awsconf.Config{Region: e.region, Log: l.log}
	if e.roleARN != "" {
		cfg.Roles = []awsconf.Role{{ARN: e.roleARN, SourceARN: e.sourceARN}}
	}
	session, err := awsconf.Load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	region, err := session.NeedRegion()
	if err != nil {
		return nil, errors.New("no AWS region is set for EC2: set server.ec2.region, or AWS_REGION")
	}
	c := ec2names.Config{EC2: ec2.NewFromConfig(session.Config(region)), QPS: float64(e.qps), Burst: e.burst}
	if e.checkProfile {
		c.IAM = session.IAM(region)
	}
	return ec2names.New(c), nil
}
