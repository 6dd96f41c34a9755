package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	// emptyRounds and awsRounds are how often each side runs; one more run of each
	// comes first and does not count.
	emptyRounds = 25
	awsRounds   = 7
)

// programs are the binaries measured, and the environment they run in.
type programs struct {
	ekskey, empty string
	env           []string
}

// newPrograms builds them, stripped.
func newPrograms(ctx context.Context, dir string) (*programs, error) {
	source := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	p := &programs{ekskey: filepath.Join(dir, "ekskey"+exe()), empty: filepath.Join(dir, "empty"+exe()), env: environment(dir)}
	for file, pkg := range map[string]string{p.ekskey: "github.com/ekskey/ekskey/cmd/ekskey", p.empty: source} {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg) // #nosec G204 -- paths of our own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	return p, nil
}

// environment has static keys, and none of the user's own AWS settings.
func environment(dir string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "EKSKEY_") || strings.HasPrefix(v, "KUBERNETES_EXEC_INFO=")
	})
	none := filepath.Join(dir, "none")
	return append(env,
		"AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_EC2_METADATA_DISABLED=true",
		"EKSKEY_CACHE_DIR="+filepath.Join(dir, "cache"))
}

func (p *programs) againstEmpty(ctx context.Context) (row, error) {
	a, b, err := inTurns(emptyRounds, p.time(ctx, p.ekskey, "token", "--cluster", cluster), p.time(ctx, p.empty))
	return row{what: "ekskey token, static keys : an empty Go program", ours: a, theirs: b, target: "<= 6"}, err
}

// againstAWS fails with exec.ErrNotFound where the aws command is not installed.
func (p *programs) againstAWS(ctx context.Context) (row, error) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		return row{}, err
	}
	a, b, err := inTurns(awsRounds, p.time(ctx, p.ekskey, "token", "--cluster", cluster),
		p.time(ctx, aws, "eks", "get-token", "--cluster-name", cluster))
	return row{what: "ekskey token, static keys : aws eks get-token", ours: a, theirs: b, target: "<= 1/40"}, err
}

// time gives a function that runs a program once and takes its time.
func (p *programs) time(ctx context.Context, name string, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the programs built here, and aws
		cmd.Env = p.env
		var stderr strings.Builder
		cmd.Stderr = &stderr
		begin := time.Now()
		err := cmd.Run()
		took := time.Since(begin)
		if err != nil {
			return 0, fmt.Errorf("running %s: %w\n%s", filepath.Base(name), err, stderr.String())
		}
		return took, nil
	}
}

// inTurns runs two sides by turns, once in vain and then so many rounds, and
// gives the median of each. A machine that grows slower is so to both.
func inTurns(rounds int, ours, theirs func() (time.Duration, error)) (a, b time.Duration, err error) {
	var as, bs []time.Duration
	for i := range rounds + 1 {
		x, err := ours()
		if err != nil {
			return 0, 0, err
		}
		y, err := theirs()
		if err != nil {
			return 0, 0, err
		}
		if i > 0 {
			as, bs = append(as, x), append(bs, y)
		}
	}
	return median(as), median(bs), nil
}

// median of a list that is not empty: of two in the middle, the mean.
func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
