//go:build unix

package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// An interrupt ends the search at once, and nothing is written.
func TestInterruptWhileSyncing(t *testing.T) {
	for _, action := range []string{"eks:ListClusters", "eks:DescribeCluster"} {
		t.Run(filepath.Base(action), func(t *testing.T) {
			c := newCanary(t)
			c.world.fault(action, "hang")
			cmd := exec.CommandContext(t.Context(), "ekskey", "kubeconfig", "sync", "--kubeconfig", filepath.Join(c.dir, "kc"))
			cmd.Env = c.env
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for c.world.count(action) == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if cmd.ProcessState.ExitCode() != 1 || !bytes.HasSuffix(stderr.Bytes(), []byte("error: interrupted\n")) || stdout.Len() > 0 {
				t.Errorf("%v, %q, %q", cmd.ProcessState, stdout.String(), stderr.String())
			}
			if left, err := filepath.Glob(filepath.Join(c.dir, "kc*")); err != nil || len(left) > 0 {
				t.Errorf("it left %q, %v", left, err)
			}
		})
	}
}
