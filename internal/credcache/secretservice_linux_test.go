package credcache

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The system's keyring for real: a Secret Service on a bus of its own, with a
// HOME of its own.
func TestSecretService(t *testing.T) {
	for _, tool := range []string{"dbus-run-session", "gnome-keyring-daemon", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no Secret Service can be started here: ", err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "dbus-run-session", "--", "true").CombinedOutput(); err != nil {
		t.Skipf("no session bus can be started here: %v: %s", err, out)
	}
	exe, err := os.Executable()
	must(t, err)
	home := t.TempDir()
	const script = `printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec "$0" "$1"`
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c", script, exe, filepath.Join(home, "cache"))
	cmd.Env = append(os.Environ(), "CREDCACHE_TEST_ROLE=keyring", "HOME="+home, "XDG_DATA_HOME="+home, "XDG_RUNTIME_DIR="+home,
		"XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "GNOME_KEYRING_CONTROL=")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "all well\n") {
		t.Errorf("%v: %s", err, out)
	}
}

// Without a session bus none is started, and nothing is kept.
func TestNoBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if hasBus() {
		t.Skip("this user has a bus")
	}
	w := newWorld(t)
	w.fillSealed(key("a"), nil)
	if got := w.files(); len(got) != 0 || !strings.Contains(w.said(), "there is no session bus") {
		t.Errorf("%v, said %q", got, w.said())
	}
}
