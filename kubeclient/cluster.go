package kubeclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/token"
)

// minter mints for the current endpoint of the cluster.
type minter struct{ client *Client }

// Token mints a token.
func (m minter) Token(ctx context.Context) (token.Token, error) {
	bounded, cancel := within(ctx, m.client.ctx)
	defer cancel()
	tok, err := m.client.endpoint.Load().source.Token(bounded)
	switch {
	case err == nil:
		return tok, nil
	case ctx.Err() != nil:
		return token.Token{}, context.Cause(ctx)
	case m.client.ctx.Err() != nil:
		return token.Token{}, ErrClosed
	}
	// The caller's credentials are used directly, and the SDK's errors may quote
	// secrets.
	var expired *token.CredentialsExpiredError
	if !errors.As(err, &expired) {
		err = m.client.session.ExplainCredentials(bounded, err)
	}
	return token.Token{}, explain(err)
}

// Invalidate reloads the credentials.
func (m minter) Invalidate() { m.client.endpoint.Load().source.Invalidate() }

// source mints tokens for a cluster of this name.
func (k *Client) source(name string) (*token.Source, error) {
	source, err := token.New(token.Config{
		Cluster: name, Region: k.region, Variant: k.session.STSVariant(), Credentials: k.credentials(), Now: k.now,
	})
	if err != nil {
		return nil, &ConfigError{Field: "Region", Reason: "is invalid: " + err.Error()}
	}
	return source, nil
}

// describe calls EKS for the endpoint.
func (k *Client) describe(ctx context.Context) (*clusterEndpoint, error) {
	if k.region == "" {
		return nil, &ConfigError{Field: "Region", Reason: "is required, because neither the environment nor the profile sets one"}
	}
	out, err := k.session.EKS(k.region).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &k.cluster})
	if err != nil {
		return nil, k.explainDescribe(k.session.Explain(err))
	}
	account := ""
	if before := k.endpoint.Load(); before != nil {
		// The credentials may be of another account by now, with a cluster of the same
		// name.
		account = before.account
	}
	if err := discovery.Check(out.Cluster, k.cluster, k.region, account); err != nil {
		return nil, &DescribeError{Cluster: k.cluster, Region: k.region, Reason: err.Error()}
	}
	return k.endpointOf(out.Cluster)
}

func (k *Client) explainDescribe(err error) error {
	var api *awserr.APIError
	if !errors.As(err, &api) || api.Service != "EKS" {
		return explain(err)
	}
	if api.NotFound() {
		return &ClusterNotFoundError{Cluster: k.cluster, Region: k.region}
	}
	return &DescribeError{Cluster: k.cluster, Region: k.region, Code: api.Code, Reason: api.Message}
}

func (k *Client) invalidAnswer(reason string) error {
	return &DescribeError{Cluster: k.cluster, Region: k.region, Reason: "the response " + reason}
}

// endpointOf returns the endpoint from a checked response of EKS.
func (k *Client) endpointOf(c *types.Cluster) (*clusterEndpoint, error) {
	if c.ConnectorConfig != nil {
		return nil, &ClusterNotReadyError{Cluster: k.cluster, Status: "only registered with EKS"}
	}
	endpoint := aws.ToString(c.Endpoint)
	if endpoint == "" || c.CertificateAuthority == nil || c.Status == types.ClusterStatusDeleting {
		return nil, &ClusterNotReadyError{Cluster: k.cluster, Status: string(c.Status)}
	}
	ca, err := base64.StdEncoding.DecodeString(aws.ToString(c.CertificateAuthority.Data))
	if err != nil {
		return nil, k.invalidAnswer("has a CA that is not base64")
	}
	source, err := k.source(discovery.TokenName(c))
	if err != nil {
		return nil, err
	}
	found, err := newClusterEndpoint(endpoint, ca, source)
	if err != nil {
		return nil, k.invalidAnswer("is invalid: " + err.Error())
	}
	found.account = strings.Split(aws.ToString(c.Arn), ":")[4] // the ARN was checked
	return found, nil
}

// The back-off of rediscovery after a response without a change, or an error: it
// doubles each time, less a random part of up to half.
const (
	firstPause = 2 * time.Second
	longPause  = time.Minute
)

// rediscovery is the state of calling EKS again.
type rediscovery struct {
	turn      chan struct{} // has one element while somebody calls EKS
	fruitless int           // consecutive calls without a change
	after     time.Time     // not before
	err       error         // of the last call
}

// askTimeout bounds one call to EKS, including its credentials.
const askTimeout = time.Minute

// rediscover calls EKS again for the endpoint, because the one that was tried does not
// work. It returns the same endpoint if there is no change. Only one caller calls EKS
// at a time, with a back-off. An error is that of EKS, now or during the back-off. The
// call goes on when ctx ends, for the next request: otherwise each of many impatient
// requests would call EKS, and none would get the result.
func (k *Client) rediscover(ctx context.Context, tried *clusterEndpoint) (*clusterEndpoint, error) {
	select {
	case k.rediscovery.turn <- struct{}{}:
	case <-ctx.Done():
		return tried, context.Cause(ctx)
	case <-k.ctx.Done():
		return tried, ErrClosed
	}
	var (
		found     *clusterEndpoint
		err       error
		described = make(chan struct{})
	)
	closed := k.start(func() {
		defer func() { <-k.rediscovery.turn; close(described) }()
		found, err = k.describeAgain(tried)
	})
	if closed != nil {
		<-k.rediscovery.turn
		return tried, closed
	}
	select {
	case <-described:
		return found, err
	case <-ctx.Done():
		return tried, context.Cause(ctx)
	}
}

// describeAgain is rediscover for the caller whose turn it is.
func (k *Client) describeAgain(tried *clusterEndpoint) (*clusterEndpoint, error) {
	if now := k.endpoint.Load(); now != tried {
		return now, nil
	}
	// A longer wait than longPause means that the clock was set back.
	if wait := k.rediscovery.after.Sub(k.now()); wait > 0 && wait <= longPause {
		return tried, k.rediscovery.err
	}
	ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
	defer cancel()
	found, err := k.describe(ctx)
	if k.ctx.Err() != nil {
		return tried, ErrClosed
	}
	k.rediscovery.err = err
	if err != nil || found.url == tried.url && bytes.Equal(found.ca, tried.ca) {
		pause := longPause
		if k.rediscovery.fruitless < 5 {
			pause = firstPause << k.rediscovery.fruitless
		}
		pause -= time.Duration(float64(pause/2) * rand.Float64()) // #nosec G404 -- spreads calls, hides nothing
		k.rediscovery.fruitless++
		k.rediscovery.after = k.now().Add(pause)
		if err != nil {
			k.log.Warn("describing the cluster again failed", "cluster", k.cluster, "error", err)
		}
		return tried, err
	}
	if bytes.Equal(found.ca, tried.ca) {
		found.pool = tried.pool // so that the transports stay
	}
	k.rediscovery.fruitless = 0
	k.endpoint.Store(found)
	k.log.Info("the cluster has a new endpoint or CA", "cluster", k.cluster, "endpoint", found.url, "newCA", found.pool != tried.pool)
	return found, nil
}
