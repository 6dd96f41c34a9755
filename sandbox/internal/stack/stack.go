// Package stack runs a whole sandbox: the embedded AWS in this process, and
// etcd, kube-apiserver, a controller and ekskey-server beside it, none of which outlives it.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/build"
	"github.com/ekskey/ekskey/sandbox/internal/controlplane"
	"github.com/ekskey/ekskey/sandbox/internal/environ"
	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// Banner is what every sandbox says first.
const Banner = `*** NOT FOR PRODUCTION: a throw-away AWS and a throw-away cluster, on this machine's loopback only. ***`

// Config says what to run. StateDir, Builder and Out are required.
type Config struct {
	// StateDir is the directory that holds everything but compiled programs.
	StateDir string
	Builder  *build.Builder
	// Out gets a line for what happens.
	Out io.Writer
	// Port and AWSPort are those of the API server and the embedded AWS; zero
	// means any free one.
	Port, AWSPort int
	// Strict makes ekskey-server take tokens for AWS's own hosts only, and not
	// for the embedded AWS's address.
	Strict bool
	// WebhookVersion is the TokenReview version the API server speaks; empty
	// means v1.
	WebhookVersion string
	// WebhookTTL is how long the API server keeps the webhook's answers; zero
	// means its own default, negative not at all.
	WebhookTTL time.Duration
	// TokenMaxAge is the maximum age of a token that ekskey-server accepts; zero
	// means its own default.
	TokenMaxAge time.Duration
	// AuthorizerKubeconfig tells the API server where another authorizer of access
	// policies is; empty means ekskey-server.
	AuthorizerKubeconfig string
	// AuthenticationMode is the cluster's: CONFIG_MAP, API_AND_CONFIG_MAP or API; empty
	// means API_AND_CONFIG_MAP.
	AuthenticationMode string
}

// Stack is a sandbox that runs. Make one with [Start].
type Stack struct {
	cfg    Config
	dir    *state.Dir
	record state.Record
	aws    *embeddedAWS
	plane  *controlplane.ControlPlane

	children   []*process.Child // in the order to stop them
	server     *process.Child
	serverPath string
	serverEnv  environ.Environment
	awsAuth    *awsAuthWatch
}

// Start brings a sandbox up and returns when it is ready. It fails with
// *state.HeldError or *state.ForeignError where the directory is not available,
// *controlplane.PortError where a port is not, and leaves nothing running; the
// logs stay in the directory then.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	programs, err := cfg.Builder.ControlPlane(ctx)
	if err != nil {
		return nil, err
	}
	dir, found, err := state.Acquire(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if found != "" {
		fmt.Fprintf(cfg.Out, "found %s in %s: cleared it\n", found, dir.Root)
	}
	s := &Stack{cfg: cfg, dir: dir}
	// A free port can be taken between finding and using it.
	for attempt := 1; ; attempt++ {
		err = s.start(ctx, programs)
		if err == nil {
			return s, nil
		}
		s.halt()
		if attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			break
		}
		*s = Stack{cfg: cfg, dir: dir}
	}
	return nil, errors.Join(err, dir.Release())
}

// Record says what runs where.
func (s *Stack) Record() state.Record { return s.record }

// Layout says where its files are.
func (s *Stack) Layout() state.Layout { return s.dir.Layout }

// Stop ends everything and removes the state directory.
func (s *Stack) Stop() error {
	s.halt()
	return s.dir.Remove()
}

// Supervise keeps the sandbox running until ctx ends or somebody asks it to
// stop, which is no error, or until another program than ekskey-server ends by itself. An
// ekskey-server that ends is started again, as a kubelet would. The caller
// must Stop all the same.
func (s *Stack) Supervise(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	died := make(chan *process.Child, len(s.children))
	for _, c := range s.children {
		go func() {
			<-c.Done() // at the latest in Stop
			died <- c
		}()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if s.dir.StopAsked() {
				return nil
			}
		case ended := <-died:
			return s.keepLog(ended)
		case <-s.server.Done():
			fmt.Fprintf(s.cfg.Out, "ekskey-server %s; starting it again\n", s.server.How())
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(300 * time.Millisecond):
			}
			server, err := process.Start(s.cfg.Builder.Self, s.serverSpec("serve"))
			if err != nil {
				return err
			}
			s.server = server
		}
	}
}

// keepLog is the error of a program that ended by itself. Its log is about to
// be removed, so it is moved out.
func (s *Stack) keepLog(c *process.Child) error {
	err := c.Exit()
	kept := filepath.Join(os.TempDir(), fmt.Sprintf("ekskey-sandbox-%s-%d.log", c.Name(), os.Getpid()))
	if log, readErr := os.ReadFile(s.dir.Log(c.Name())); readErr == nil && state.WriteFile(kept, log) == nil {
		return fmt.Errorf("the sandbox cannot go on: %w, kept as %s", err, kept)
	}
	return fmt.Errorf("the sandbox cannot go on: %w", err)
}

