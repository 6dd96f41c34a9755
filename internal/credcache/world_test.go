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
	tokenSecret   = "k8s-aws-v1.CANARYtoken"
	secretKey     = "CANARYsecret"
	sessionSecret = "CANARYsession"
)

var (
	self  = Parent{PID: 4242, Start: 17}
	other = Parent{PID: 4242, Start: 18} // the number again, another process
)

func key(name string) Key {
	h := NewHash("test")
	h.Add("name", name)
	return h.Sum()
}

// end is what happens to a Store's askings at the end of its process.
func (s *Store) end() {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	for _, a := range s.asks {
		if a.marker != nil {
			_ = a.marker.End()
		}
	}
	s.asks = nil
}

// world is a cache folder, a clock and what is said about them.
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

func (w *world) token() Token {
	signed := w.clock().Truncate(time.Second)
	return NewToken(tokenSecret, signed.Add(tokenLife), signed, "AKIDEXAMPLE")
}

func (w *world) credentials() aws.Credentials {
	return aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: secretKey, SessionToken: sessionSecret,
		Source: "AssumeRole", AccountID: "111122223333", CanExpire: true, Expires: w.clock().Add(time.Hour),
	}
}

var about = About{Cluster: "prod", Region: "eu-west-1", Profile: "dev", Roles: []string{"arn:aws:iam::111122223333:role/admin"}, Source: "SSO"}

// fill keeps a token, given to a process that will not ask again, and
// credentials.
func (w *world) fill(k Key, inputs ...Input) {
	s := w.store()
	defer s.end()
	s.PutToken(k, Parent{1, 1}, w.token(), inputs, about)
	s.PutCredentials(k, w.credentials(), inputs, about)
	w.pass(time.Millisecond)
}

// served is what a new process gets for k.
func (w *world) served(k Key, p Parent, change ...func(*Config)) string {
	s := w.store(change...)
	defer s.end()
	t, hasToken := s.Token(k, p)
	c, hasCredentials := s.Credentials(k)
	if hasToken != (t.Value() == tokenSecret) || hasCredentials != (c.SecretAccessKey == secretKey) {
		w.t.Errorf("served something else: %v, %v", hasToken, hasCredentials)
	}
	return what(hasToken, hasCredentials)
}

func what(token, credentials bool) string {
	return map[[2]bool]string{{true, true}: "both", {true, false}: "token", {false, true}: "credentials", {}: "nothing"}[[2]bool{token, credentials}]
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
	"ask":     askOnce,
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
