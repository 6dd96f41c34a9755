package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// role is one of the sandbox's that the keys may assume.
const role = "arn:aws:iam::111122223333:role/team/viewer"

// manyClients runs a program that makes twenty clients with a role in one process, and
// prints who signed the token of each. Each AssumeRole gives another access key, so the
// role was assumed once if one signed all.
func (s *session) manyClients(ctx context.Context, program string, args ...string) error {
	dir := filepath.Join(s.dir, "many")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	file := filepath.Join(dir, "kubeconfig")
	env := s.env(dir, "KUBECONFIG="+file)
	update := exec.CommandContext(ctx, s.ekskey, "kubeconfig", "update", "--name", cluster, "--kubeconfig", file, "--role-arn", role) // #nosec G204 -- the sandbox's
	update.Env = env
	if out, err := update.CombinedOutput(); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w: %s", err, out)
	}
	many := exec.CommandContext(ctx, program, args...) // #nosec G204 -- installed by the runner
	var stderr strings.Builder
	many.Env, many.Dir, many.Stderr = env, dir, &stderr
	out, err := many.Output()
	if err != nil {
		return fmt.Errorf("making twenty clients: %w: %s", err, stderr.String())
	}
	keys := strings.Fields(string(out))
	if n := len(slices.Compact(slices.Sorted(slices.Values(keys)))); len(keys) != 20 || n != 1 {
		return fmt.Errorf("%d clients of one process assumed the role %d times, want 20 and 1", len(keys), n)
	}
	return nil
}
