// Command bench measures ekskey against its alternatives, side by side in one
// run, and prints ratios: those say something on any machine, times do not.
//
//	go run ./bench
//	go run ./bench -sandbox bin/ekskey-sandbox
//
// It fails if something cannot be run or is not what it is measured as, and never
// because something is slow. Alternatives that are not installed are skipped and
// listed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one line of the table. Both sides were measured in turns.
type row struct {
	what         string
	ours, theirs time.Duration
	target       string
	// note is said below the table.
	note string
}

// missingError reports an alternative that is not installed.
type missingError struct{ what, why string }

func (e *missingError) Error() string { return e.what + " was not measured: " + e.why }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sandbox := flag.String("sandbox", "", "the `program` ekskey-sandbox; without it, kubectl and the proxy of an API server are not measured")
	flag.Parse()
	if err := run(ctx, os.Stdout, os.Stderr, *sandbox); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out, progress io.Writer, sandbox string) (err error) {
	dir, err := os.MkdirTemp("", "ekskey-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := newPrograms(ctx, dir)
	if err != nil {
		return err
	}
	hits, err := p.hits(ctx)
	if err != nil {
		return err
	}
	rows := hits
	var notes []string
	for _, measure := range []func(context.Context) (row, error){
		mintRow,
		p.coldAgainstEmpty,
		p.againstAuthenticator,
		p.againstAWS,
		p.kubeconfigRow,
		p.syncFleet,
		func(ctx context.Context) (row, error) { return p.kubectl(ctx, sandbox, progress) },
	} {
		r, err := measure(ctx)
		var missing *missingError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &missing):
			notes = append(notes, missing.Error())
		case err != nil:
			return err
		default:
			rows = append(rows, r)
		}
	}
	proxied, missing, err := p.proxyRows(ctx, sandbox, progress)
	if err != nil {
		return err
	}
	return write(out, append(rows, proxied...), append(notes, missing...))
}

// write prints the table, and what there is to say about it. A ratio is ours by
// theirs.
func write(out io.Writer, rows []row, notes []string) error {
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	_, _ = fmt.Fprintln(t, "what\t ours\t theirs\t ratio\t target")
	for _, r := range rows {
		_, _ = fmt.Fprintf(t, "%s\t %s\t %s\t %s\t %s\n", r.what, short(r.ours), short(r.theirs), ratio(r.ours, r.theirs), r.target)
		if r.note != "" {
			notes = append(notes, r.note)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, note := range notes {
		if _, err := fmt.Fprintln(out, note); err != nil {
			return err
		}
	}
	return nil
}

// short rounds to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// ratio words what is less than a tenth as a fraction.
func ratio(ours, theirs time.Duration) string {
	if ours <= 0 || theirs <= 0 {
		return "-"
	}
	r := float64(ours) / float64(theirs)
	if r < 0.1 {
		return fmt.Sprintf("1/%.1f", 1/r)
	}
	return fmt.Sprintf("%.2f", r)
}
