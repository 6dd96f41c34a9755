// Command interop drives Kubernetes clients that others wrote against the
// sandbox, each in the three ways ekskey offers: its exec plugin, the token file
// of `ekskey agent`, and `ekskey proxy`. Tokens live for 20 seconds there, and
// each client is held open past two of these lives.
//
//	go run . -sandbox ../bin/ekskey-sandbox
//	go run . -sandbox ../bin/ekskey-sandbox -only node,java/exec
//
// For each client and way it prints one line on standard output:
//
//	<client> <exec|token-file|proxy> <pass|fail|skip|limit> <detail>
//
// skip means that a toolchain is not installed, limit what the client itself cannot
// do and where its code says so. It exits with 1 if anything failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The ways in, in the order of the report.
const (
	wayExec      = "exec"
	wayTokenFile = "token-file"
	wayProxy     = "proxy"
)

var ways = []string{wayExec, wayTokenFile, wayProxy}

// result is one line of the report.
type result struct{ client, way, verdict, detail string }

func (r result) String() string {
	return fmt.Sprintf("%s %s %s %s", r.client, r.way, r.verdict, strings.Join(strings.Fields(r.detail), " "))
}

type options struct {
	sandbox, source, cache, only string
	parallel                     int
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == credentialsCommand {
		if err := printCredentials(os.Stdout, os.Args[2], os.Args[3], time.Now()); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.sandbox, "sandbox", "../bin/ekskey-sandbox", "the `program` ekskey-sandbox")
	flag.StringVar(&o.source, "source", ".", "the `directory` of this command's source, which has the clients")
	flag.StringVar(&o.cache, "cache", "", "the `directory` to install the clients in (default ekskey-interop in the user's cache directory)")
	flag.StringVar(&o.only, "only", "", "`names` of clients, or of client/way, with commas between them (default all)")
	flag.IntVar(&o.parallel, "parallel", 5, "how many to drive at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, o, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	if err != nil || failed {
		os.Exit(1)
	}
}

// job is one client in one way.
type job struct {
	client *client
	way    string
	drive  driver // once it is installed
}

// run reports whether anything failed. An error is one of the runner's own.
func run(ctx context.Context, o options, out, progress io.Writer) (failed bool, err error) {
	jobs, err := choose(clients(), o.only)
	if err != nil {
		return false, err
	}
	var mu sync.Mutex
	report := func(r result) {
		mu.Lock()
		defer mu.Unlock()
		failed = failed || r.verdict == "fail"
		fmt.Fprintln(out, r)
	}

	in, err := newInstaller(o, progress)
	if err != nil {
		return false, err
	}
	jobs = install(ctx, in, jobs, report)
	if len(jobs) == 0 || ctx.Err() != nil {
		return failed, ctx.Err()
	}
	box, err := startBox(ctx, o.sandbox, progress)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, box.close()) }()

	// Those that read a token file once a minute need tokens that live longer.
	ages := map[time.Duration][]job{}
	for _, j := range jobs {
		ages[j.client.age(j.way)] = append(ages[j.client.age(j.way)], j)
	}
	for _, age := range []time.Duration{shortAge, longAge} {
		if len(ages[age]) == 0 {
			continue
		}
		fmt.Fprintf(progress, "interop: tokens live for %s; %d to drive\n", age, len(ages[age]))
		if err := drivePhase(ctx, box, age, ages[age], o.parallel, report); err != nil {
			return false, err
		}
	}
	return failed, ctx.Err()
}

// drivePhase drives the jobs that get along with tokens of this age.
func drivePhase(ctx context.Context, b *box, age time.Duration, jobs []job, parallel int, report func(result)) error {
	p, err := b.phase(ctx, age, jobs)
	if err != nil {
		return err
	}
	defer p.close()
	// Without it, all would pass in a sandbox where nothing expires.
	expired := make(chan error, 1)
	go func() { expired <- p.proveExpiry(ctx) }()

	var wg sync.WaitGroup
	slots := make(chan struct{}, max(parallel, 1))
	for _, j := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := result{client: j.client.name, way: j.way, verdict: "pass"}
			detail, err := p.drive(ctx, j)
			if r.detail = detail; err != nil {
				r.verdict, r.detail = "fail", err.Error()
			} else if age == longAge {
				r.detail += "; tokens of " + age.String() + ", because " + j.client.rereads
			}
			report(r)
		})
	}
	wg.Wait()
	return <-expired
}

// install gets what the jobs need and says which it cannot drive.
func install(ctx context.Context, in *installer, jobs []job, report func(result)) []job {
	type outcome struct {
		drive driver
		err   error
	}
	done := map[*client]outcome{}
	var left []job
	for _, j := range jobs {
		if why := j.client.limits[j.way]; why != "" {
			report(result{j.client.name, j.way, "limit", why})
			continue
		}
		o, tried := done[j.client]
		if !tried {
			o.drive, o.err = j.client.install(ctx, in)
			done[j.client] = o
		}
		var missing *missingError
		switch {
		case errors.As(o.err, &missing):
			report(result{j.client.name, j.way, "skip", missing.Error()})
		case o.err != nil:
			report(result{j.client.name, j.way, "fail", "installing: " + o.err.Error()})
		default:
			j.drive = o.drive
			left = append(left, j)
		}
	}
	return left
}

// choose reads -only.
func choose(all []*client, only string) ([]job, error) {
	var jobs []job
	known := map[string]bool{}
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, c := range all {
		known[c.name] = true
		for _, way := range ways {
			known[c.name+"/"+way] = true
			if wanted == nil || slices.Contains(wanted, c.name) || slices.Contains(wanted, c.name+"/"+way) {
				jobs = append(jobs, job{client: c, way: way})
			}
		}
	}
	for _, name := range wanted {
		if !known[name] {
			return nil, fmt.Errorf("there is no client %q to drive", name)
		}
	}
	return jobs, nil
}
