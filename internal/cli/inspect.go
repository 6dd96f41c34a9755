package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/execcred"
	"github.com/ekskey/ekskey/token"
)

// oldLimit is the longest token that older verifiers accept, in bytes.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, maxTokenLenBytes
const oldLimit = 4096

// maxInput is how much standard input is read for a token, in bytes: the longest
// token, wrapped in a document.
const maxInput = 2 * token.MaxLength

func newInspectCommand(a *app, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [TOKEN|-]",
		Short: "Decode a token and check it offline",
		Long: `Decode a token and check it against every rule that needs no network. The token
comes from standard input, alone or in an ExecCredential document, or from the
command line, where other users of the computer can see it.

The signature and the session token are never shown. If the token breaks a rule,
the report goes to standard error and the exit code is 4.`,
		Example: `  ekskey token --cluster prod | ekskey inspect
  ekskey inspect --output json - <token.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) },
	}
}

// tokenReport is what inspect says of a token.
type tokenReport struct {
	Valid         bool         `json:"valid"`
	Host          string       `json:"host,omitempty"`
	Region        string       `json:"region,omitempty"`
	Partition     string       `json:"partition,omitempty"`
	AccessKeyID   string       `json:"accessKeyID,omitempty"`
	Temporary     bool         `json:"temporaryCredentials"`
	ClusterSigned bool         `json:"clusterHeaderSigned"`
	SignedAt      *time.Time   `json:"signedAt,omitempty"`
	Expires       *time.Time   `json:"expires,omitempty"`
	AgeSeconds    int64        `json:"ageSeconds,omitempty"`
	XAmzExpires   int64        `json:"xAmzExpires,omitempty"`
	Length        int          `json:"length"`
	Warnings      []string     `json:"warnings,omitempty"`
	Broken        []brokenRule `json:"broken,omitempty"`
}

type brokenRule struct {
	Code   token.Code `json:"code"`
	Reason string     `json:"reason"`
}

func (a *app) runInspect(ctx context.Context, args []string) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	raw, err := a.readToken(ctx, args)
	if err != nil {
		return err
	}
	now := a.env.Now()
	policy := token.Policy{Now: func() time.Time { return now }}
	parsed, broken := policy.Inspect(raw)
	if parsed != nil && parsed.Region != "" {
		// The region it names may be newer than the table of hosts. If its name is
		// one of AWS's, so are the hosts that the endpoint rules make of it.
		policy.Regions = []string{parsed.Region}
		parsed, broken = policy.Inspect(raw)
	}
	report := newTokenReport(raw, parsed, broken, now)
	table := func(w io.Writer) { a.tokenTable(w, report, now) }
	if len(broken) == 0 {
		return a.write(&a.out, format, report, table)
	}
	if err := a.write(a.env.Stderr, format, report, table); err != nil {
		return err
	}
	if len(broken) == 1 {
		return fmt.Errorf("the token breaks a rule: %w", broken[0])
	}
	codes := make([]string, len(broken))
	for i, b := range broken {
		codes[i] = string(b.Code)
	}
	return &hintError{
		err:  fmt.Errorf("the token breaks %d rules (%s), the first: %w", len(broken), strings.Join(codes, ", "), broken[0]),
		hint: ruleHint(broken[0].Code),
	}
}

func newTokenReport(raw string, p *token.Parsed, broken []*token.RuleError, now time.Time) tokenReport {
	r := tokenReport{Valid: len(broken) == 0, Length: len(raw)}
	for _, b := range broken {
		r.Broken = append(r.Broken, brokenRule{b.Code, b.Reason})
	}
	if r.Length > oldLimit {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the token is longer than %d bytes, which older verifiers refuse", oldLimit))
	}
	if p == nil {
		return r
	}
	r.Host, r.Region, r.AccessKeyID = p.Host, p.Region, p.AccessKeyID
	r.Temporary, r.ClusterSigned = p.Temporary, p.ClusterSigned
	r.XAmzExpires = int64(p.Expires / time.Second)
	if e, ok := identity.LookupSTSHost(p.Host); ok {
		r.Partition = e.Partition
	} else if part, err := identity.PartitionOfRegion(p.Region); err == nil {
		r.Partition = part.ID
	}
	if !p.SignedAt.IsZero() {
		signed, end := p.SignedAt, p.End()
		r.SignedAt, r.Expires = &signed, &end
		r.AgeSeconds = int64(now.Sub(signed) / time.Second)
	}
	return r
}

func (a *app) tokenTable(w io.Writer, r tokenReport, now time.Time) {
	var pairs [][2]string
	if r.Host != "" {
		pairs = [][2]string{
			{"host", r.Host},
			{"region", r.Region},
			{"partition", r.Partition},
			{"access key", r.AccessKeyID},
			{"session token", yesNo(r.Temporary)},
			{"cluster header", signedOrNot(r.ClusterSigned)},
		}
	}
	if r.SignedAt != nil {
		pairs = append(pairs,
			[2]string{"signed at", r.SignedAt.Format(time.RFC3339) + " (" + span(r.SignedAt.Sub(now)) + ")"},
			[2]string{"expires", r.Expires.Format(time.RFC3339) + " (" + span(r.Expires.Sub(now)) + ")"},
			[2]string{"X-Amz-Expires", fmt.Sprintf("%d (STS ignores it)", r.XAmzExpires)})
	}
	pairs = append(pairs, [2]string{"length", fmt.Sprintf("%d bytes", r.Length)})
	for _, warning := range r.Warnings {
		pairs = append(pairs, [2]string{"warning", warning})
	}
	for _, b := range r.Broken {
		pairs = append(pairs, [2]string{"breaks " + string(b.Code), b.Reason})
	}
	if r.Valid {
		pairs = append(pairs, [2]string{"rules", "all kept; only STS can verify the signature"})
	}
	a.fields(w, pairs...)
}

func signedOrNot(signed bool) string {
	if signed {
		return "signed: the token is good for one cluster only"
	}
	return "not signed"
}

// span formats a time relative to now.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 0:
		return (-d).String() + " ago"
	case d > 0:
		return "in " + d.String()
	}
	return "now"
}

// readToken takes a token from the command line or from standard input, bare or
// in an ExecCredential document. One line break at the end is not part of it.
func (a *app) readToken(ctx context.Context, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	if len(args) == 0 && isTerminal(a.env.Stdin) {
		return "", &usageError{reason: "a token is required", hint: "pipe one in, or give it as an argument"}
	}
	a.log.Debug("reading standard input")
	data, err := readAll(ctx, io.LimitReader(a.env.Stdin, maxInput+1))
	if errors.Is(err, context.Canceled) {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	if len(data) > maxInput {
		return "", &token.RuleError{Code: "V01", Reason: fmt.Sprintf("standard input is longer than %d bytes", maxInput)}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", &usageError{reason: "standard input is empty", hint: "pipe a token in, or give it as an argument"}
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		tok, err := execcred.Token([]byte(text))
		if err != nil {
			return "", &codeError{code: exitRefused, reason: "reading standard input: " + err.Error()}
		}
		return tok, nil
	}
	return text, nil
}

// readAll reads to the end. When the context ends it leaves the read behind, for
// the process is about to end.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type answer struct {
		data []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		data, err := io.ReadAll(r)
		read <- answer{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-read:
		return got.data, got.err
	}
}
