package cli_test

import (
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

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("in two minutes not: " + what)
		}
	}
}

// together starts the command many times, with nothing answered until one has called
// AWS and all others wait for it.
func (u *user) together(t *testing.T, many int, args ...string) []*run {
	t.Helper()
	release := u.hold()
	defer release()
	runs := u.start(t, many, append(args, "--log-level", "debug")...)
	await(t, "all but one wait for another", func() bool {
		waiting := 0
		for _, r := range runs {
			if strings.Contains(r.stderr.String(), "cache: waiting for another process") {
				waiting++
			}
		}
		return waiting == many-1
	})
	return runs
}

// errors are the lines of stderr that are not the log.
func (r *run) errors() string {
	var lines []string
	for _, line := range strings.Split(r.stderr.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "time=") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// counted is a command for --mfa-command that prints a code once for each line that it
// adds to a file.
func (u *user) counted(t *testing.T) (command, file string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	file = filepath.Join(u.home, "asked")
	return "echo x >>" + file + "; echo 123456", file
}

// C02: twenty runs of one parent, one after another.
func TestC02LoopOfOneParent(t *testing.T) {
	u := newUser(t)
	keys := map[string]bool{}
	for range 20 {
		keys[u.ask(t, "--role-arn", devRole)] = true
	}
	if n := u.assumed(); n != 1 || len(keys) != 1 {
		t.Errorf("the role was assumed %d times, and %d keys signed; want 1 and 1", n, len(keys))
	}
}

// C02: the same in a shell's loop.
func TestC02ShellLoop(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	u := newUser(t)
	one := u.command(t, "--role-arn", devRole)
	loop := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$@" || exit; done`, "sh", one.Path}, one.Args[1:]...)...)
	loop.Env = u.env
	out, err := loop.Output()
	if err != nil || strings.Count(string(out), "k8s-aws-v1.") != 20 || u.assumed() != 1 {
		t.Errorf("%v, %d tokens, the role was assumed %d times; want 20 and 1", err, strings.Count(string(out), "k8s-aws-v1."), u.assumed())
	}
}

// C03: a code works once, so a second one is not asked for.
func TestC03MFACommandThreeInARow(t *testing.T) {
	u := newUser(t)
	command, asked := u.counted(t)
	keys := map[string]bool{}
	for range 3 {
		keys[u.ask(t, "--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--mfa-command", command)] = true
	}
	if n := u.assumed(); n != 1 || lines(t, asked) != 1 || len(keys) != 1 {
		t.Errorf("the role was assumed %d times, %d codes, %d keys; want 1, 1 and 1", n, lines(t, asked), len(keys))
	}
}

// C04: AWS never answers. All end with the first, in its words, and never are two
// calls in flight.
func TestC04STSNeverAnswers(t *testing.T) {
	t.Parallel() // it takes as long as the client waits for AWS
	u := newUser(t)
	release := u.hold()
	defer release()
	runs := u.start(t, 8, "--role-arn", devRole, "--log-level", "debug")
	said := map[string]int{}
	for i, r := range runs {
		if code := r.wait(t); code != 3 {
			t.Errorf("process %d: exit code %d, want 3\n%s", i, code, &r.stderr)
		}
		said[r.errors()]++
	}
	// The AWS SDK tries three times.
	if _, all := u.calls(); len(said) != 1 || all > 3 {
		t.Errorf("%d different errors, and %d attempts; want 1 and those of one process: %v", len(said), all, said)
	}
	for text := range said {
		if !strings.Contains(text, "error: assuming role "+devRole) || !strings.Contains(text, "hint: ") {
			t.Errorf("said %q", text)
		}
	}
}

// C05: the role is denied. One asks, and those who waited say the same.
func TestC05DeniedTwentyAtOnce(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.fault(string(fakeaws.AssumeRole), "AccessDenied")
	runs := u.together(t, 20, "--role-arn", devRole)
	said := map[string]int{}
	for i, r := range runs {
		if code := r.wait(t); code != 3 || r.stdout.String() != "" {
			t.Errorf("process %d: exit code %d, want 3", i, code)
		}
		said[r.errors()]++
	}
	if n := u.assumed(); n != 1 || len(said) != 1 {
		t.Errorf("the role was asked for %d times, with %d different errors; want 1 and 1: %v", n, len(said), said)
	}
	for text := range said {
		if !strings.Contains(text, "AccessDenied") || !strings.Contains(text, "hint: the role's trust policy") {
			t.Errorf("said %q", text)
		}
	}
	// It is over with those: the next one asks for itself.
	u.aws.ClearFaults()
	u.ask(t, "--role-arn", devRole)
}

// C05: what failed for one because of its own terminal, code or program is not told to
// those who waited: they try.
func TestC05OwnFailuresAreNotShared(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	for name, command := range map[string]string{"a failed command": "exit 1", "a wrong code": "echo 000000", "no code": "echo word"} {
		begun, go_ := filepath.Join(u.home, "begun-"+fmt.Sprint(len(name))), filepath.Join(u.home, "go-"+fmt.Sprint(len(name)))
		role := []string{"--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--session-name", "s" + fmt.Sprint(len(name)), "--log-level", "debug"}
		first := u.startOne(t, u.command(t, append(role, "--mfa-command", "touch "+begun+"; until test -e "+go_+"; do sleep 0.05; done; "+command)...))
		await(t, "the first asks for a code", func() bool { _, err := os.Stat(begun); return err == nil })
		second := u.startOne(t, u.command(t, append(role, "--mfa-command", "echo 123456")...))
		await(t, "the second waits", func() bool { return strings.Contains(second.stderr.String(), "cache: waiting for another process") })
		u.write(t, go_, "")
		if code := first.wait(t); code != 3 {
			t.Errorf("%s: exit code %d, want 3", name, code)
		}
		if code := second.wait(t); code != 0 {
			t.Errorf("%s: the one that waited: exit code %d\n%s", name, code, second.errors())
		}
	}
}

// C05: nor is what failed by way of another proxy.
func TestC05AnotherProxy(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	release := u.hold()
	proxied := u.command(t, "--role-arn", devRole)
	// AWS stands on this computer, for which no proxy is ever used. What counts is that
	// the two say different things.
	proxied.Env = append(proxied.Env, "HTTPS_PROXY=http://127.0.0.1:1")
	first := u.startOne(t, proxied)
	await(t, "the first calls AWS", func() bool { now, _ := u.calls(); return now == 1 })
	second := u.startOne(t, u.command(t, "--role-arn", devRole, "--log-level", "debug"))
	await(t, "the second waits", func() bool { return strings.Contains(second.stderr.String(), "cache: waiting for another process") })
	u.aws.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Code: "AccessDenied", Times: 1})
	release()
	if code := first.wait(t); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if code := second.wait(t); code != 0 {
		t.Errorf("the one that waited: exit code %d\n%s", code, second.errors())
	}
}

