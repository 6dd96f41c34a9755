package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/access"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/kubeapi"
)

// accessTarget is the cluster that an access command is about, with what it is reached by.
type accessTarget struct {
	session *awsconf.Session
	cluster *types.Cluster
	region  string
	// kube returns a client of the API server, the same at each call.
	kube func(context.Context) (*kubeapi.Client, error)
}

// openAccess finds the cluster.
func (a *app) openAccess(ctx context.Context, name string) (*accessTarget, error) {
	if err := needCluster(name); err != nil {
		return nil, err
	}
	session, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := a.describe(ctx, session, name)
	if err != nil {
		return nil, err
	}
	region, err := session.NeedRegion()
	if err != nil {
		return nil, err
	}
	t := &accessTarget{session: session, cluster: cluster, region: region}
	var once sync.Mutex
	var client *kubeapi.Client
	t.kube = func(ctx context.Context) (*kubeapi.Client, error) {
		once.Lock()
		defer once.Unlock()
		if client == nil {
			c, err := a.kubeClient(ctx, session, cluster)
			if err != nil {
				return nil, err
			}
			client = c
		}
		return client, nil
	}
	return t, nil
}

// kubeClient is a client of a cluster's API server, with a new token.
func (a *app) kubeClient(ctx context.Context, session *awsconf.Session, cluster *types.Cluster) (*kubeapi.Client, error) {
	if err := needEndpoint(cluster); err != nil {
		return nil, err
	}
	_, ca, err := caOf(cluster)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's certificate authority: %w", err)
	}
	tok, err := a.mint(ctx, session.Signer(), tokenName(cluster))
	if err != nil {
		return nil, err
	}
	return kubeapi.New(kubeapi.Config{Server: aws.ToString(cluster.Endpoint), CA: ca, Token: tok, Proxy: http.ProxyFromEnvironment})
}

// read reads who has access. What cannot be read is a warning, unless nothing can.
func (t *accessTarget) read(ctx context.Context, a *app, askIAM bool) (*access.Cluster, error) {
	progress := a.newProgress()
	config := access.ReadConfig{
		Cluster: t.cluster, EKS: t.session.EKS(t.region), Kube: t.kube,
		Progress: func(done, total int) { progress.count("describing access entries", done, total) },
	}
	if askIAM {
		config.IAM = t.session.IAM(t.region)
	}
	c, err := access.Read(ctx, config)
	progress.end()
	if err != nil {
		return nil, err
	}
	entries, auth := t.session.Explain(c.EntriesErr), c.AWSAuthErr
	switch {
	case entries != nil && (auth != nil || !c.Mode.HasConfigMap()):
		return nil, entries
	case auth != nil && !c.Mode.HasEntries():
		return nil, authError(auth)
	case entries != nil:
		a.warn("the access entries cannot be read: %v; they need eks:ListAccessEntries, eks:DescribeAccessEntry and eks:ListAssociatedAccessPolicies", entries)
	case auth != nil:
		a.warn("aws-auth cannot be read: %v", authError(auth))
	}
	if c.IAMErr != nil {
		a.warn("IAM does not tell about the principals (%v); that needs iam:GetRole and iam:GetUser, or use --no-iam", t.session.Explain(c.IAMErr))
	}
	return c, nil
}

// lookUp asks IAM about a principal of the cluster's account, so that its path is right and
// a misspelt one is found. What IAM does not tell is not known.
func (t *accessTarget) lookUp(ctx context.Context, a *app, c *access.Cluster, principal string) {
	p, err := identity.ParsePrincipal(principal)
	if err != nil || p.Account != c.Account() || p.Kind != identity.KindRole && p.Kind != identity.KindUser {
		return
	}
	found, err := access.LookUp(ctx, t.session.IAM(t.region), principal)
	if err != nil {
		a.log.Debug("IAM does not tell about the principal", "reason", t.session.Explain(err))
		return
	}
	c.Principals[principal] = found
}

// authError says what reading the ConfigMap aws-auth needs.
func authError(err error) error {
	var status *kubeapi.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized) {
		return &hintError{err, "reading aws-auth needs the verb get on configmaps/aws-auth in kube-system"}
	}
	return err
}

// clusterFlag adds --cluster.
func (a *app) clusterFlag(cmd *cobra.Command, cluster *string) {
	cmd.Flags().StringVar(cluster, "cluster", "", "`name` of the cluster")
	a.completeCluster(cmd)
}
