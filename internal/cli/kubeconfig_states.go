package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/kubeconfig"
	"github.com/ekskey/ekskey/internal/safefile"
)

// liveness is whether a context can still work.
type liveness string

// The states of a context. Empty is one that nobody asked about.
const (
	stateAlive   liveness = "alive"
	stateStale   liveness = "stale"
	stateUnknown liveness = "unknown"
)

// contextState is what was found out about a context.
type contextState struct {
	state  liveness
	reason string
	who    string
	gone   bool  // EKS has no such cluster any more
	err    error // why it is unknown
}

// offlineState is what the files alone tell.
func (a *app) offlineState(c kubeconfig.MergedContext) contextState {
	s := contextState{who: a.whoOf(c)}
	switch {
	case !c.HasCluster:
		s.state, s.reason = stateStale, fmt.Sprintf("there is no cluster entry %q", c.Cluster)
	case !c.HasUser:
		s.state, s.reason = stateStale, fmt.Sprintf("there is no user entry %q", c.User)
	}
	return s
}

// inquiry asks AWS about contexts, with one session for all that are asked about as
// one principal.
type inquiry struct {
	app      *app
	finder   *discovery.Finder
	override bool // --profile or --role-arn say as whom to ask
	config   awsconf.Config
	sessions map[string]askedSession
}

type askedSession struct {
	session *awsconf.Session
	caller  discovery.Caller
	err     error
}

