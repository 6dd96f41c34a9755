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

// How often each side runs; one more run of each comes first and does not count.
const (
	emptyRounds         = 41
	authenticatorRounds = 21
	awsRounds           = 7
	kubectlRounds       = 10
)

// programs are the binaries measured, and where their files are.
type programs struct {
	dir           string
	ekskey, empty string
}

// newPrograms builds them, stripped.
func newPrograms(ctx context.Context, dir string) (*programs, error) {
	source := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	p := &programs{dir: dir, ekskey: filepath.Join(dir, "ekskey"+exe()), empty: filepath.Join(dir, "empty"+exe())}
	for file, pkg := range map[string]string{p.ekskey: "github.com/ekskey/ekskey/cmd/ekskey", p.empty: source} {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", file, pkg) // #nosec G204 -- paths of our own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	return p, nil
}

// time gives a function that runs a program once and takes its time.
func (p *programs) time(ctx context.Context, env []string, name string, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 -- what bench says is to be measured
		cmd.Env = env
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

// environment has none of the user's own settings of AWS and of ekskey, and what
// is given.
func (p *programs) environment(set ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "EKSKEY_") || strings.HasPrefix(v, "KUBERNETES_")
	})
	none := filepath.Join(p.dir, "none")
	env = append(env,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none,
		"EKSKEY_CACHE_DIR="+filepath.Join(p.dir, "cache"))
	return append(env, set...)
}

// static has static keys, for which nothing is ever cached.
func (p *programs) static() []string {
	return p.environment("AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret)
}

func (p *programs) coldAgainstEmpty(ctx context.Context) (row, error) {
	a, b, err := inTurns(emptyRounds, p.time(ctx, p.static(), p.ekskey, "token", "--cluster", cluster), p.time(ctx, p.static(), p.empty))
	return row{what: "ekskey token, static keys : an empty Go program", ours: a, theirs: b, target: "<= 6"}, err
}

// authenticator is the newest release that the go command can install.
const authenticator = "sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator@v0.6.13"

func (p *programs) againstAuthenticator(ctx context.Context) (row, error) {
	install := exec.CommandContext(ctx, "go", "install", "-ldflags", "-s -w", authenticator)
	install.Dir, install.Env = p.dir, append(os.Environ(), "GOBIN="+p.dir)
	if out, err := install.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return row{}, &missingError{what: authenticator, why: err.Error() + ": " + lines[len(lines)-1]}
	}
	a, b, err := inTurns(authenticatorRounds, p.time(ctx, p.static(), p.ekskey, "token", "--cluster", cluster),
		p.time(ctx, p.static(), filepath.Join(p.dir, "aws-iam-authenticator"+exe()), "token", "-i", cluster))
	return row{what: "ekskey token, static keys : aws-iam-authenticator token", ours: a, theirs: b, target: "<= 0.65"}, err
}

func (p *programs) againstAWS(ctx context.Context) (row, error) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		return row{}, &missingError{what: "aws eks get-token", why: "there is no aws command"}
	}
	a, b, err := inTurns(awsRounds, p.time(ctx, p.static(), p.ekskey, "token", "--cluster", cluster),
		p.time(ctx, p.static(), aws, "eks", "get-token", "--cluster-name", cluster))
	return row{what: "ekskey token, static keys : aws eks get-token", ours: a, theirs: b, target: "<= 1/40"}, err
}

// inTurns runs two sides by turns, once to warm up and then for that many rounds, and
// returns the median of each. A machine that slows down slows both.
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
