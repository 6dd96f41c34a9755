package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// terminal opens a pseudo-terminal (pts(4)).
func terminal(t *testing.T) *os.File {
	t.Helper()
	leader, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = leader.Close() })
	if err := unix.IoctlSetPointerInt(int(leader.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(leader.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	follower, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })
	return follower
}

// The same diff in colours on a terminal, and without them elsewhere or where
// they are not wanted.
func TestDiffColours(t *testing.T) {
	change, err := kubeconfig.ForEKS(kubeconfig.Options{
		ClusterARN: "arn:aws:eks:eu-central-1:111122223333:cluster/demo", ClusterName: "demo",
		Endpoint: "https://x", Command: "/bin/ekskey", SetCurrent: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, edits, err := kubeconfig.Plan(t.Context(), kubeconfig.Env{Flag: filepath.Join(t.TempDir(), "config")}, kubeconfig.Batch{Changes: []kubeconfig.Change{change}})
	if err != nil {
		t.Fatal(err)
	}
	shown := func(a *app) string {
		a.writeDiffs(edits)
		return a.out.String()
	}
	plain := shown(testApp())
	if strings.Contains(plain, "\x1b") || !strings.Contains(plain, "\n+current-context: ") {
		t.Errorf("not to a terminal: %q", plain)
	}
	a := testApp()
	a.env.Stdout = terminal(t)
	coloured := shown(a)
	if strings.NewReplacer(sgrBold, "", sgrCyan, "", sgrGreen, "", sgrReset, "").Replace(coloured) != plain ||
		strings.Count(coloured, sgrGreen) != strings.Count(plain, "\n+")-1 {
		t.Errorf("to a terminal: %q", coloured)
	}
	a = testAppWith(map[string]string{"NO_COLOR": "1"})
	a.env.Stdout = terminal(t)
	if got := shown(a); got != plain {
		t.Errorf("with NO_COLOR: %q", got)
	}
}
