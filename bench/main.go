// Command bench measures ekskey against its alternatives, side by side in one
// run, and prints ratios: those say something on any machine, times do not.
//
//	go run ./bench
//
// It fails if something cannot be run, and never because something is slow.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"text/tabwriter"
	"time"
)

// row is one line of the table. Both sides were measured in turns.
type row struct {
	what         string
	ours, theirs time.Duration
	target       string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ekskey-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	mint, err := mintRow()
	if err != nil {
		return fmt.Errorf("minting in one process: %w", err)
	}
	rows := []row{mint}

	programs, err := newPrograms(ctx, dir)
	if err != nil {
		return err
	}
	empty, err := programs.againstEmpty(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, empty)

	aws, err := programs.againstAWS(ctx)
	missing := ""
	switch {
	case errors.Is(err, exec.ErrNotFound):
		missing = "aws eks get-token was not measured: there is no aws command"
	case err != nil:
		return err
	default:
		rows = append(rows, aws)
	}
	if err := write(out, rows); err != nil {
		return err
	}
	if missing != "" {
		_, err = fmt.Fprintln(out, missing)
	}
	return err
}

// write prints the table. A ratio is ours by theirs.
func write(out io.Writer, rows []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	_, _ = fmt.Fprintln(t, "what\t ours\t theirs\t ratio\t target")
	for _, r := range rows {
		_, _ = fmt.Fprintf(t, "%s\t %s\t %s\t %s\t %s\n", r.what, short(r.ours), short(r.theirs), ratio(r.ours, r.theirs), r.target)
	}
	return t.Flush()
}

// short rounds to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// ratio words what is less than a half as a fraction.
func ratio(ours, theirs time.Duration) string {
	if ours <= 0 || theirs <= 0 {
		return "-"
	}
	r := float64(ours) / float64(theirs)
	if r < 0.5 {
		return fmt.Sprintf("1/%.1f", 1/r)
	}
	return fmt.Sprintf("%.2f", r)
}
