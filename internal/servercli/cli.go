package servercli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Env is the environment of a command.
type Env struct {
	Args           []string // without the program's name
	Stdout, Stderr io.Writer
}

// usageError is a mistake on the command line: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// hintError adds a hint to an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// Main runs a command until it ends or the process gets SIGINT or SIGTERM, and
// returns the exit code: 0 done, 1 failed, 2 wrong usage.
func Main(env Env) int {
	// net/http's Transport logs unexpected data of a peer with the standard logger, and
	// a peer may echo what was sent.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := newRoot(env)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(env.Stderr, "error:", err)
	var hint *hintError
	if errors.As(err, &hint) {
		_, _ = fmt.Fprintln(env.Stderr, "hint:", hint.hint)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

func newRoot(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "ekskey-server",
		Short:         "Authenticate AWS IAM tokens for kube-apiserver",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{&hintError{errors.New("a command is required"), "ekskey-server serve --config FILE; see ekskey-server --help"}}
		},
	}
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{&hintError{err, "see " + cmd.CommandPath() + " --help"}}
	})
	root.AddCommand(newServe(env), newServerWords(env), newInit(env), newCheck(env), newExplain(env), newVersion())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{&hintError{fmt.Errorf("unknown argument %q", args[0]), "see " + cmd.CommandPath() + " --help"}}
	}
	return nil
}

// options are the flags of serve and init.
type options struct{ config, logLevel string }

func (o *options) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.config, "config", "c", "", "configuration file (YAML)")
	cmd.Flags().StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
}

func (o *options) log(stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, &usageError{fmt.Errorf("--log-level %q is not debug, info, warn or error", o.logLevel)}
	}
	return slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})), nil
}

func (o *options) load(stderr io.Writer) (*config, *slog.Logger, error) {
	log, err := o.log(stderr)
	if err != nil {
		return nil, nil, err
	}
	if o.config == "" {
		return nil, nil, &usageError{&hintError{errors.New("--config is required"), "docs/server.md shows a configuration of five lines"}}
	}
	text, err := readConfig(o.config)
	if err != nil {
		return nil, nil, &hintError{err, "docs/server.md shows a configuration of five lines"}
	}
	c, err := parseConfig(o.config, text)
	if err != nil {
		return nil, nil, err
	}
	c.text = text
	return c, log, nil
}

func newServe(env Env) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer TokenReviews until SIGTERM",
		Long: `Answer TokenReviews on https://ADDRESS:PORT/authenticate until SIGTERM.

Makes its certificate in server.stateDir and writes server.generateKubeconfig,
unless they are there and fit. Also answers /healthz, /readyz and /metrics.`,
		Example: "  ekskey-server serve --config /etc/ekskey/server.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, log, err := o.load(env.Stderr)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, log)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func newInit(env Env) *cobra.Command {
	var w words
	var logLevel string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the serving certificate and the kubeconfig for kube-apiserver, and end",
		Example: `  ekskey-server init --config /etc/ekskey/server.yaml
  kube-apiserver --authentication-token-webhook-config-file=/etc/kubernetes/ekskey.kubeconfig …`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.config == "" && w.clusterID == "" && os.Getenv(clusterIDVar) == "" {
				return &usageError{&hintError{errors.New("--config is required"), "docs/server.md shows a configuration of five lines"}}
			}
			w.initDefaults()
			c, _, err := w.load(env)
			if err != nil {
				return err
			}
			return initialize(cmd.Context(), c, env.Stdout)
		},
	}
	w.bind(cmd.Flags())
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ekskey-server", buildVersion())
			return err
		},
	}
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
