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

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/token"
)

// minter mints for the cluster as it is known now.
type minter struct{ client *Client }

// Token mints a token.
func (m minter) Token(ctx context.Context) (token.Token, error) {
	bounded, cancel := within(ctx, m.client.ctx)
	defer cancel()
	tok, err := m.client.place.Load().source.Token(bounded)
	switch {
	case err == nil:
		return tok, nil
	case ctx.Err() != nil:
		return token.Token{}, context.Cause(ctx)
	case m.client.ctx.Err() != nil:
		return token.Token{}, ErrClosed
	}
	// Given credentials are asked directly, and the SDK's errors may quote secrets.
	var expired *token.CredentialsExpiredError
	if !errors.As(err, &expired) {
		err = m.client.session.ExplainCredentials(bounded, err)
	}
	return token.Token{}, explain(err)
}

// Invalidate has the credentials got anew.
func (m minter) Invalidate() { m.client.place.Load().source.Invalidate() }

// source mints tokens for a cluster by this name.
func (k *Client) source(name string) (*token.Source, error) {
	source, err := token.New(token.Config{
		Cluster: name, Region: k.region, Variant: k.session.STSVariant(), Credentials: k.credentials(), Now: k.now,
	})
	if err != nil {
		return nil, &ConfigError{Field: "region", Reason: "cannot be: " + err.Error()}
	}
	return source, nil
}

// describe asks EKS where the cluster is.
func (k *Client) describe(ctx context.Context) (*place, error) {
	if k.region == "" {
		return nil, &ConfigError{Field: "region", Reason: "is set nowhere, and EKS is asked by region"}
	}
	out, err := k.session.EKS(k.region).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &k.cluster})
	if err != nil {
		return nil, k.explainDescribe(k.session.Explain(err))
	}
	account := ""
	if before := k.place.Load(); before != nil {
		// The credentials may be another account's by now, with a cluster of that name.
		account = before.account
	}
	if err := discovery.Check(out.Cluster, k.cluster, k.region, account); err != nil {
		return nil, &DescribeError{Cluster: k.cluster, Region: k.region, Reason: err.Error()}
	}
	return k.placeOf(out.Cluster)
}

func (k *Client) explainDescribe(err error) error {
	var api *awsconf.APIError
	if !errors.As(err, &api) || api.Service != "EKS" {
		return explain(err)
	}
	if api.NotFound() {
		return &ClusterNotFoundError{Cluster: k.cluster, Region: k.region}
	}
	return &DescribeError{Cluster: k.cluster, Region: k.region, Code: api.Code, Reason: api.Message}
}

func (k *Client) odd(reason string) error {
	return &DescribeError{Cluster: k.cluster, Region: k.region, Reason: "the answer " + reason}
}

// placeOf takes from an answer, which has been held against the question, what is
// needed.
func (k *Client) placeOf(c *types.Cluster) (*place, error) {
	if c.ConnectorConfig != nil {
		return nil, &ClusterNotReadyError{Cluster: k.cluster, Status: "only registered with EKS"}
	}
	endpoint := aws.ToString(c.Endpoint)
	if endpoint == "" || c.CertificateAuthority == nil || c.Status == types.ClusterStatusDeleting {
		return nil, &ClusterNotReadyError{Cluster: k.cluster, Status: string(c.Status)}
	}
	ca, err := base64.StdEncoding.DecodeString(aws.ToString(c.CertificateAuthority.Data))
	if err != nil {
		return nil, k.odd("has a CA that is not base64")
	}
	source, err := k.source(discovery.TokenName(c))
	if err != nil {
		return nil, err
	}
	where, err := newPlace(endpoint, ca, source)
	if err != nil {
		return nil, k.odd("cannot be used: " + err.Error())
	}
	where.account = strings.Split(aws.ToString(c.Arn), ":")[4] // of an ARN that was checked
	return where, nil
}

// How long EKS is not asked again after an answer that changed nothing, or none:
// twice as long each time, less up to half.
const (
	firstPause = 2 * time.Second
	longPause  = time.Minute
)

// asking is about asking EKS again.
type asking struct {
	turn  chan struct{} // holds one while somebody asks
	vain  int           // how often in a row it was of no use
	after time.Time     // not before
	err   error         // of the last time
}

// askTimeout bounds one question to EKS, its credentials included.
const askTimeout = time.Minute

// again asks EKS again where the cluster is, because seen does not work. It gives
// seen where there is nothing new. Only one asks at a time, and seldom. An error
// is EKS's, now or a moment ago. The answer is waited for as long as ctx lasts, and
// is for the next request where that is too short: else each of many impatient
// requests would ask, and none would learn.
func (k *Client) again(ctx context.Context, seen *place) (*place, error) {
	select {
	case k.asking.turn <- struct{}{}:
	case <-ctx.Done():
		return seen, context.Cause(ctx)
	case <-k.ctx.Done():
		return seen, ErrClosed
	}
	var (
		where  *place
		err    error
		learnt = make(chan struct{})
	)
	closed := k.start(func() {
		defer func() { <-k.asking.turn; close(learnt) }()
		where, err = k.learn(seen)
	})
	if closed != nil {
		<-k.asking.turn
		return seen, closed
	}
	select {
	case <-learnt:
		return where, err
	case <-ctx.Done():
		return seen, context.Cause(ctx)
	}
}

// learn is again for the one whose turn it is.
func (k *Client) learn(seen *place) (*place, error) {
	if now := k.place.Load(); now != seen {
		return now, nil
	}
	// A longer wait than longPause is a clock that was put back.
	if wait := k.asking.after.Sub(k.now()); wait > 0 && wait <= longPause {
		return seen, k.asking.err
	}
	ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
	defer cancel()
	where, err := k.describe(ctx)
	if k.ctx.Err() != nil {
		return seen, ErrClosed
	}
	k.asking.err = err
	if err != nil || where.url == seen.url && bytes.Equal(where.ca, seen.ca) {
		pause := longPause
		if k.asking.vain < 5 {
			pause = firstPause << k.asking.vain
		}
		pause -= time.Duration(float64(pause/2) * rand.Float64()) // #nosec G404 -- spreads calls, hides nothing
		k.asking.vain++
		k.asking.after = k.now().Add(pause)
		if err != nil {
			k.log.Warn("asking EKS again failed", "cluster", k.cluster, "error", err)
		}
		return seen, err
	}
	if bytes.Equal(where.ca, seen.ca) {
		where.pool = seen.pool // and so the transports stay
	}
	k.asking.vain = 0
	k.place.Store(where)
	k.log.Info("the cluster has moved", "cluster", k.cluster, "endpoint", where.url, "newCA", where.pool != seen.pool)
	return where, nil
}
