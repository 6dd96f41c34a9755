package servercli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/mapping"
)

// finding is one problem of a configuration.
type finding struct {
	Level string `json:"level"` // error or warning
	Code  string `json:"code,omitempty"`
	// Where is the file and line, or the backend, section and line.
	Where   string `json:"where,omitempty"`
	Message string `json:"message"`
}

// renewSoon is how long before its expiry a certificate is worth a warning.
const renewSoon = 30 * 24 * time.Hour

func newCheck(env Env) *cobra.Command {
	var config, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find all problems of a configuration and its mappings",
		Long: `Find all problems of a configuration, of the mappings in it and in the files that it
names, and of the serving certificate, without serving. The exit code is 2 if there
is an error; warnings leave it at 0.`,
		Example: `  ekskey-server check --config /etc/ekskey/server.yaml
  ekskey-server check --config /etc/ekskey/server.yaml --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if config == "" {
				return &usageError{&hintError{errors.New("--config is required"), "docs/server.md shows a configuration of five lines"}}
			}
			return writeFindings(env.Stdout, output, checkConfig(cmd.Context(), config))
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file (YAML)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return &usageError{fmt.Errorf("--output %q is not text or json", output)}
	}
	return nil
}

// checkConfig finds what serve would refuse, and what it would log.
func checkConfig(ctx context.Context, path string) []finding {
	text, err := readConfig(path)
	if err != nil {
		return []finding{{Level: "error", Message: err.Error()}}
	}
	c, err := parseConfig(path, text)
	if err != nil {
		return findingsOf(path, err)
	}
	var out []finding
	add := func(err error) { out = append(out, findingsOf(path, err)...) }
	l := newOffline(c, add)
	if err := l.apply(c); err != nil {
		add(err)
	}
	if entries := entriesOf(l.backends); entries != nil && c.server.entries.file != "" {
		if err := entries.Refresh(ctx); err != nil {
			add(err)
		}
	}
	return append(out, checkCertificate(c, time.Now())...)
}

// newOffline is a live that serves nobody: it has no log, its problems go to add, and it
// writes no state.
func newOffline(c *config, add func(error)) *live {
	l := &live{log: slog.New(slog.DiscardHandler), alarm: add, offline: true, reloads: newReloads(prometheus.NewRegistry())}
	l.ec2 = l.lookup(c.server.ec2)
	return l
}

// findingsOf takes an error of a configuration or a mapping apart.
func findingsOf(path string, err error) []finding {
	var all configErrors
	var one *configError
	var load *mapping.LoadError
	var problem mapping.Problem
	switch {
	case errors.As(err, &all):
		var out []finding
		for _, e := range all {
			out = append(out, finding{Level: "error", Where: fmt.Sprintf("%s:%d", e.path, e.line), Message: e.text})
		}
		return out
	case errors.As(err, &one):
		return []finding{{Level: "error", Where: fmt.Sprintf("%s:%d", one.path, one.line), Message: one.text}}
	case errors.As(err, &load):
		var out []finding
		for _, p := range load.Problems {
			f := findingOf(p)
			f.Level = "error"
			if p.Line > 0 {
				f.Where = fmt.Sprintf("%s:%d", path, p.Line)
			}
			out = append(out, f)
		}
		return out
	case errors.As(err, &problem):
		return []finding{findingOf(problem)}
	}
	return []finding{{Level: "error", Message: err.Error()}}
}

func findingOf(p mapping.Problem) finding {
	f := finding{Level: "warning", Code: string(p.Code), Where: p.Where(), Message: p.Message}
	if p.Dropped {
		f.Level = "error"
	}
	return f
}

// checkCertificate finds a serving certificate that has expired or soon will. None is
// fine: init and serve make it.
func checkCertificate(c *config, now time.Time) []finding {
	file := filepath.Join(c.server.stateDir, "cert.pem")
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	bad := func(level, format string, args ...any) []finding {
		return []finding{{Level: level, Where: file, Message: fmt.Sprintf(format, args...)}}
	}
	if err != nil {
		return bad("error", "%v", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return bad("error", "is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return bad("error", "%v", err)
	case now.After(cert.NotAfter):
		return bad("error", "expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Add(renewSoon).After(cert.NotAfter):
		return bad("warning", "expires at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if err := covers(c, text); err != nil {
		return bad("error", "%v", err)
	}
	return nil
}

func writeFindings(to io.Writer, output string, findings []finding) error {
	errs := 0
	for _, f := range findings {
		if f.Level == "error" {
			errs++
		}
	}
	if output == "json" {
		if findings == nil {
			findings = []finding{}
		}
		enc := json.NewEncoder(to)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"findings": findings}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			line := f.Level
			if f.Where != "" {
				line += " " + f.Where
			}
			line += ": " + f.Message
			if f.Code != "" {
				line += " (" + f.Code + ")"
			}
			if _, err := fmt.Fprintln(to, line); err != nil {
				return err
			}
		}
		if len(findings) == 0 {
			_, _ = fmt.Fprintln(to, "no problems")
		}
	}
	if errs > 0 {
		return &usageError{fmt.Errorf("errors found: %d", errs)}
	}
	return nil
}
