package servercli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/access"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accessmap"
	"github.com/ekskey/ekskey/internal/authorizer"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/safefile"
)

// pinsFile keeps the unique ids that access entries are pinned to, in the state directory.
const pinsFile = "access-entries.pins.json"

// entriesInterval is how often EKS is asked by default.
const entriesInterval = 30 * time.Second

// entriesConfig is server.accessEntries.
type entriesConfig struct {
	file                string
	clusterName, region string
	interval            time.Duration
	noIAM               bool
	mode                accessmap.Mode // of a file's entries: server.authenticationMode
}

func (e *entriesConfig) read(r *reader, n *yaml.Node) {
	r.object(n, "server.accessEntries.", map[string]func(*yaml.Node){
		"file":        r.text(&e.file),
		"clustername": r.text(&e.clusterName),
		"region":      r.text(&e.region),
		"interval":    r.duration(&e.interval, time.Second, time.Hour),
		"iam": func(n *yaml.Node) {
			ask := true
			r.boolean(&ask)(n)
			e.noIAM = !ask
		},
	})
	switch {
	case (e.file == "") == (e.clusterName == ""):
		r.fail(n, "server.accessEntries needs one of file and clusterName")
	case e.clusterName != "" && e.region == "":
		r.fail(n, "server.accessEntries.clusterName needs server.accessEntries.region")
	case e.file != "" && e.region != "":
		r.fail(n, "server.accessEntries.region is for clusterName, not for file")
	}
}

// authorizerConfig is server.authorizer: files to write for kube-apiserver's
// --authorization-config.
type authorizerConfig struct{ kubeconfig, configuration string }

func (a *authorizerConfig) read(r *reader, n *yaml.Node) {
	r.object(n, "server.authorizer.", map[string]func(*yaml.Node){
		"kubeconfig": r.text(&a.kubeconfig), "configuration": r.text(&a.configuration),
	})
	if a.kubeconfig == "" {
		r.fail(n, "server.authorizer.kubeconfig is missing: where to write the kubeconfig with which kube-apiserver calls the authorizer")
	}
}

// writeAuthorizer writes the kubeconfig for the authorizer, and the AuthorizationConfiguration
// that names it.
func writeAuthorizer(c *config, port int, certPEM []byte) error {
	a := c.server.authorizer
	if err := writeOneKubeconfig(c, "server.authorizer.kubeconfig", a.kubeconfig, port, certPEM, authorizer.Path); err != nil || a.configuration == "" {
		return err
	}
	text, err := (authorizer.Configuration{Kubeconfig: a.kubeconfig}).YAML()
	if err != nil {
		return fmt.Errorf("server.authorizer.kubeconfig: %w", err)
	}
	old, err := safefile.ReadTrusted(a.configuration, maxConfig)
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("server.authorizer.configuration: %w", err)
	}
	if err == nil && !bytes.HasPrefix(old, []byte("apiVersion: apiserver.config.k8s.io/")) {
		return fmt.Errorf("server.authorizer.configuration: %s exists and is not an AuthorizationConfiguration", a.configuration)
	}
	if err == nil {
		return nil // it may have been edited: it is the operator's from now on
	}
	if err := safefile.Write(a.configuration, text); err != nil {
		return fmt.Errorf("writing server.authorizer.configuration: %w", err)
	}
	return nil
}

func (e *entriesConfig) there() bool { return e.file != "" || e.clusterName != "" }

func (r *reader) authenticationMode(to *accessmap.Mode) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text, ok := r.scalar(n)
		if !ok {
			return
		}
		switch m := accessmap.Mode(text); m {
		case accessmap.ModeAPI, accessmap.ModeBoth, accessmap.ModeConfigMap:
			*to = m
		default:
			r.fail(n, fmt.Sprintf("server.authenticationMode %q is not API, API_AND_CONFIG_MAP or CONFIG_MAP", text))
		}
	}
}

// entriesBackend makes the backend of access entries.
func (l *live) entriesBackend(c *config) (mapping.Backend, error) {
	e := c.server.entries
	open := accessmap.OpenPins
	if l.offline {
		open = accessmap.ReadPins
	}
	pins, err := open(filepath.Join(c.server.stateDir, pinsFile))
	if err != nil {
		return nil, err
	}
	cfg := accessmap.Config{
		Pins: pins, Options: l.options(c, backendAccessEntries), MaxStale: maxStale(c, backendAccessEntries), Alarm: l.alarm,
	}
	interval := e.interval
	if e.file != "" {
		cfg.Source = entriesFile(e.file, e.mode)
		interval = mapping.PollInterval
	} else {
		if interval == 0 {
			interval = entriesInterval
		}
		source := &entriesAPI{config: e, log: l}
		cfg.Source = source.read
		if !e.noIAM {
			cfg.Created = source.created
		}
	}
	return &accessmap.Polled{Backend: accessmap.New(cfg), Interval: interval}, nil
}

