// Command server measures ekskey-server against aws-iam-authenticator's server: both
// answer the same TokenReviews on the same machine, in turns, over 64 HTTP/1.1
// connections, with an STS that answers over TLS after 2 ms.
//
//	go run ./bench/server
//
// The load generator and the stand-in for STS share the processors with the server, so
// throughput alone says little: the CPU time that the server itself used (user and
// system) is read from /proc. The program needs Linux, and the network for the first
// run, to install aws-iam-authenticator.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// authenticator is the newest release on the module proxy. Its server is compiled in a
// module of its own, with a main that lets it dial another address.
const authenticator = "sigs.k8s.io/aws-iam-authenticator@v0.6.13"

//go:embed authenticator.go.txt
var authenticatorMain []byte

type options struct {
	connections, rounds int
	window              time.Duration
	theirs, ours        string
	http2               bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.connections, "connections", 64, "`number` of concurrent connections")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side is measured; the median counts")
	flag.DurationVar(&o.window, "window", 3*time.Second, "the length of one measurement")
	flag.BoolVar(&o.http2, "http2", false, "the stand-in for STS offers HTTP/2 too, which STS does not")
	flag.StringVar(&o.theirs, "authenticator", "", "the `program` made of authenticator.go.txt; empty means that it is built")
	flag.StringVar(&o.ours, "server", "", "the `program` ekskey-server; empty means that it is built")
	flag.Parse()
	if err := run(ctx, os.Stdout, o); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, o options) error {
	if runtime.GOOS != "linux" {
		return errors.New("the CPU time of a process is read from /proc, which only Linux has")
	}
	dir, err := os.MkdirTemp("", "ekskey-bench-server-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.ours == "" {
		o.ours = filepath.Join(dir, "ekskey-server")
		if err := command(ctx, "", "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", o.ours, "github.com/ekskey/ekskey/cmd/ekskey-server"); err != nil {
			return err
		}
	}
	if o.theirs == "" {
		o.theirs = filepath.Join(dir, "aws-iam-authenticator")
		if err := buildAuthenticator(ctx, filepath.Join(dir, "module"), o.theirs); err != nil {
			return err
		}
	}
	protocols := []string{"http/1.1"}
	if o.http2 {
		protocols = []string{"h2", "http/1.1"}
	}
	sts, err := serveSTS(filepath.Join(dir, "sts-ca.pem"), protocols...)
	if err != nil {
		return err
	}
	defer sts.close()
	tokens := newMint()
	servers := []*server{{name: "ekskey-server"}, {name: "aws-iam-authenticator"}}
	if err := servers[0].start(ctx, filepath.Join(dir, "ours"), o.ours, sts, true); err != nil {
		return err
	}
	defer servers[0].stop()
	if err := servers[1].start(ctx, filepath.Join(dir, "theirs"), o.theirs, sts, false); err != nil {
		return err
	}
	defer servers[1].stop()

	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	_, _ = fmt.Fprintln(t, "what\t server\t CPU a review\t reviews/s\t p50\t p99\t STS calls a review")
	for _, again := range []bool{false, true} {
		results := make([][]result, len(servers))
		for i := range o.rounds + 1 {
			for j, s := range servers {
				r, err := measure(ctx, s, sts, tokens, o, again)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				if i > 0 { // the first round warms up
					results[j] = append(results[j], r)
				}
			}
		}
		what := "never seen"
		if again {
			what = "one token again"
		}
		var rows []result
		for j, s := range servers {
			r := median(results[j])
			rows = append(rows, r)
			_, _ = fmt.Fprintf(t, "%s\t %s\t %.0f µs\t %.0f\t %.1f ms\t %.1f ms\t %.3f\n", what, s.name,
				r.cpu*1e6, r.rate, r.p50.Seconds()*1e3, r.p99.Seconds()*1e3, r.calls)
		}
		_, _ = fmt.Fprintf(t, "%s\t ratio\t %.2f\t %.2f\t \t %.2f\t \n", what, rows[0].cpu/rows[1].cpu, rows[0].rate/rows[1].rate,
			float64(rows[0].p99)/float64(rows[1].p99))
	}
	for _, s := range servers {
		peak, err := s.peak()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(t, "peak memory\t %s\t %.1f MB\t\t\t\t\n", s.name, peak)
	}
	return t.Flush()
}

func buildAuthenticator(ctx context.Context, module, program string) error {
	if err := os.Mkdir(module, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(module, "main.go"), authenticatorMain, 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "init", "bench"},
		{"get", authenticator},
		{"mod", "tidy"},
		{"build", "-ldflags=-s -w", "-o", program, "."},
	} {
		if err := command(ctx, module, "go", args...); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the go command
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

// median takes the median of each figure by itself.
func median(list []result) result {
	var m result
	m.cpu = middle(list, func(r result) float64 { return r.cpu })
	m.rate = middle(list, func(r result) float64 { return r.rate })
	m.calls = middle(list, func(r result) float64 { return r.calls })
	m.p50 = time.Duration(middle(list, func(r result) float64 { return float64(r.p50) }))
	m.p99 = time.Duration(middle(list, func(r result) float64 { return float64(r.p99) }))
	return m
}

func middle(list []result, of func(result) float64) float64 {
	var values []float64
	for _, r := range list {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
