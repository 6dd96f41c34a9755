package servercli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/token"
)

// explainOptions are the flags of explain.
type explainOptions struct{ config, output, session, principalID string }

func newExplain(env Env) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain ARN|TOKEN|-",
		Short: "Show which mapping a principal gets, and why not the others",
		Long: `Show what each backend of a configuration says about a principal, and which one
decides. Nothing is served, and files are read as they are now.

A principal is named by its ARN: for a role, --session-name is the name of the
session. A token, or - for one on stdin, is verified with STS, as the server does.`,
		Example: `  ekskey-server explain --config /etc/ekskey/server.yaml arn:aws:iam::111122223333:role/dev --session-name alice
  ekskey token --cluster prod --output token | ekskey-server explain --config /etc/ekskey/server.yaml -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{&hintError{errors.New("one ARN or token is required"), "see ekskey-server explain --help"}}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.output); err != nil {
				return err
			}
			return explain(cmd.Context(), env.Stdout, cmd.InOrStdin(), o, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "configuration file (YAML)")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringVar(&o.session, "session-name", "session", "name of the role's session")
	f.StringVar(&o.principalID, "principal-id", "", "unique ID of the role or user, for entries with a userid")
	return cmd
}

// explanation is what explain prints.
type explanation struct {
	Principal string         `json:"principal"`
	Decision  string         `json:"decision"` // mapped, not mapped, refused or unavailable
	Username  string         `json:"username,omitempty"`
	Groups    []string       `json:"groups,omitempty"`
	Source    string         `json:"source,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Backends  []backendSteps `json:"backends"`
}

type backendSteps struct {
	Backend  string   `json:"backend"`
	Answer   string   `json:"answer"`
	Username string   `json:"username,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Source   string   `json:"source,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

func explain(ctx context.Context, to io.Writer, stdin io.Reader, o explainOptions, subject string) error {
	opts := options{config: o.config, logLevel: "error"}
	c, _, err := opts.load(io.Discard)
	if err != nil {
		return err
	}
	l := newOffline(c, func(error) {})
	if err := l.apply(c); err != nil {
		return err
	}
	if entries := entriesOf(l.backends); entries != nil {
		_ = entries.Refresh(ctx) // what it failed with is in its answer
	}
	for _, b := range l.backends {
		if f, ok := b.backend.(*followed); ok {
			_ = f.follower.Once(ctx) // as much
		}
	}
	if subject == "-" {
		text, err := io.ReadAll(io.LimitReader(stdin, 1<<20))
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		subject = strings.TrimSpace(string(text))
	}
	id, err := l.identify(ctx, subject, o)
	if err != nil {
		return err
	}
	out := explanation{Principal: id.CanonicalARN, Backends: []backendSteps{}}
	m, err := l.chain.Load().Map(ctx, id)
	out.Decision, out.Reason = answerOf(err)
	out.Username, out.Groups, out.Source = m.Username, m.Groups, m.Source
	for _, s := range l.chain.Load().Explain(ctx, id) {
		b := backendSteps{Backend: s.Backend, Username: s.Mapping.Username, Groups: s.Mapping.Groups, Source: s.Mapping.Source}
		b.Answer, b.Reason = answerOf(s.Err)
		out.Backends = append(out.Backends, b)
	}
	if o.output == "json" {
		enc := json.NewEncoder(to)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	return out.write(to)
}

// identify verifies a token, or makes an identity of an ARN.
func (l *live) identify(ctx context.Context, subject string, o explainOptions) (identity.Identity, error) {
	if strings.HasPrefix(subject, token.Prefix) {
		parsed, err := l.Check(subject)
		if err != nil {
			return identity.Identity{}, fmt.Errorf("the token is refused: %w", err)
		}
		id, err := l.Ask(ctx, parsed)
		if err == nil {
			err = l.Allow(id)
		}
		if err != nil {
			return identity.Identity{}, fmt.Errorf("the token is refused: %w", err)
		}
		return id, nil
	}
	p, err := identity.ParsePrincipal(subject)
	if err != nil {
		return identity.Identity{}, &usageError{&hintError{errors.New("the argument is neither a token nor the ARN of a principal"), "an ARN looks like arn:aws:iam::111122223333:role/name"}}
	}
	userID := o.principalID
	switch p.Kind {
	case identity.KindRole:
		p.Kind, p.Path, p.SessionName = identity.KindAssumedRole, "", o.session
		fallthrough
	case identity.KindAssumedRole:
		if userID == "" {
			userID = "AROAUNKNOWNUNKNOWN00"
		}
		userID += ":" + p.SessionName
	case identity.KindUser:
		if userID == "" {
			userID = "AIDAUNKNOWNUNKNOWN00"
		}
	case identity.KindRoot:
		userID = p.Account
	}
	id, err := identity.New(p.String(), p.Account, userID)
	if err != nil {
		return id, &usageError{err}
	}
	return id, nil
}

func answerOf(err error) (answer, reason string) {
	switch {
	case err == nil:
		return "mapped", ""
	case errors.Is(err, mapping.ErrNotMapped):
		return "not mapped", ""
	case mapping.Temporary(err):
		return "unavailable", err.Error()
	}
	return "refused", err.Error()
}

func (e explanation) write(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Principal, e.Decision)
	if e.Decision == "mapped" {
		fmt.Fprintf(&b, " to user %s, groups %s, by %s", e.Username, orNone(e.Groups), e.Source)
	} else if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	b.WriteString("\n")
	for _, s := range e.Backends {
		fmt.Fprintf(&b, "  %s: %s", s.Backend, s.Answer)
		if s.Answer == "mapped" {
			fmt.Fprintf(&b, " to user %s, groups %s, by %s", s.Username, orNone(s.Groups), s.Source)
		} else if s.Reason != "" {
			b.WriteString(": " + s.Reason)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(to, b.String())
	return err
}

func orNone(groups []string) string {
	if len(groups) == 0 {
		return "none"
	}
	return strings.Join(groups, ", ")
}
