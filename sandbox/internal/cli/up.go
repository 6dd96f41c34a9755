package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

type upOptions struct {
	detach bool
	config stack.Config
}

func (a *app) up() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a sandbox, and keep it until Ctrl-C",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v := o.config.WebhookVersion; v != "v1" && v != "v1beta1" {
				return &usageError{command: cmd.CommandPath(), cause: fmt.Errorf("--webhook-version is v1 or v1beta1, not %q", v)}
			}
			if m := o.config.AuthenticationMode; m != "CONFIG_MAP" && m != "API_AND_CONFIG_MAP" && m != "API" {
				return &usageError{command: cmd.CommandPath(), cause: fmt.Errorf("--authentication-mode is CONFIG_MAP, API_AND_CONFIG_MAP or API, not %q", m)}
			}
			for _, port := range []int{o.config.Port, o.config.AWSPort} {
				if port < 0 || port > 65535 {
					return &usageError{command: cmd.CommandPath(), cause: fmt.Errorf("%d is not a port", port)}
				}
			}
			if o.detach {
				return a.runDetached(cmd.Context())
			}
			return a.runUp(cmd.Context(), o.config)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.detach, "detach", "d", false, "run in the background, and return when it is ready")
	f.BoolVar(&o.config.Strict, "strict", false, "refuse tokens signed for the embedded AWS's own address")
	f.IntVar(&o.config.Port, "port", 0, "the API server's port (default any free one)")
	f.IntVar(&o.config.AWSPort, "aws-port", 0, "the embedded AWS's port (default any free one)")
	f.StringVar(&o.config.WebhookVersion, "webhook-version", "v1", "the TokenReview version kube-apiserver speaks: v1 or v1beta1")
	f.StringVar(&o.config.AuthenticationMode, "authentication-mode", "API_AND_CONFIG_MAP", "the cluster's authentication mode: CONFIG_MAP, API_AND_CONFIG_MAP or API")
	f.DurationVar(&o.config.WebhookTTL, "webhook-cache-ttl", 0, "how long kube-apiserver keeps the webhook's answers; negative: not at all (default its own)")
	return cmd
}

func (a *app) runUp(ctx context.Context, cfg stack.Config) (err error) {
	ctx, cancel := withParent(ctx)
	defer cancel()
	fmt.Fprintln(a.stderr, stack.Banner)
	if cfg.Builder, err = a.builder(); err != nil {
		return err
	}
	if cfg.StateDir, err = a.dir(); err != nil {
		return err
	}
	cfg.Out = a.stderr
	s, err := stack.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	a.welcome(s.Record(), s.Layout(), os.Getenv(detachedMark) == "")
	return s.Supervise(ctx)
}

func (a *app) welcome(r state.Record, l state.Layout, foreground bool) {
	fmt.Fprintf(a.stderr, "ready after %s\n", time.Since(r.Started).Round(100*time.Millisecond))
	fmt.Fprintf(a.stderr, "  kube-apiserver  %s   cluster %s\n", r.APIServer, r.Cluster)
	fmt.Fprintf(a.stderr, "  embedded AWS    %s   account %s, %s\n", r.AWS, r.Account, r.Region)
	fmt.Fprintf(a.stderr, "  ekskey-server   %s\n", r.Server)
	fmt.Fprintf(a.stderr, "  state           %s\n", l.Root)
	fmt.Fprintln(a.stderr, "identities, for ekskey-sandbox env --as NAME:")
	for _, id := range r.Identities {
		fmt.Fprintf(a.stderr, "  %-9s %s\n", id.Name, id.About)
	}
	option := ""
	if a.stateDir != "" {
		option = " --state " + a.stateDir
	}
	where := "in another shell"
	if !foreground {
		where = "in this shell"
	}
	fmt.Fprintf(a.stderr, "now, %s:\n", where)
	fmt.Fprintf(a.stderr, "  eval \"$(ekskey-sandbox env%s)\"\n", option)
	fmt.Fprintf(a.stderr, "  ekskey kubeconfig update --name %s --alias %s\n  kubectl get pods -A\n", r.Cluster, r.Cluster)
	if foreground {
		fmt.Fprintln(a.stderr, "Ctrl-C stops it.")
	} else {
		fmt.Fprintf(a.stderr, "ekskey-sandbox down%s stops it.\n", option)
	}
}

// detachedMark is set for the process that --detach leaves behind.
const detachedMark = "EKSKEY_SANDBOX_DETACHED"

// runDetached starts this command again without --detach, shows what it says,
// and returns once it is ready.
func (a *app) runDetached(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.CreateTemp("", "ekskey-sandbox-*.log")
	if err != nil {
		return fmt.Errorf("making a log for the sandbox: %w", err)
	}
	defer os.Remove(log.Name()) // what it says later, nobody asks for
	defer log.Close()
	var args []string
	for _, arg := range os.Args[1:] {
		if arg != "-d" && arg != "--detach" && arg != "--detach=true" {
			args = append(args, arg)
		}
	}
	cmd := exec.Command(self, args...) // #nosec G702 -- this program, as its user called it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), detachedMark+"=1")
	process.Detach(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	root, err := a.dir()
	if err != nil {
		return err
	}
	said, err := os.Open(log.Name())
	if err != nil {
		return fmt.Errorf("reading what the sandbox says: %w", err)
	}
	defer said.Close()
	for {
		var failed error
		ended := false
		select {
		case failed = <-exited:
			ended = true
		case <-ctx.Done():
			_ = cmd.Process.Kill() // its children follow it
			<-exited
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		r, _, notReady := state.Read(root)
		if _, err := io.Copy(a.stderr, said); err != nil {
			return fmt.Errorf("reading what the sandbox says: %w", err)
		}
		switch {
		case ended:
			return &alreadySaidError{cause: failed}
		case notReady == nil && r.PID == cmd.Process.Pid && saidReady(log.Name()):
			_, err := io.Copy(a.stderr, said)
			return errors.Join(err, cmd.Process.Release())
		}
	}
}

// saidReady waits for the last line of welcome: the record is written first.
func saidReady(log string) bool {
	b, err := os.ReadFile(filepath.Clean(log))
	return err == nil && bytes.HasSuffix(b, []byte("stops it.\n"))
}

// alreadySaidError is a failure whose words were shown already.
type alreadySaidError struct{ cause error }

func (e *alreadySaidError) Error() string { return fmt.Sprintf("the sandbox ended: %v", e.cause) }
func (e *alreadySaidError) Unwrap() error { return e.cause }

// withParent ends a context when the process that started this one is gone:
// whoever typed `up` in a script that was killed does not want it any more.
// What --detach starts is meant to outlive it.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	if os.Getenv(detachedMark) != "" || parent <= 1 {
		return ctx, cancel
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
			if os.Getppid() != parent {
				cancel()
				return
			}
		}
	}()
	return ctx, cancel
}
