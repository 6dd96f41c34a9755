package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/sandbox/internal/environ"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func (a *app) env() *cobra.Command {
	var as, shell, output string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the environment that makes aws, ekskey and kubectl use the sandbox",
		Long: `Prints commands for a shell that make aws, ekskey and kubectl use the running sandbox:

  eval "$(ekskey-sandbox env --as admin)"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			usage := func(err error) error { return &usageError{command: cmd.CommandPath(), cause: err} }
			if output != "shell" && output != "json" {
				return usage(fmt.Errorf("--output is shell or json, not %q", output))
			}
			if _, err := (environ.Environment{}).Script(shell); err != nil {
				return usage(err)
			}
			dir, err := a.dir()
			if err != nil {
				return err
			}
			record, layout, err := state.Read(dir)
			if err != nil {
				return err
			}
			env, err := environ.Of(record, layout, as)
			if err != nil {
				return err
			}
			var text []byte
			if output == "json" {
				text, err = env.JSON()
			} else {
				var script string
				script, err = env.Script(shell)
				text = []byte(script)
			}
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	cmd.Flags().StringVar(&as, "as", "admin", "the identity to be; up lists them")
	cmd.Flags().StringVar(&shell, "shell", "bash", "bash, zsh, sh, fish or powershell")
	cmd.Flags().StringVarP(&output, "output", "o", "shell", "shell or json")
	return cmd
}

func (a *app) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the sandbox and remove its directory",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			did, err := state.Down(ctx, dir)
			if err != nil {
				return err
			}
			if did {
				fmt.Fprintln(a.stderr, "stopped, and removed", dir)
			} else {
				fmt.Fprintln(a.stderr, "nothing to stop:", dir, "does not exist")
			}
			return nil
		},
	}
}