// askStates asks EKS for the cluster of each context that is one of EKS and not
// known to be stale. It fails only where nothing can be asked at all.
func (a *app) askStates(ctx context.Context, contexts []kubeconfig.MergedContext, states []contextState, files kubeconfigFlags) error {
	config, err := a.awsConfig()
	if err != nil {
		return err
	}
	in := &inquiry{
		app: a, finder: discovery.New(discovery.Config{}), config: config, sessions: map[string]askedSession{},
		override: config.Profile != "" || len(config.Roles) > 0,
	}
	var questions []discovery.Question
	var about []int // the context of each question
	for i, c := range contexts {
		if !c.IsEKS || states[i].state != "" {
			continue
		}
		asked, err := in.sessionFor(ctx, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !in.override && len(c.EKS.Roles) == 0 && asked.caller.ARN != "" && len(c.UserEntry.Other) == 0 {
			states[i].who = canonical(asked.caller.ARN)
		}
		region := c.EKS.Region
		if err == nil && region == "" {
			region, err = asked.session.NeedRegion()
		}
		if err != nil {
			states[i].state, states[i].reason, states[i].err = stateUnknown, err.Error(), err
			continue
		}
		questions = append(questions, discovery.Question{
			Session: asked.session, Region: region, Name: clusterNameOf(c.EKS), Account: c.EKS.Account,
		})
		about = append(about, i)
	}
	answers, err := in.finder.Describe(ctx, questions)
	if err != nil {
		return err
	}
	for n, answer := range answers {
		c := contexts[about[n]]
		again := ""
		if answer.Cluster != nil {
			again = "; run " + a.updateCommand(c, *answer.Cluster, files)
		}
		states[about[n]].judge(c, answer, again)
	}
	return nil
}

// sessionFor returns what to ask about a context with: its own profile, and its
// roles too only where the profile is of another account than the cluster. Roles
// that kubectl acts as need not be allowed to ask EKS anything.
func (in *inquiry) sessionFor(ctx context.Context, c kubeconfig.MergedContext) (askedSession, error) {
	if in.override {
		s := in.load(ctx, "", in.config)
		return s, s.err
	}
	config := in.config
	config.Profile = in.app.profileOf(c)
	config.ProfileRoleFirst = c.EKS.AWSOrder
	base := in.load(ctx, fmt.Sprint(config.ProfileRoleFirst, config.Profile), config)
	if len(c.EKS.Roles) == 0 || base.err != nil || c.EKS.Account == "" || base.caller.Account == c.EKS.Account {
		return base, base.err
	}
	for _, h := range c.EKS.Roles {
		role := awsconf.Role{ARN: h.ARN, ExternalID: h.ExternalID, SessionName: h.SessionName, MFASerial: h.MFASerial}
		if h.Duration != "" {
			d, err := time.ParseDuration(h.Duration)
			if err != nil {
				return askedSession{}, fmt.Errorf("reading the duration of role %s: %w", h.ARN, err)
			}
			role.Duration = d
		}
		config.Roles = append(config.Roles, role)
	}
	if err := checkRoles("the kubeconfig's --role-arn", config.Roles); err != nil {
		return askedSession{}, err
	}
	s := in.load(ctx, fmt.Sprintf("%v %q %q", config.ProfileRoleFirst, config.Profile, config.Roles), config)
	return s, s.err
}

// load gets a session and its credentials once a key; one after the other, for each
// may have a question to the user.
func (in *inquiry) load(ctx context.Context, key string, config awsconf.Config) askedSession {
	if s, ok := in.sessions[key]; ok {
		return s
	}
	var s askedSession
	s.session, s.err = in.app.loadConfig(ctx, config)
	if s.err == nil {
		s.caller, s.err = in.finder.Caller(ctx, s.session)
	}
	in.sessions[key] = s
	return s
}

// clusterNameOf is the cluster's name in EKS, which for a local cluster is not what
// its tokens are made for.
func clusterNameOf(t kubeconfig.Target) string {
	if i := strings.LastIndexByte(t.ARN, '/'); i >= 0 {
		return t.ARN[i+1:]
	}
	return t.Cluster
}

// judge holds a context against what EKS says of its cluster. Of one that is stale and
// can be written again, the reason says how.
func (s *contextState) judge(c kubeconfig.MergedContext, answer discovery.Answer, again string) {
	var account *discovery.AccountError
	switch {
	case answer.Gone:
		s.state, s.reason, s.gone = stateStale, "the cluster is gone", true
		return
	case errors.As(answer.Err, &account):
		s.state, s.err = stateUnknown, answer.Err
		s.reason = fmt.Sprintf("the cluster is in account %s, the credentials are of %s", account.Want, account.Got)
		return
	case answer.Err != nil:
		s.state, s.reason, s.err = stateUnknown, answer.Err.Error(), answer.Err
		return
	}
	cluster := answer.Cluster
	if reason, _ := cluster.Unreachable(); reason != "" {
		s.state, s.reason = stateUnknown, "the cluster "+reason
		if cluster.Status == string(types.ClusterStatusDeleting) || cluster.Status == string(types.ClusterStatusFailed) {
			s.state = stateStale
		}
		return
	}
	if s.state, s.reason = judgeServer(c.ClusterEntry, cluster.Endpoint); s.state == stateStale {
		s.reason += again
	}
	if s.state != stateAlive {
		return
	}
	through := s.reason
	if s.state, s.reason = judgeCA(c.ClusterEntry, cluster.CAData, filepath.Dir(c.File)); s.state == stateStale {
		s.reason += again
	}
	s.reason = cmp.Or(s.reason, through)
	if s.state == stateAlive && c.EKS.Cluster != cluster.TokenName {
		s.state, s.reason = stateStale, "tokens for the cluster are made for "+cluster.TokenName+again
	}
}

// judgeServer holds where an entry leads to against the cluster's endpoint.
func judgeServer(entry kubeconfig.Cluster, endpoint string) (liveness, string) {
	want, have := endpointOf(endpoint), endpointOf(entry.Server)
	host, _, _ := net.SplitHostPort(want)
	named := entry.TLSServerName == "" || strings.EqualFold(entry.TLSServerName, host)
	switch {
	case have == want && named:
		return stateAlive, ""
	case entry.TLSServerName != "" && named: // a tunnel, at whose end is who can prove to be the cluster
		return stateAlive, "through " + entry.Server
	case have == want:
		return stateUnknown, "the server is to prove that it is " + entry.TLSServerName + ", not the endpoint's host"
	case entry.TLSServerName != "" || domainOf(have) != domainOf(want):
		return stateUnknown, "it leads to " + entry.Server + ", which need not be the cluster"
	}
	return stateStale, "the cluster's endpoint is another one now"
}

// domainOf is what the endpoints of one region's clusters have in common.
func domainOf(endpoint string) string {
	_, domain, _ := strings.Cut(endpoint, ".")
	return domain
}

// endpointOf is what matters of a server's URL: its host and port, in one spelling,
// and its path.
func endpointOf(server string) string {
	u, err := url.Parse(server)
	if err != nil || !strings.EqualFold(u.Scheme, "https") {
		return server
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port) + strings.TrimRight(u.Path, "/")
}

// judgeCA holds the certificate authority of an entry, whose paths are relative to
// dir, against the cluster's.
func judgeCA(entry kubeconfig.Cluster, data, dir string) (liveness, string) {
	want, _ := base64.StdEncoding.DecodeString(data)
	switch {
	case entry.Insecure && entry.CAData+entry.CAFile != "":
		return stateStale, "its cluster entry has both insecure-skip-tls-verify and a certificate authority, which kubectl refuses"
	case entry.Insecure:
		return stateAlive, "the server's certificate is not checked (insecure-skip-tls-verify)"
	case entry.CAData != "": // goes before a file
		have, err := base64.StdEncoding.DecodeString(entry.CAData)
		if err != nil || !bytes.Equal(have, want) {
			return stateStale, "the cluster's certificate authority is another one now"
		}
		return stateAlive, ""
	case entry.CAFile != "":
		path := entry.CAFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		have, err := safefile.Read(path, maxCAFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return stateStale, "its certificate authority's file " + path + " does not exist"
		case err != nil:
			return stateUnknown, "reading its certificate authority: " + err.Error()
		case !bytes.Equal(bytes.TrimSpace(have), bytes.TrimSpace(want)):
			return stateUnknown, "its certificate authority's file " + path + " is not the cluster's"
		}
		return stateAlive, ""
	}
	return stateUnknown, "its cluster entry has no certificate authority"
}

// profileOf is the profile that a context's plugin runs with. One that a kubeconfig
// gives as AWS_PROFILE, and not as a flag, counts only where there are no keys in
// the environment, which go before it.
//
// Source: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
func (a *app) profileOf(c kubeconfig.MergedContext) string {
	if !c.EKS.ProfileFlag && a.env.Getenv("AWS_ACCESS_KEY_ID") != "" && a.env.Getenv("AWS_SECRET_ACCESS_KEY") != "" {
		return ""
	}
	return c.EKS.Profile
}
