package credcache

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("CREDCACHE_TEST_ROLE"); role != "" {
		os.Exit(child(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// start makes this test binary another process.
func start(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "CREDCACHE_TEST_ROLE="+role)
	return cmd
}

const (
	secretKey     = "CANARYsecret"
	sessionSecret = "CANARYsession"
)

func key(name string) Key {
	h := NewHash("test")
	h.Add("name", name)
	return h.Sum()
}

// world is a cache directory, a clock and what is said about them.
type world struct {
	t   *testing.T
	dir string
	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "a", "cache"), now: time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)}
	t.Cleanup(func() {
		if strings.Contains(w.said(), "CANARY") {
			t.Errorf("a secret was logged: %s", w.said())
		}
	})
	return w
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) config() Config {
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return Config{Dir: w.dir, Now: w.clock, Log: log}
}

// store is a process's: a moment passes, so that nothing is as old as it.
func (w *world) store(change ...func(*Config)) *Store {
	w.pass(time.Millisecond)
	defer w.pass(time.Millisecond)
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg)
}

func (w *world) credentials() aws.Credentials {
	return aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: secretKey, SessionToken: sessionSecret,
		Source: "AssumeRole", AccountID: "111122223333", CanExpire: true, Expires: w.clock().Add(time.Hour),
	}
}

var about = About{Profile: "dev", Roles: []string{"arn:aws:iam::111122223333:role/admin"}, Source: "SSO"}

// entryOf is an entry of these credentials.
func entryOf(c aws.Credentials, inputs ...Input) Entry {
	return Entry{Credentials: c, Settings: Settings{Region: "eu-west-1"}, Inputs: inputs, About: about}
}

// fill caches credentials.
func (w *world) fill(k Key, inputs ...Input) {
	w.store().Put(k, entryOf(w.credentials(), inputs...))
	w.pass(time.Millisecond)
}

// served is what a new process gets for k.
func (w *world) served(k Key, change ...func(*Config)) string {
	e, ok := w.store(change...).Get(k, time.Time{})
	if ok != (e.Credentials.SecretAccessKey == secretKey) {
		w.t.Errorf("served something else: %v", ok)
	}
	return what(ok)
}

func what(ok bool) string {
	return map[bool]string{true: "credentials", false: "nothing"}[ok]
}

func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// roles are what this test binary does as another process.
var roles = map[string]func(args []string) error{
	"make":    makeOnce,
	"hold":    hold,
	"put":     putForEver,
	"serve":   serveAll,
	"keyring": useKeyring,
}

func child(role string, args []string) int {
	run, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such role:", role)
		return 2
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