// entriesFile reads a file, and parses it when it has changed.
func entriesFile(path string, mode accessmap.Mode) func(context.Context) (*accessmap.Snapshot, error) {
	if mode == "" {
		mode = accessmap.ModeBoth
	}
	var last []byte
	var parsed *accessmap.Snapshot
	return func(context.Context) (*accessmap.Snapshot, error) {
		text, err := safefile.ReadTrusted(path, accessmap.MaxFile)
		if err != nil {
			return nil, fmt.Errorf("reading server.accessEntries.file: %w", err)
		}
		if parsed != nil && bytes.Equal(text, last) {
			return parsed, nil
		}
		s, err := accessmap.ParseFile(text, mode)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		last, parsed = text, s
		return s, nil
	}
}

// entriesAPI reads access entries from EKS. It is the one part of the server, with EC2, that
// needs AWS credentials.
type entriesAPI struct {
	config  entriesConfig
	log     *live
	session *awsconf.Session
	reader  *accessentry.Reader
	eks     *eks.Client
}

func (a *entriesAPI) open(ctx context.Context) error {
	if a.session != nil {
		return nil
	}
	session, err := awsconf.Load(context.WithoutCancel(ctx), awsconf.Config{Region: a.config.region, Log: a.log.log})
	if err != nil {
		return err
	}
	a.session, a.eks = session, session.EKS(a.config.region)
	a.reader = accessentry.New(accessentry.Config{EKS: a.eks, Cluster: a.config.clusterName})
	return nil
}

func (a *entriesAPI) read(ctx context.Context) (*accessmap.Snapshot, error) {
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	out, err := a.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &a.config.clusterName})
	if err := a.session.Explain(err); err != nil {
		return nil, err
	}
	if out.Cluster == nil || aws.ToString(out.Cluster.Name) != a.config.clusterName {
		return nil, errors.New("calling EKS DescribeCluster: the response is about another cluster")
	}
	s := &accessmap.Snapshot{Mode: accessmap.Mode(access.ModeOf(out.Cluster))}
	if s.Mode == accessmap.ModeConfigMap {
		return s, nil
	}
	entries, err := a.reader.List(ctx)
	if err := a.session.Explain(err); err != nil {
		return nil, err
	}
	for _, e := range entries {
		s.Entries = append(s.Entries, accessmap.Entry{Entry: e})
	}
	return s, nil
}

// created asks IAM. A principal of another account is not known to it.
func (a *entriesAPI) created(ctx context.Context, arn string) (time.Time, error) {
	p, err := access.LookUp(ctx, a.session.IAM(a.config.region), arn)
	if err != nil {
		return time.Time{}, a.session.Explain(err)
	}
	if !p.Exists {
		return time.Time{}, fmt.Errorf("IAM has no %s", arn)
	}
	return p.CreatedAt, nil
}

// authGate keeps aws-auth from being asked where the authentication mode has access entries
// alone.
type authGate struct {
	mapping.Mapper
	entries *accessmap.Polled
}

// Map asks aws-auth, unless the mode is API.
func (g authGate) Map(ctx context.Context, id identity.Identity) (mapping.Mapping, error) {
	mode, err := g.entries.Mode()
	if err != nil {
		return mapping.Mapping{}, err
	}
	if mode == accessmap.ModeAPI {
		return mapping.Mapping{}, &mapping.NotMappedError{ARN: id.CanonicalARN}
	}
	return g.Mapper.Map(ctx, id)
}

// entriesOf returns the backend of access entries, or nil.
func entriesOf(backends []*running) *accessmap.Polled {
	for _, b := range backends {
		if p, ok := b.backend.(*accessmap.Polled); ok {
			return p
		}
	}
	return nil
}

// Entry finds the access entry of an identity for the authorizer. An identity that a backend
// in front maps is not the entry's user.
func (l *live) Entry(ctx context.Context, id identity.Identity) (authorizer.Entry, error) {
	l.mu.Lock()
	entries := entriesOf(l.backends)
	l.mu.Unlock()
	if entries == nil {
		return authorizer.Entry{}, authorizer.ErrNoEntry
	}
	m, err := l.chain.Load().Map(ctx, id)
	switch {
	case err != nil && mapping.Temporary(err):
		return authorizer.Entry{}, err
	case err != nil || m.Backend != backendAccessEntries:
		return authorizer.Entry{}, authorizer.ErrNoEntry
	}
	m, e, policies, err := entries.Policies(ctx, id)
	switch {
	case err != nil && mapping.Temporary(err):
		return authorizer.Entry{}, err
	case err != nil:
		return authorizer.Entry{}, authorizer.ErrNoEntry
	}
	return authorizer.Entry{PrincipalARN: e.PrincipalARN, PrincipalID: e.PrincipalID, Username: m.Username, Groups: m.Groups, Policies: policies}, nil
}