// C05: nor is what another region's STS said: the region is not part of the key.
func TestC05AnotherRegion(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	release := u.hold()
	first := u.startOne(t, u.command(t, "--role-arn", devRole, "--region", "us-west-2"))
	await(t, "the first calls AWS", func() bool { now, _ := u.calls(); return now == 1 })
	second := u.startOne(t, u.command(t, "--role-arn", devRole, "--log-level", "debug"))
	await(t, "the second waits", func() bool {
		return strings.Contains(second.stderr.String(), "cache: waiting for another process")
	})
	u.aws.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Code: "RegionDisabledException", Times: 1})
	release()
	if code := first.wait(t); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if code := second.wait(t); code != 0 {
		t.Errorf("the one that waited: exit code %d\n%s", code, second.errors())
	}
}

// ssoProfiles writes profiles of one SSO session, whose token has expired and can be
// refreshed, and names them.
func (u *user) ssoProfiles(t *testing.T, many int) []string {
	t.Helper()
	config := "[sso-session corp]\nsso_region = " + testRegion + "\nsso_start_url = " + ssoStartURL + "\nsso_registration_scopes = sso:account:access\n"
	var names []string
	for i := range many {
		name := fmt.Sprintf("sso-%d", i)
		names = append(names, name)
		config += "[profile " + name + "]\nsso_session = corp\nsso_account_id = " + testAccount + "\nsso_role_name = Ops\n"
	}
	u.write(t, filepath.Join(u.home, "config"), config)
	u.set("AWS_CONFIG_FILE", filepath.Join(u.home, "config"))
	login, err := u.aws.LogInSSO(ssoStartURL, "ann")
	if err == nil {
		err = u.aws.ExpireSSOToken(login.AccessToken)
	}
	if err != nil {
		t.Fatal(err)
	}
	login.ExpiresAt = time.Now().Add(-time.Hour)
	name, content := login.CacheFile("corp")
	path := filepath.Join(u.home, ".aws", "sso", "cache", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	u.write(t, path, string(content))
	return names
}

// C06: twenty at once find an SSO session to be refreshed, with one profile and with
// twenty. It is refreshed once, and each role's credentials are got once and cached.
func TestC06SSOTwentyAtOnce(t *testing.T) {
	for _, profiles := range []int{1, 20} {
		t.Run(fmt.Sprintf("C06 %d profiles", profiles), func(t *testing.T) {
			u := newUser(t)
			names := u.ssoProfiles(t, profiles)
			var runs []*run
			for i := range 20 {
				runs = append(runs, u.startOne(t, u.command(t, "--profile", names[i%profiles])))
			}
			for i, r := range runs {
				if code := r.wait(t); code != 0 {
					t.Errorf("process %d: exit code %d\n%s", i, code, &r.stderr)
				}
			}
			for _, name := range names {
				u.ask(t, "--profile", name)
			}
			counts := u.aws.Counts()
			if counts[fakeaws.CreateToken] != 1 || counts[fakeaws.GetRoleCredentials] != profiles || u.entries(t) != profiles {
				t.Errorf("%d CreateToken, %d GetRoleCredentials, %d entries; want 1, %d and %d",
					counts[fakeaws.CreateToken], counts[fakeaws.GetRoleCredentials], u.entries(t), profiles, profiles)
			}
		})
	}
}

// C06: a session that cannot be refreshed any more is tried once, and each profile is
// told its own command.
func TestC06SSOSessionIsOver(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	names := u.ssoProfiles(t, 4)
	u.aws.SetFault(fakeaws.CreateToken, fakeaws.Fault{Code: "InvalidGrantException"})
	release := u.hold()
	var runs []*run
	for _, name := range names {
		runs = append(runs, u.startOne(t, u.command(t, "--profile", name, "--log-level", "debug")))
	}
	await(t, "all but one wait", func() bool {
		waiting := 0
		for _, r := range runs {
			if strings.Contains(r.stderr.String(), "cache: waiting for another process") {
				waiting++
			}
		}
		return waiting == len(names)-1
	})
	release()
	for i, r := range runs {
		if code := r.wait(t); code != 3 || !strings.Contains(r.errors(), "hint: run: aws sso login --profile "+names[i]) {
			t.Errorf("%s: exit code %d\n%s", names[i], code, r.errors())
		}
	}
	if n := u.aws.Counts()[fakeaws.CreateToken]; n != 1 {
		t.Errorf("%d CreateToken, want 1", n)
	}
}

// C07: --cache-all. A program that looks at the environment or the working directory
// never gets another's credentials; what every shell changes is no reason to run it
// again.
func TestC07CacheAll(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is for sh")
	}
	u := newUser(t)
	program := filepath.Join(u.home, "program")
	u.write(t, program, `echo x >>"$HOME/runs"; printf '{"Version":1,"AccessKeyId":"ASIA%s","SecretAccessKey":"s","SessionToken":"t","Expiration":"'"$(date -u -d +1hour +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v+1H +%Y-%m-%dT%H:%M:%SZ)"'"}' "$(printf '%s' "$TENANT$(pwd)$(uname -n)" | cksum | tr -cd 0-9 | head -c 9)0000000"`)
	u.write(t, filepath.Join(u.home, "config"), "[profile vendor]\ncredential_process = sh "+program+"\n")
	u.set("AWS_CONFIG_FILE", filepath.Join(u.home, "config"))
	ask := func(dir string, env ...string) string {
		t.Helper()
		cmd := u.command(t, "--profile", "vendor", "--cache-all")
		cmd.Dir, cmd.Env = dir, append(cmd.Env, env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return keyOf(t, out)
	}
	runs := func() int { return lines(t, filepath.Join(u.home, "runs")) }
	one, other := t.TempDir(), t.TempDir()
	first := ask(one, "TENANT=a")
	for _, v := range []string{"_=/bin/x", "SHLVL=7", "OLDPWD=/", "COLUMNS=99", "LINES=9", "KUBERNETES_EXEC_INFO="} {
		if got := ask(one, "TENANT=a", v); got != first || runs() != 1 {
			t.Errorf("with %s: %s after %d runs, want %s after 1", v, got, runs(), first)
		}
	}
	for _, c := range [][2]string{{one, "TENANT=b"}, {other, "TENANT=a"}} {
		before := runs()
		if got := ask(c[0], c[1]); got == first || runs() != before+1 {
			t.Errorf("%v: served the credentials of another", c)
		}
	}
	if got := ask(one, "TENANT=a"); got != first {
		t.Errorf("%s, want what is cached, %s", got, first)
	}
}

// C08: an entry of another host whose clock is some seconds ahead.
func TestC08ClockAhead(t *testing.T) {
	u := newUser(t)
	first := u.ask(t, "--role-arn", devRole)
	u.age(t, -25*time.Second)
	if got := u.ask(t, "--role-arn", devRole); got != first {
		t.Error("25 s in the future is not tolerated")
	}
	u.age(t, -10*time.Second)
	if got := u.ask(t, "--role-arn", devRole); got == first {
		t.Error("35 s in the future is")
	}
}

// C10: one role and code for all regions. The flag, the variable and the profile choose
// the token's host when it is minted.
func TestC10ThreeRegionsOneCode(t *testing.T) {
	u := newUser(t)
	command, asked := u.counted(t)
	config := filepath.Join(u.home, "config")
	alice := u.keys["alice"]
	u.write(t, config, "[profile there]\nregion = ap-southeast-2\nuse_fips_endpoint = false\naws_access_key_id = "+alice.AccessKeyID+"\naws_secret_access_key = "+alice.SecretAccessKey+"\n")
	u.set("AWS_CONFIG_FILE", config)
	u.set("AWS_REGION", "")
	keys := map[string]bool{}
	host := func(env string, args ...string) string {
		t.Helper()
		cmd := u.command(t, append([]string{"--profile", "there", "--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--mfa-command", command}, args...)...)
		cmd.Env = append(cmd.Env, env)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := token.Parse(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		keys[parsed.AccessKeyID] = true
		return parsed.Host
	}
	for range 2 {
		for _, c := range []struct{ env, arg, want string }{
			{"X=", "", "sts.ap-southeast-2.amazonaws.com"},
			{"X=", "--region=eu-west-1", "sts.eu-west-1.amazonaws.com"},
			{"AWS_REGION=us-west-2", "", "sts.us-west-2.amazonaws.com"},
			{"AWS_DEFAULT_REGION=us-east-2", "", "sts.us-east-2.amazonaws.com"},
			{"AWS_REGION=us-west-2", "--region=eu-west-1", "sts.eu-west-1.amazonaws.com"},
			{"AWS_REGION=aws-global", "", "sts.amazonaws.com"},
		} {
			var args []string
			if c.arg != "" {
				args = []string{c.arg}
			}
			if got := host(c.env, args...); got != c.want {
				t.Errorf("%s %s: %s, want %s", c.env, c.arg, got, c.want)
			}
		}
	}
	if lines(t, asked) != 1 || len(keys) != 1 || u.assumed() != 1 {
		t.Errorf("%d codes, %d keys, %d roles assumed; want 1 each", lines(t, asked), len(keys), u.assumed())
	}
}

// C10: the host of a hit is the one of a miss, with each switch in the profile and in
// the environment.
func TestC10HostOfAHit(t *testing.T) {
	u := newUser(t)
	alice := u.keys["alice"]
	for i, profile := range []string{"", "region = us-west-2\n", "region = us-west-2\nuse_fips_endpoint = true\n", "region = us-west-2\nuse_dualstack_endpoint = true\n"} {
		config := filepath.Join(u.home, fmt.Sprintf("config-%d", i))
		u.write(t, config, "[profile p]\n"+profile+"aws_access_key_id = "+alice.AccessKeyID+"\naws_secret_access_key = "+alice.SecretAccessKey+"\n")
		for _, env := range []string{"X=", "AWS_REGION=us-east-1", "AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_FIPS_ENDPOINT=false", "AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_REGION=aws-global"} {
			host := func(args ...string) string {
				cmd := u.command(t, append([]string{"--profile", "p", "--role-arn", devRole}, args...)...)
				cmd.Env = append(cmd.Env, "AWS_CONFIG_FILE="+config, "AWS_REGION=", env)
				out, err := cmd.CombinedOutput()
				if err != nil {
					return string(out)
				}
				parsed, err := token.Parse(strings.TrimSpace(string(out)))
				if err != nil {
					t.Fatal(err)
				}
				return parsed.Host
			}
			want := host("--no-cache")
			host()
			before := u.assumed()
			if got := host(); strings.HasPrefix(want, "sts") && (got != want || u.assumed() != before) {
				t.Errorf("%q %s: a hit is for %s, want %s", profile, env, got, want)
			}
		}
	}
}

// C11: credentials are fetched again once 15 minutes old, so a role that was deleted
// and created again heals; those that needed a code stay, until `cache clear`.
func TestC11Healing(t *testing.T) {
	u := newUser(t)
	command, asked := u.counted(t)
	plain := []string{"--role-arn", devRole}
	coded := []string{"--role-arn", mfaRole, "--mfa-serial", mfaSerial, "--mfa-command", command}
	first, code := u.ask(t, plain...), u.ask(t, coded...)
	remade := func() {
		t.Helper()
		for _, arn := range []string{devRole} {
			if err := u.aws.RemovePrincipal(arn); err != nil {
				t.Fatal(err)
			}
			if _, err := u.aws.AddRole(fakeaws.Role{Account: testAccount, Name: "dev"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	remade()
	u.age(t, 14*time.Minute)
	if got := u.ask(t, plain...); got != first {
		t.Error("fetched again after 14 minutes")
	}
	u.age(t, 2*time.Minute)
	second := u.ask(t, plain...)
	if second == first {
		t.Error("not fetched again after 16 minutes")
	}
	if got := u.ask(t, coded...); got != code || lines(t, asked) != 1 {
		t.Errorf("with a code: %s after %d codes", got, lines(t, asked))
	}
	remade()
	clear := exec.CommandContext(t.Context(), "ekskey", "cache", "clear")
	clear.Env = u.env
	if out, err := clear.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if u.ask(t, plain...) == second || u.ask(t, coded...) == code || lines(t, asked) != 2 {
		t.Error("`cache clear` heals nothing")
	}
}

// C11: where AWS gives no answer or throttles, the cached ones serve, and the next
// attempt is a minute later; a denial drops them.
func TestC11AWSIsAway(t *testing.T) {
	for _, code := range []string{"cut", "InternalFailure", "Throttling"} {
		u := newUser(t)
		first := u.ask(t, "--role-arn", devRole)
		u.age(t, 16*time.Minute)
		u.fault(string(fakeaws.AssumeRole), code)
		if got := u.ask(t, "--role-arn", devRole); got != first {
			t.Errorf("%s: the cached credentials do not serve", code)
		}
		before := u.assumed()
		if got := u.ask(t, "--role-arn", devRole); got != first || u.assumed() != before {
			t.Errorf("%s: AWS was called again at once", code)
		}
		u.age(t, 2*time.Minute)
		u.aws.ClearFaults()
		if got := u.ask(t, "--role-arn", devRole); got == first {
			t.Errorf("%s: not fetched again when AWS is back", code)
		}
	}
	u := newUser(t)
	u.ask(t, "--role-arn", devRole)
	u.age(t, 16*time.Minute)
	u.fault(string(fakeaws.AssumeRole), "AccessDenied")
	for range 2 {
		r := u.startOne(t, u.command(t, "--role-arn", devRole))
		if code := r.wait(t); code != 3 || !strings.Contains(r.errors(), "AccessDenied") {
			t.Errorf("denied: exit code %d\n%s", code, r.errors())
		}
	}
	if u.entries(t) != 0 {
		t.Error("what was denied is still cached")
	}
}

// C11: so it is where a login is over.
func TestC11LoginIsOver(t *testing.T) {
	u := newUser(t)
	names := u.ssoProfiles(t, 1)
	first := u.ask(t, "--profile", names[0])
	u.age(t, 16*time.Minute)
	u.fault(string(fakeaws.GetRoleCredentials), "UnauthorizedException")
	if got := u.ask(t, "--profile", names[0]); got != first {
		t.Error("the cached credentials do not serve")
	}
}

// C12: whoami sees STS refuse the cached credentials, drops them and gets new ones.
func TestC12Whoami(t *testing.T) {
	u := newUser(t)
	first := u.ask(t, "--role-arn", devRole)
	if err := u.aws.ExpireSession(first); err != nil {
		t.Fatal(err)
	}
	if got := u.ask(t, "--role-arn", devRole); got != first {
		t.Error("an exec plugin was not given what is cached")
	}
	whoami := exec.CommandContext(t.Context(), "ekskey", "whoami", "--role-arn", devRole)
	whoami.Env = u.env
	if out, err := whoami.CombinedOutput(); err != nil || !strings.Contains(string(out), "role/dev") {
		t.Errorf("%v: %s", err, out)
	}
	if got := u.ask(t, "--role-arn", devRole); got == first || u.assumed() != 2 {
		t.Errorf("%s after %d roles assumed: the refused credentials are still cached", got, u.assumed())
	}
}

// C12: so does any other command that AWS refuses, and verify by the key that signed.
func TestC12OtherCommands(t *testing.T) {
	u := newUser(t)
	token := u.command(t, "--role-arn", devRole)
	out, err := token.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.aws.ExpireSession(keyOf(t, out)); err != nil {
		t.Fatal(err)
	}
	verify := exec.CommandContext(t.Context(), "ekskey", "verify", "--cluster", "demo", "-")
	verify.Env, verify.Stdin = u.env, strings.NewReader(string(out))
	if said, err := verify.CombinedOutput(); err == nil || !strings.Contains(string(said), "ExpiredToken") {
		t.Fatalf("%v: %s", err, said)
	}
	if u.entries(t) != 0 {
		t.Error("verify: the entry is still there")
	}
	second := u.ask(t, "--role-arn", devRole)
	if err := u.aws.ExpireSession(second); err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "ekskey", "clusters", "describe", "demo", "--role-arn", devRole)
	list.Env = u.env
	if said, err := list.CombinedOutput(); err == nil {
		t.Fatalf("%s", said)
	}
	if u.entries(t) != 0 {
		t.Error("clusters describe: the entry is still there")
	}
}

// C12: a role over cached credentials that STS refuses is assumed with new ones.
func TestC12RefusedBase(t *testing.T) {
	u := newUser(t)
	first := u.ask(t, "--role-arn", devRole)
	if err := u.aws.ExpireSession(first); err != nil {
		t.Fatal(err)
	}
	u.ask(t, "--role-arn", devRole, "--role-arn", "arn:aws:iam::"+testAccount+":role/second")
	if got := u.ask(t, "--role-arn", devRole); got == first {
		t.Error("the refused credentials are still cached")
	}
}

// C14: what earlier versions left is removed at the next write.
func TestC14EarlierVersions(t *testing.T) {
	u := newUser(t)
	cache := filepath.Join(u.home, "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0123456789abcdef", 4)
	for _, name := range []string{"token-" + id + ".json", "asked-" + id[:32]} {
		u.write(t, filepath.Join(cache, name), "{}")
	}
	u.write(t, filepath.Join(cache, "notes.txt"), "mine")
	u.ask(t, "--role-arn", devRole)
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		prefix, _, _ := strings.Cut(e.Name(), "-")
		names = append(names, strings.TrimLeft(prefix, "0123456789abcdef"))
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != ".lock notes.txt redentials" {
		t.Errorf("left: %s", got)
	}
}
