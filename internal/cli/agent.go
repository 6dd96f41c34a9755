package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/agent"
	"github.com/ekskey/ekskey/internal/authproxy"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
)

// agentOptions are the flags of `ekskey agent`.
type agentOptions struct {
	clusters, tokenFiles []string
	config               string
	group                string
	makeDirectory        bool
	readyFile, listen    string
	maxAge               time.Duration
	check                bool
}

func newAgentCommand(a *app, run func(context.Context, agentOptions) error) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent (--cluster NAME --token-file FILE)... | --config FILE",
		Short: "Write token files and renew them",
		Long: `Write a token for each cluster to a file and replace it before it expires, for
programs that read a token from a file. Repeat the pair of flags for several
clusters, or list them in a file with a region, profile and roles for each.

The directories must exist and belong to you. Files have mode 0600, or 0640 with
--group. If no new token is available, the last one stays until it expires, and then
its file is removed. On SIGTERM the agent exits with 0.`,
		Example: `  ekskey agent --cluster prod --token-file ~/.kube/prod.token
  ekskey agent --config /etc/ekskey/agent.yaml --log-level info
  ekskey agent --check --ready-file /run/ekskey/ready`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.clusters, "cluster", nil, "`name` of a cluster (for a local cluster on Outposts, its ID); repeatable")
	f.Var(pathsValue{&o.tokenFiles}, "token-file", "`file` for the token of the corresponding --cluster; repeatable")
	pathVar(f, &o.config, "config", "YAML `file` that lists clusters")
	f.StringVar(&o.group, "group", "", "`group`, by name or number, that may also read the token files (mode 0640)")
	f.BoolVar(&o.makeDirectory, "make-directory", false, "create missing directories of the token files (mode 0700, with --group 0750)")
	f.BoolVar(&o.makeDirectory, "make-folder", false, "former name of --make-directory")
	_ = f.MarkHidden("make-folder") // the flag exists
	pathVar(f, &o.readyFile, "ready-file", "`file` that exists while all tokens are valid, and contains the time until which they are")
	f.StringVar(&o.listen, "listen", "", "loopback `address:port` to serve /healthz on; port 0 selects a free port, which is printed")
	f.BoolVar(&o.check, "check", false, "only check that --ready-file exists and its time has not passed, for probes: exit code 0 or 1")
	addMaxAge(cmd, &o.maxAge)
	a.completeCluster(cmd)
	return cmd
}

func (a *app) runAgent(ctx context.Context, o agentOptions) error {
	if _, err := a.format(formatTable); err != nil {
		return err
	}
	if o.check {
		return o.isReady(a.env.Now())
	}
	outliveReaders()
	plan, err := a.agentPlan(o)
	if err != nil {
		return err
	}
	var listener net.Listener
	if plan.Listen != "" {
		if listener, err = listenForHealth(ctx, plan.Listen); err != nil {
			return listenError("--listen", err)
		}
		defer listener.Close()
	}
	config := agent.Config{
		Ready: safefile.SecretFile{Path: plan.ReadyFile, MakeDir: o.makeDirectory},
		Tell:  agent.Notify(a.env.Getenv("NOTIFY_SOCKET")), Now: a.env.Now, Log: a.log,
	}
	shared := newLastingShare()
	for _, c := range plan.Clusters {
		aws, err := a.clusterConfig(c)
		if err != nil {
			return err
		}
		file := safefile.SecretFile{Path: c.TokenFile, MakeDir: o.makeDirectory}
		if c.Group != "" {
			file.Shared = true
			if file.Group, err = groupNumber(c.Group); err != nil {
				return err
			}
		}
		minter := a.newLasting(c.Name, aws, shared)
		// What can never work is said at once; what may get better is waited for.
		if err := minter.check(ctx); err != nil && exitCode(err) == exitUsage {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		tokens, err := token.NewKeeper(token.KeeperConfig{Minter: minter, MaxAge: o.maxAge, Now: a.env.Now})
		if err != nil {
			return err
		}
		config.Targets = append(config.Targets, agent.Target{Name: c.Name, File: file, Tokens: tokens})
	}
	keeper, err := agent.New(config)
	if err != nil {
		return dirHint(err)
	}
	if listener != nil {
		if _, err := fmt.Fprintf(a.env.Stdout, "listening on http://%s\n", listener.Addr()); err != nil {
			return fmt.Errorf("writing the output: %w", err)
		}
		server := &http.Server{
			Handler: keeper, MaxHeaderBytes: 16 << 10,
			// Nobody is asked for a bearer, so nobody may hold a connection.
			ReadTimeout: healthTimeout, WriteTimeout: healthTimeout, IdleTimeout: time.Minute,
		}
		go func() { _ = server.Serve(listener) }() // ends with Close
		defer server.Close()
	}
	// It does next to nothing, for years, beside what matters: memory is what counts.
	debug.SetGCPercent(agentGC)
	keeper.Run(ctx)
	return nil
}

// healthTimeout bounds a request to /healthz, and the answer.
const healthTimeout = 5 * time.Second

// agentGC is how much garbage there may be before it is collected, in percent of
// what is in use.
const agentGC = 30

// maxReadyFile is more than a ready file has, in bytes.
const maxReadyFile = 1 << 10

func (o agentOptions) isReady(now time.Time) error {
	if o.readyFile == "" {
		return &usageError{reason: "--check needs --ready-file"}
	}
	info, err := os.Stat(o.readyFile)
	if err != nil || !info.Mode().IsRegular() {
		return &codeError{code: exitFailed, reason: "the agent is not ready: there is no " + o.readyFile}
	}
	var data []byte
	if info.Size() <= maxReadyFile {
		if data, err = os.ReadFile(o.readyFile); err != nil {
			return fmt.Errorf("reading the ready file: %w", err)
		}
	}
	if err := agent.CheckReady(data, now); err != nil {
		return &codeError{code: exitFailed, reason: "the agent is not ready: " + o.readyFile + ": " + err.Error()}
	}
	return nil
}

func listenForHealth(ctx context.Context, at string) (net.Listener, error) {
	host, text, err := net.SplitHostPort(at)
	if err != nil {
		return nil, &usageError{reason: fmt.Sprintf("--listen %q is not of the form address:port", at)}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, &usageError{reason: fmt.Sprintf("--listen %q has no port between 0 and 65535", at)}
	}
	return authproxy.Listen(ctx, host, int(port))
}
