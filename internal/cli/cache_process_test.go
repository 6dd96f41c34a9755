package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
)

const (
	devRole = "arn:aws:iam::" + testAccount + ":role/dev"
	mfaRole = "arn:aws:iam::" + testAccount + ":role/mfa"
)

// user is somebody at a computer: a world, a home and an environment.
type user struct {
	*world
	home string
	env  []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	dir := t.TempDir()
	vars, err := w.environ(dir)
	if err != nil {
		t.Fatal(err)
	}
	u := &user{world: w, home: vars["HOME"], env: []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}}
	for name, value := range vars {
		u.set(name, value)
	}
	u.set("EKSKEY_CACHE_DIR", filepath.Join(u.home, "cache"))
	return u
}

func (u *user) set(name, value string) { u.env = append(u.env, name+"="+value) }

// assumed is how often a role was asked for.
func (u *user) assumed() int { return u.aws.Counts()[fakeaws.AssumeRole] }

// command is `ekskey token` for the cluster demo, with more arguments.
func (u *user) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// No call waits longer for AWS than a test may run.
	cmd := exec.CommandContext(t.Context(), "ekskey", append([]string{"token", "--cluster", "demo", "--output", "token"}, args...)...)
	cmd.Env = u.env
	return cmd
}

// ask runs the command, and gives the access key that signed.
func (u *user) ask(t *testing.T, args ...string) string {
	t.Helper()
	cmd := u.command(t, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return keyOf(t, out)
}

func keyOf(t *testing.T, out []byte) string {
	t.Helper()
	parsed, err := token.Parse(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.AccessKeyID
}

// C01, C05: a hundred processes at once, with nothing cached yet: the role is assumed
// once, and the code is asked for once.
func TestC01ManyAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	u := newUser(t)
	// Whoever is asked for the code answers when all have begun.
	asked, begun := filepath.Join(u.home, "asked"), filepath.Join(u.home, "begun")
	runs := u.start(t, 100, "--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--mfa-command",
		"echo x >>"+asked+"; until test -e "+begun+"; do sleep 0.05; done; echo 123456")
	if err := os.WriteFile(begun, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for i, r := range runs {
		if code := r.wait(t); code != 0 {
			t.Fatalf("process %d: exit code %d\n%s", i, code, &r.stderr)
		}
		keys[keyOf(t, []byte(r.stdout.String()))] = true
		if r.stderr.String() != "" {
			t.Errorf("process %d wrote to stderr: %s", i, &r.stderr)
		}
	}
	// AWS's SDK may send a request again, on a machine that is busy.
	if n := u.assumed(); n < 1 || len(keys) != 1 || lines(t, asked) != 1 {
		t.Errorf("the role was assumed %d times, %d keys signed, and the code was asked for %d times; want 1, 1 and 1", n, len(keys), lines(t, asked))
	}
}

// Whoever asks for the role is killed. Another goes on.
func TestKilledWhileAssuming(t *testing.T) {
	u := newUser(t)
	u.aws.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Latency: time.Hour})
	first := u.command(t, "--role-arn", devRole)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for u.assumed() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	u.aws.ClearFaults()
	second := u.command(t, "--role-arn", devRole, "--log-level", "debug")
	var out, log bytes.Buffer
	second.Stdout, second.Stderr = &out, &log
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- second.Wait() }()
	select {
	case err := <-done:
		t.Fatalf("the second did not wait for the first: %v\n%s", err, &log)
	case <-time.After(time.Second):
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	// The first one alone would be waited for far longer.
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
	case <-ctx.Done():
		t.Fatalf("the second still waits\n%s", &log)
	}
	keyOf(t, out.Bytes())
	if n := u.assumed(); n != 2 {
		t.Errorf("the role was asked for %d times, want twice", n)
	}
}

// Session keys of the environment may say when they end.
func TestEndOfEnvironmentKeys(t *testing.T) {
	u := newUser(t)
	session := u.keys["session"]
	u.set("AWS_ACCESS_KEY_ID", session.AccessKeyID)
	u.set("AWS_SECRET_ACCESS_KEY", session.SecretAccessKey)
	u.set("AWS_SESSION_TOKEN", session.SessionToken)
	for _, region := range []string{"AWS_REGION=" + testRegion, "AWS_REGION="} { // loaded by us, and by the SDK
		env := append(slices.Clone(u.env), region)
		end := time.Now().Add(5 * time.Minute).Truncate(time.Second)
		expiry := func(end string) (string, error) {
			cmd := exec.CommandContext(t.Context(), "ekskey", "token", "--cluster", "demo")
			cmd.Env = append(slices.Clone(env), "AWS_CREDENTIAL_EXPIRATION="+end)
			out, err := cmd.Output()
			var doc struct {
				Status struct{ ExpirationTimestamp string }
			}
			if err == nil {
				err = json.Unmarshal(out, &doc)
			}
			return doc.Status.ExpirationTimestamp, err
		}
		if got, err := expiry(end.Format(time.RFC3339)); err != nil || got != end.Add(-time.Minute).UTC().Format(time.RFC3339) {
			t.Errorf("%s: it expires at %s, %v, want a minute before %s", region, got, err, end)
		}
		_, err := expiry("2020-01-01T00:00:00Z")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("%s: with keys that have ended: %v, want exit code 3", region, err)
		}
	}
}

