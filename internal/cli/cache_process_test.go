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

// askAsOther is ask with a parent process of its own, as each kubectl is one.
func (u *user) askAsOther(t *testing.T, args ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	cmd := u.command(t, args...)
	ekskey := cmd.Path
	other := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `"$@"; exit $?`, "sh", ekskey}, cmd.Args[1:]...)...)
	other.Env = u.env
	var stderr bytes.Buffer
	other.Stderr = &stderr
	out, err := other.Output()
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

// A hundred processes at once, with nothing kept yet, of one parent and of many:
// the role is assumed once, and the code is asked for once.
func TestManyAtOnce(t *testing.T) {
	const many = 100
	for _, parents := range []string{"one parent", "many parents"} {
		t.Run(parents, func(t *testing.T) {
			u := newUser(t)
			// Whoever is asked for the code answers when all have begun.
			asked, begun := filepath.Join(u.home, "asked"), filepath.Join(u.home, "begun")
			args := []string{"--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--mfa-command",
				"echo x >>" + asked + "; until test -e " + begun + "; do sleep 0.05; done; echo 123456"}
			if runtime.GOOS == "windows" {
				t.Skip("the command is for sh")
			}
			var running []*exec.Cmd
			var outs, errs [many]bytes.Buffer
			for i := range many {
				cmd := u.command(t, args...)
				if parents == "many parents" {
					direct := cmd
					cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", `"$@"; exit $?`, "sh", direct.Path}, direct.Args[1:]...)...)
					cmd.Env = u.env
				}
				cmd.Stdout, cmd.Stderr = &outs[i], &errs[i]
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				running = append(running, cmd)
			}
			if err := os.WriteFile(begun, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			keys := map[string]bool{}
			for i, cmd := range running {
				if err := cmd.Wait(); err != nil {
					t.Fatalf("process %d: %v\n%s", i, err, &errs[i])
				}
				keys[keyOf(t, outs[i].Bytes())] = true
				if errs[i].Len() > 0 {
					t.Errorf("process %d wrote to stderr: %s", i, &errs[i])
				}
			}
			prompts, err := os.ReadFile(asked)
			if err != nil {
				t.Fatal(err)
			}
			// Whoever assumes the role asks for the code first. AWS's SDK may send a request
			// again, on a machine that is busy.
			if n := u.assumed(); n < 1 || len(keys) != 1 || string(prompts) != "x\n" {
				t.Errorf("the role was assumed %d times, %d keys signed, and the code was asked for %d times; want 1, 1 and 1",
					n, len(keys), strings.Count(string(prompts), "x"))
			}
		})
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

// Another process gets what is kept; the same one gets something new, because it
// may come back with a refusal.
func TestSameParentGetsNew(t *testing.T) {
	u := newUser(t)
	first := u.askAsOther(t, "--role-arn", devRole)
	if again := u.askAsOther(t, "--role-arn", devRole); again != first {
		t.Errorf("another process got a token of %s, want that of %s", again, first)
	}
	mine := u.ask(t, "--role-arn", devRole)
	if mine != first {
		t.Errorf("at its first time a process got a token of %s, want that of %s", mine, first)
	}
	again := u.ask(t, "--role-arn", devRole)
	if again == first {
		t.Error("a process that came back got the same credentials")
	}
	if other := u.askAsOther(t, "--role-arn", devRole); other != again {
		t.Errorf("then another process got a token of %s, want the newest, of %s", other, again)
	}
	if n := u.assumed(); n != 2 {
		t.Errorf("the role was assumed %d times, want twice", n)
	}
}

// So it is where the source of the first credentials cannot be seen, and only the
// role's are kept.
func TestSameParentGetsNewOverUnseenSource(t *testing.T) {
	u := newUser(t)
	alice := u.keys["alice"]
	out, err := json.Marshal(map[string]any{"Version": 1, "AccessKeyId": alice.AccessKeyID, "SecretAccessKey": alice.SecretAccessKey})
	if err != nil {
		t.Fatal(err)
	}
	config, answer := filepath.Join(u.home, "config"), filepath.Join(u.home, "answer")
	for path, data := range map[string]string{config: "[profile process]\ncredential_process = cat " + answer + "\n", answer: string(out)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.set("AWS_CONFIG_FILE", config)
	first := u.askAsOther(t, "--profile", "process", "--role-arn", devRole)
	if again := u.askAsOther(t, "--profile", "process", "--role-arn", devRole); again != first {
		t.Errorf("another process got a token of %s, want that of %s", again, first)
	}
	mine := u.ask(t, "--profile", "process", "--role-arn", devRole)
	if again := u.ask(t, "--profile", "process", "--role-arn", devRole); mine != first || again == first {
		t.Errorf("one process got a token of %s and then of %s, want that of %s and then another's", mine, again, first)
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
	first := u.askAsOther(t, "--role-arn", devRole)
	for _, args := range [][]string{{"--no-cache"}, {"--refresh"}} {
		if got := u.askAsOther(t, append([]string{"--role-arn", devRole}, args...)...); got == first {
			t.Errorf("%v: the token kept was given", args)
		}
	}
	refreshed := u.askAsOther(t, "--role-arn", devRole)
	if refreshed == first {
		t.Error("what --refresh got was not kept")
	}
	// Of another cluster: the same credentials.
	cmd := u.command(t, "--cluster", "old", "--role-arn", devRole)
	if out, err := cmd.Output(); err != nil || keyOf(t, out) != refreshed {
		t.Errorf("for another cluster: %v", err)
	}
	u.set("EKSKEY_CACHE", "none")
	if got := u.askAsOther(t, "--role-arn", devRole); got == refreshed {
		t.Error("EKSKEY_CACHE=none: the token kept was given")
	}
	if n := u.assumed(); n != 4 {
		t.Errorf("the role was assumed %d times, want 4", n)
	}
}

// Long-lived keys are on no disk but where the user put them, and keys of the
// environment are not looked up at all.
func TestWhatIsNotKept(t *testing.T) {
	u := newUser(t)
	u.askAsOther(t)
	if _, err := os.Stat(filepath.Join(u.home, "cache")); !os.IsNotExist(err) {
		t.Errorf("keys of the environment left something: %v", err)
	}
	alice := u.keys["alice"]
	config := filepath.Join(u.home, "config")
	text := fmt.Sprintf("[profile keys]\naws_access_key_id = %s\naws_secret_access_key = %s\n", alice.AccessKeyID, alice.SecretAccessKey)
	out, err := json.Marshal(map[string]any{"Version": 1, "AccessKeyId": alice.AccessKeyID, "SecretAccessKey": alice.SecretAccessKey})
	if err != nil {
		t.Fatal(err)
	}
	answer := filepath.Join(u.home, "answer")
	text += "[profile process]\ncredential_process = cat " + answer + "\n"
	for path, data := range map[string]string{config: text, answer: string(out)} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.set("AWS_CONFIG_FILE", config)
	u.askAsOther(t, "--profile", "process")
	if entries, _ := os.ReadDir(filepath.Join(u.home, "cache")); holds(t, filepath.Join(u.home, "cache"), "k8s-aws-v1") {
		t.Errorf("the token of a credential_process was kept: %v", entries)
	}
	u.askAsOther(t, "--profile", "keys")
	if !holds(t, filepath.Join(u.home, "cache"), "k8s-aws-v1") {
		t.Error("the token of a profile's keys was not kept")
	}
	if holds(t, filepath.Join(u.home, "cache"), alice.SecretAccessKey) {
		t.Error("a secret access key was kept")
	}
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