// start does the work of Start once.
func (s *Stack) start(ctx context.Context, programs build.Programs) error {
	now := time.Now()
	s.record = state.Record{
		PID: os.Getpid(), Started: now, Strict: s.cfg.Strict,
		Account: seed.Account, Region: seed.Region, Cluster: seed.Cluster,
	}
	if err := s.dir.Write(s.record); err != nil {
		return err
	}
	for _, name := range []string{"logs", "run", "bin", "aws", "server"} {
		if err := os.MkdirAll(s.dir.Path(name), 0o700); err != nil {
			return fmt.Errorf("making a directory of the sandbox: %w", err)
		}
	}
	port := s.cfg.Port
	if port != 0 { // to say so at once, and in plain words
		l, err := controlplane.Listen(port, "--port")
		if err != nil {
			return err
		}
		l.Close()
	}
	var err error
	if s.aws, err = startAWS(s.dir.Layout, s.cfg.AWSPort, now); err != nil {
		return err
	}
	s.record.AWS = s.aws.url()
	if s.record.Identities, err = seed.People(s.aws.server); err != nil {
		return err
	}
	if err := s.writeAWSFiles(); err != nil {
		return err
	}
	key, err := seed.ServerKey(s.aws.server)
	if err != nil {
		return err
	}
	if s.record.Ekskey, s.serverPath, err = s.cfg.Builder.Own(ctx, s.dir.Path("bin")); err != nil {
		return err
	}

	if s.serverEnv, err = environ.Of(state.Record{
		AWS: s.record.AWS, Region: s.record.Region, Ekskey: s.serverPath,
		Identities: []state.Identity{{Name: "ekskey-server", AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}},
	}, s.dir.Layout, "ekskey-server"); err != nil {
		return err
	}

	ports, err := controlplane.FreePorts(4)
	if err != nil {
		return err
	}
	if port == 0 {
		port = ports[0]
	}
	version := s.cfg.WebhookVersion
	if version == "" {
		version = "v1"
	}
	s.plane, err = controlplane.New(controlplane.Config{
		Layout: s.dir.Layout, Programs: programs,
		Port: port, EtcdPort: ports[1], PeerPort: ports[2],
		WebhookKubeconfig: s.webhookKubeconfig(), WebhookVersion: version, WebhookTTL: s.cfg.WebhookTTL,
		AuthorizerKubeconfig: cmp.Or(s.cfg.AuthorizerKubeconfig, s.authorizerKubeconfig()),
	}, now)
	if err != nil {
		return err
	}
	s.record.APIServer = s.plane.URL()
	if err := s.configureServer(ports[3]); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	s.record.Ready = true
	return s.dir.Write(s.record)
}

// run starts the programs, waits until they are ready, and seeds the cluster.
func (s *Stack) run(ctx context.Context) error {
	self := s.cfg.Builder.Self
	etcd, err := process.Start(self, s.plane.Etcd())
	if err != nil {
		return err
	}
	s.children = []*process.Child{etcd}
	// Makes the certificate and the kubeconfig that kube-apiserver reads.
	if err := s.initServer(ctx); err != nil {
		return err
	}
	if s.server, err = process.Start(self, s.serverSpec("serve")); err != nil {
		return err
	}
	apiserver, err := process.Start(self, s.plane.APIServer())
	if err != nil {
		return err
	}
	s.children = []*process.Child{apiserver, etcd}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, c := range []*process.Child{apiserver, etcd, s.server} {
		go func() {
			select {
			case <-c.Done():
				cancel(c.Exit())
			case <-ctx.Done():
			}
		}()
	}
	limited, stop := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("it was not ready after two minutes"))
	defer stop()
	if err := s.plane.WaitReady(limited); err != nil {
		return err
	}
	aggregation, err := process.Start(self, s.plane.Aggregation())
	if err != nil {
		return err
	}
	s.children = []*process.Child{aggregation, apiserver, etcd}
	client, version, err := s.kubernetes()
	if err != nil {
		return err
	}
	if err := seed.Kubernetes(limited, client, version, s.record.Started); err != nil {
		return cause(limited, err)
	}
	// Not before its creator, whom its access entry would not be for then.
	if err := seed.EKS(s.aws.server, s.plane.URL(), s.plane.CA(), minor(version), s.cfg.AuthenticationMode, time.Now()); err != nil {
		return err
	}
	if s.awsAuth, err = watchAWSAuth(limited, client, s.awsAuthFile(), s.cfg.Out); err != nil {
		return err
	}
	return cause(limited, s.waitServer(limited))
}

// halt ends all that was started, the API server first: it is the only one that
// talks to the others.
func (s *Stack) halt() {
	if s.awsAuth != nil {
		s.awsAuth.stop()
	}
	for _, c := range s.children {
		c.Stop()
	}
	if s.server != nil {
		s.server.Stop()
	}
	if s.aws != nil {
		s.aws.stop()
	}
}

// cause prefers what ended ctx to the error that followed from it.
func cause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// minor cuts a release such as v1.36.3 to what EKS calls a version: 1.36.
func minor(release string) string {
	parts := strings.SplitN(strings.TrimPrefix(release, "v"), ".", 3)
	if len(parts) < 2 {
		return release
	}
	return parts[0] + "." + parts[1]
}