// The switches.
func TestCacheSwitches(t *testing.T) {
	u := newUser(t)
	first := u.ask(t, "--role-arn", devRole)
	for _, args := range [][]string{{"--no-cache"}, {"--refresh"}} {
		if got := u.ask(t, append([]string{"--role-arn", devRole}, args...)...); got == first {
			t.Errorf("%v: the token kept was given", args)
		}
	}
	refreshed := u.ask(t, "--role-arn", devRole)
	if refreshed == first {
		t.Error("what --refresh got was not kept")
	}
	// Of another cluster: the same credentials.
	cmd := u.command(t, "--cluster", "old", "--role-arn", devRole)
	if out, err := cmd.Output(); err != nil || keyOf(t, out) != refreshed {
		t.Errorf("for another cluster: %v", err)
	}
	u.set("EKSKEY_CACHE", "none")
	if got := u.ask(t, "--role-arn", devRole); got == refreshed {
		t.Error("EKSKEY_CACHE=none: the token kept was given")
	}
	if n := u.assumed(); n != 4 {
		t.Errorf("the role was assumed %d times, want 4", n)
	}
}

// Tokens and long-lived keys are never cached, and keys of the environment are not
// looked up at all.
func TestWhatIsNotCached(t *testing.T) {
	u := newUser(t)
	cache := filepath.Join(u.home, "cache")
	u.ask(t)
	if _, err := os.Stat(cache); !os.IsNotExist(err) {
		t.Errorf("keys of the environment left something: %v", err)
	}
	alice := u.keys["alice"]
	config, answer := filepath.Join(u.home, "config"), filepath.Join(u.home, "answer")
	u.write(t, config, fmt.Sprintf("[profile keys]\naws_access_key_id = %s\naws_secret_access_key = %s\n[profile process]\ncredential_process = cat %s\n",
		alice.AccessKeyID, alice.SecretAccessKey, answer))
	u.write(t, answer, processAnswer(t, u.keys["session"]))
	u.set("AWS_CONFIG_FILE", config)
	u.ask(t, "--profile", "process")
	u.ask(t, "--profile", "keys")
	if u.entries(t) != 0 {
		t.Errorf("%d entries of a credential_process or of keys", u.entries(t))
	}
	u.ask(t, "--profile", "keys", "--role-arn", devRole)
	u.ask(t, "--profile", "process", "--role-arn", devRole)
	if u.entries(t) != 2 {
		t.Errorf("%d entries of roles, want 2", u.entries(t))
	}
	for _, secret := range []string{"k8s-aws-v1", alice.SecretAccessKey, u.keys["session"].SecretAccessKey} {
		if holds(t, cache, secret) {
			t.Error("a token or a long-lived secret was cached")
		}
	}
}

// processAnswer is what a credential_process prints.
func processAnswer(t *testing.T, k fakeaws.Key) string {
	t.Helper()
	out, err := json.Marshal(map[string]any{
		"Version": 1, "AccessKeyId": k.AccessKeyID, "SecretAccessKey": k.SecretAccessKey, "SessionToken": k.SessionToken,
		"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (u *user) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// entries is the number of cache entries.
func (u *user) entries(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(u.home, "cache", "credentials-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// age makes all entries of the cache older.
func (u *user) age(t *testing.T, by time.Duration) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(u.home, "cache", "credentials-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f map[string]map[string]any
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"created", "retryAt"} {
			text, _ := f["header"][field].(string)
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				f["header"][field] = at.Add(-by)
			}
		}
		if data, err = json.Marshal(f); err != nil {
			t.Fatal(err)
		}
		u.write(t, name, string(data))
	}
}

// run is a process that was started.
type run struct {
	cmd            *exec.Cmd
	stdout, stderr output
}

// output is what a process writes, for more than one goroutine.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

func (u *user) startOne(t *testing.T, cmd *exec.Cmd) *run {
	t.Helper()
	r := &run{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &r.stdout, &r.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// start starts the command many times at once.
func (u *user) start(t *testing.T, many int, args ...string) []*run {
	t.Helper()
	runs := make([]*run, many)
	for i := range runs {
		runs[i] = u.startOne(t, u.command(t, args...))
	}
	return runs
}

// wait waits for the process's end and gives its exit code.
func (r *run) wait(t *testing.T) int {
	t.Helper()
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// lines is the number of lines of a file.
func lines(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

// holds reports whether any file below dir holds the text.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		found = found || strings.Contains(string(data), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
