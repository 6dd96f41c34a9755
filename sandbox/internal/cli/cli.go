// Package cli is the command line of ekskey-sandbox.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/ekskey/ekskey/sandbox/internal/build"
	"github.com/ekskey/ekskey/sandbox/internal/environ"
	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// Exit codes, the same as ekskey's own.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 5
)

// app is what every command has at hand.
type app struct {
	stdout, stderr *os.File

	stateDir, source string
}

// Main runs the command line and returns the exit code.
func Main(args []string, stdin, stdout, stderr *os.File) int {
	if len(args) > 0 && args[0] == process.GuardCommand {
		return process.Guard(args[1:], stdin, stdout, stderr)
	}
	klog.SetLogger(logr.Discard()) // client-go's, when the API server goes away
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	return a.exit(ctx, root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ekskey-sandbox",
		Short: "A real kube-apiserver, an embedded AWS and ekskey-server on this machine's loopback",
		Long: `ekskey-sandbox runs a real etcd and kube-apiserver, an embedded AWS and ekskey-server,
all on 127.0.0.1, with no AWS account, no network and no root. It is for learning,
tests and demonstrations, and guards nothing of value.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &usageError{command: cmd.CommandPath(), cause: fmt.Errorf("unknown command %q", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{command: cmd.CommandPath(), cause: err}
	})
	cmd.CompletionOptions.DisableDefaultCmd = true
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.stateDir, "state", "", "directory that holds the sandbox; down removes it (default $"+state.EnvDir+", else in the user's cache directory)")
	flags.StringVar(&a.source, "source", "", "the sandbox's source directory, to compile from (default: in or above the working directory)")
	cmd.AddCommand(a.up(), a.env(), a.down(), a.demo())
	return cmd
}

// builder is what finds and compiles programs.
func (a *app) builder() (*build.Builder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	source, err := build.FindSource(a.source)
	if err != nil {
		return nil, err
	}
	return &build.Builder{
		Self: self, Source: source,
		Progress: &build.Progress{Out: a.stderr, Terminal: isTerminal(a.stderr)},
	}, nil
}

// dir is the state directory asked for.
func (a *app) dir() (string, error) {
	if a.stateDir != "" {
		return a.stateDir, nil
	}
	return state.Default()
}

// usageError is a command line that cannot be meant.
type usageError struct {
	command string
	cause   error
}

func (e *usageError) Error() string { return e.cause.Error() }
func (e *usageError) Unwrap() error { return e.cause }
func (e *usageError) Hint() string  { return e.command + " --help says what it takes" }

// exit says what went wrong, if anything, and gives the exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "stopped")
		return exitFailed
	}
	var said *alreadySaidError
	if errors.As(err, &said) {
		return exitFailed
	}
	fmt.Fprintln(a.stderr, "error:", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		fmt.Fprintln(a.stderr, "hint:", hinted.Hint())
	}
	var usage *usageError
	var who *environ.UnknownIdentityError
	var gone *state.NotRunningError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &who), errors.As(err, &gone):
		return exitNotFound
	}
	return exitFailed
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// noArgs refuses positional arguments in words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{command: cmd.CommandPath(), cause: fmt.Errorf("%s takes no argument %q", cmd.CommandPath(), args[0])}
}
