package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/kubeconfig"
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
func offlineState(c kubeconfig.MergedContext) contextState {
	s := contextState{who: whoOf(c)}
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
func (a *app) askStates(ctx context.Context, contexts []kubeconfig.MergedContext, states []contextState) error {
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
		if !in.override && len(c.EKS.Roles) == 0 && asked.caller.ARN != "" {
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
		states[about[n]].judge(contexts[about[n]], answer)
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
	config.Profile = c.EKS.Profile
	config.ProfileRoleFirst = c.EKS.Program == "aws"
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
	if err := checkRoles(config.Roles); err != nil {
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
	return t.Name
}

// judge holds a context against what EKS says of its cluster.
func (s *contextState) judge(c kubeconfig.MergedContext, answer discovery.Answer) {
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
	again := "; run ekskey kubeconfig update --name " + cluster.Name
	entry := c.ClusterEntry
	reason, _ := cluster.Unreachable()
	switch {
	case reason != "":
		s.state, s.reason = stateStale, "the cluster "+reason
	case entry.TLSServerName == "" && entry.Server != cluster.Endpoint: // else it goes through a tunnel
		s.state, s.reason = stateStale, "the cluster's endpoint is another one now"+again
	case entry.CAData != "" && !sameCA(entry.CAData, cluster.CAData):
		s.state, s.reason = stateStale, "the cluster's certificate authority is another one now"+again
	case c.EKS.Name != cluster.TokenName:
		s.state, s.reason = stateStale, "tokens for the cluster are made for "+cluster.TokenName+again
	default:
		s.state = stateAlive
	}
}

// sameCA compares what two base64 texts say, which may have line breaks.
func sameCA(a, b string) bool {
	x, errX := base64.StdEncoding.DecodeString(a)
	y, errY := base64.StdEncoding.DecodeString(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
