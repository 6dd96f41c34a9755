package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/sandbox/internal/demo"
	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

func (a *app) demo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Start a sandbox, show how an identity goes in, and remove it all",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context()) },
	}
}

func (a *app) runDemo(ctx context.Context) (err error) {
	ctx, cancel := withParent(ctx)
	defer cancel()
	fmt.Fprintln(a.stderr, stack.Banner)
	cfg := stack.Config{StateDir: a.stateDir, Out: a.stderr}
	if cfg.Builder, err = a.builder(); err != nil {
		return err
	}
	if cfg.StateDir == "" {
		// Not the default directory: a sandbox may be running there.
		temp, err := os.MkdirTemp("", "ekskey-demo-*")
		if err != nil {
			return fmt.Errorf("making a directory for the demo: %w", err)
		}
		defer os.RemoveAll(temp)
		cfg.StateDir = filepath.Join(temp, "state")
	}
	if _, err := cfg.Builder.ControlPlane(ctx); err != nil {
		return err
	}
	kubectl, err := cfg.Builder.Kubectl(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	s, err := stack.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	r := s.Record()
	fmt.Fprintf(a.stdout, "\nA sandbox is up after %s: cluster %s at %s,\nin account %s of an AWS embedded at %s.\n",
		time.Since(begun).Round(100*time.Millisecond), r.Cluster, r.APIServer, r.Account, r.AWS)
	return demo.Run(ctx, demo.Config{
		Stack: s, Kubectl: kubectl, Out: a.stdout,
		Colour: isTerminal(a.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	})
}
