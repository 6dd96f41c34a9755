package cli_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/cli"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// canaryRuns are the commands' runs in which secrets are looked for. A command
// without a row fails the test. TOKEN stands for a token.
var canaryRuns = map[string][]canaryRun{
	"token": {
		{args: "--cluster demo", mayPrintToken: true},
		{args: "--cluster demo --output token", mayPrintToken: true},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/dev", mayPrintToken: true},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/ext"},
		{args: "--cluster demo --profile vendor"},
		{args: "--cluster demo --profile half"},
		{args: "--cluster demo --profile nope"},
		{args: "--cluster demo --profile sso", mayPrintToken: true},
		{args: "--cluster demo --profile sso-ended"},
		{args: "--cluster demo --profile web"},
		{args: "--cluster demo --profile container"},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/mfa --mfa-serial arn:aws:iam::111122223333:mfa/alice --mfa-code 29384756102938475610"},
		{args: "TOKEN"}, {args: "--cluster TOKEN|"}, {args: "--cluster demo --region TOKEN"}, {args: "--cluster demo -o TOKEN"},
		{args: "--cluster demo --endpoint-url https://127.0.0.1:1 --role-arn arn:aws:iam::111122223333:role/dev"},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/mfa --mfa-serial " + mfaSerial + " --mfa-command tail${IFS}-n1${IFS}config"},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/mfa --mfa-serial " + mfaSerial + " --mfa-code TOKEN"},
		{args: "--cluster demo --config config"},
	},
	"eks get-token": {
		{args: "--cluster-name demo", mayPrintToken: true},
		{args: "--cluster-name demo --role-arn arn:aws:iam::111122223333:role/dev --debug", mayPrintToken: true},
		{args: "--cluster-name TOKEN|"}, {args: "--cluster-name demo --query TOKEN"}, {args: "--cluster-name demo --output TOKEN"}, {args: "TOKEN"},
	},
	"cache list": {
		{first: "token --cluster demo --role-arn arn:aws:iam::111122223333:role/dev", args: ""},
		{first: "token --cluster demo --role-arn arn:aws:iam::111122223333:role/dev", args: "-o json"},
		{args: "TOKEN"},
	},
	"cache clear": {{first: "token --cluster demo --role-arn arn:aws:iam::111122223333:role/dev", args: ""}},
	"inspect": {
		{args: "TOKEN"}, {args: "-", stdin: "TOKEN"}, {args: "-o json", stdin: "TOKEN"}, {args: "TOKENx"},
		{args: "-", stdin: `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"TOKEN"}}`},
		{args: "-", stdin: `{"kind":"Other","status":{"token":"TOKEN"}}`},
		{args: "-", stdin: " TOKEN"},
	},
	"verify": {
		{args: "--cluster demo", stdin: "TOKEN"}, {args: "--cluster demo -o yaml TOKEN"},
		{args: "--cluster other", stdin: "TOKEN"}, {args: "--cluster demo TOKENx"},
		{args: "--cluster demo --endpoint-url https://127.0.0.1:1 TOKEN"},
	},
	"whoami": {
		{args: ""}, {args: "--cluster demo"}, {args: "--cluster demo -o json"}, {args: "--cluster echo"},
		{args: "--cluster unreachable"}, {args: "--profile vendor"},
		{args: "--cluster demo --role-arn arn:aws:iam::111122223333:role/dev"},
	},
	"clusters list":     {{args: ""}, {args: "--profiles vendor,half,nope"}, {args: "--role-arn arn:aws:iam::111122223333:role/dev"}},
	"clusters describe": {{args: "demo"}, {args: "demo -o json"}, {args: "nope"}},
	"kubeconfig update": {
		{args: "--name demo --kubeconfig kc"}, {args: "--name demo --kubeconfig kc --dry-run"},
		{args: "--name demo --kubeconfig kc2 --describe-role-arn arn:aws:iam::111122223333:role/dev"},
		{args: "--name demo --print"}, {args: "--name demo --server https://user:TOKEN@host --print"},
		{args: "--name nope"}, {args: "--name TOKEN --kubeconfig kc3"}, {args: "TOKEN"},
	},
	"kubeconfig convert": {
		{first: "kubeconfig update --name demo --kubeconfig kc", args: "--to aws --kubeconfig kc"},
		{args: "--kubeconfig config"}, {args: "--kubeconfig TOKEN"}, {args: "TOKEN"},
	},
	"kubeconfig list": {
		{args: ""}, {args: "--kubeconfig config"},
		{first: "kubeconfig update --name demo --kubeconfig kc --role-arn arn:aws:iam::111122223333:role/dev", args: "--kubeconfig kc --log-level debug -o json"},
		{first: "kubeconfig update --name demo --kubeconfig kc", args: "--kubeconfig kc --profile vendor"},
		{first: "kubeconfig update --name demo --kubeconfig kc", args: "--kubeconfig kc --role-arn arn:aws:iam::111122223333:role/dev"},
		{args: "--kubeconfig TOKEN"}, {args: "TOKEN"},
	},
	"kubeconfig prune": {
		{first: "kubeconfig update --name demo --kubeconfig kc", args: "--kubeconfig kc --all"},
		{args: "--kubeconfig config"}, {args: "TOKEN"},
	},
	"kubeconfig remove": {
		{first: "kubeconfig update --name demo --alias a --kubeconfig kc", args: "a --kubeconfig kc --dry-run"},
		{first: "kubeconfig update --name demo --alias a --kubeconfig kc", args: "a --kubeconfig kc"},
		{args: "TOKEN"}, {args: "a --kubeconfig config"},
	},
	"kubeconfig sync": {
		{args: "--kubeconfig kc"}, {args: "--kubeconfig kc --dry-run"}, {args: "--kubeconfig kc --profiles vendor,half,nope"},
		{args: "--kubeconfig kc --role-arn arn:aws:iam::111122223333:role/dev --prune -o json"},
		{args: "--kubeconfig config"}, {args: "--alias TOKEN{"}, {args: "TOKEN"},
	},
	// What they do while they run is in TestProxyProcess and TestAgentProcess.
	"proxy": {
		{args: "--cluster nope --port 0 --kubeconfig-out kc"}, {args: "--cluster TOKEN --port 0 --kubeconfig-out kc"},
		{args: "--cluster demo --port 0 --kubeconfig-out kc --role-arn arn:aws:iam::111122223333:role/ext"}, {args: "TOKEN"},
	},
	"agent":       {{args: "--cluster demo --token-file config"}, {args: "--config config"}, {args: "--check --ready-file TOKEN"}, {args: "TOKEN"}},
	"access list": {{args: "--cluster demo"}, {args: "--cluster demo -o json --no-iam"}, {args: "--cluster echo"}, {args: "--cluster nope"}, {args: "--cluster TOKEN|"}, {args: "TOKEN"}},
	"access grant": {
		{args: "--cluster demo --principal arn:aws:iam::111122223333:role/ext --dry-run"}, {args: "--cluster demo --principal TOKEN --yes"},
		{args: "--cluster demo --principal arn:aws:iam::111122223333:role/ext --username TOKEN --dry-run"}, {args: "TOKEN"},
	},
	"access expire":  {{args: "--cluster demo --yes"}, {args: "--cluster TOKEN| --yes"}, {args: "TOKEN"}},
	"access revoke":  {{args: "--cluster demo --principal arn:aws:iam::111122223333:role/ext --yes"}, {args: "--cluster echo --principal TOKEN --yes"}, {args: "TOKEN"}},
	"access lint":    {{args: "--cluster demo"}, {args: "--cluster echo -o yaml"}, {args: "--cluster unreachable"}, {args: "TOKEN"}},
	"access who-can": {{args: "--cluster demo get pods"}, {args: "--cluster echo get secrets TOKEN"}, {args: "--cluster demo get TOKEN"}, {args: "TOKEN"}},
	"version":        {{args: ""}, {args: "TOKEN"}},
	"completion":     {{args: "bash"}, {args: "TOKEN"}},
}

type canaryRun struct {
	first         string // a command that runs before, and is not looked at
	args, stdin   string
	mayPrintToken bool
}

// canaryWeather are the ways of AWS to fail.
var canaryWeather = map[string]func(*world, fakeaws.Key){
	"expired": func(w *world, _ fakeaws.Key) { w.fault("*", "ExpiredToken") },
	"cut":     func(w *world, _ fakeaws.Key) { w.fault("*", "cut") },
	// AWS quotes the canonical request, and in it the session token.
	"signature": func(w *world, k fakeaws.Key) {
		w.aws.SetFault(fakeaws.AnyAction, fakeaws.Fault{
			Code: "SignatureDoesNotMatch",
			Message: "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:" +
				k.SessionToken + "'",
		})
	},
}

func TestCanary(t *testing.T) {
	paths := cli.CommandPaths()
	for path := range canaryRuns {
		if !slices.Contains(paths, path) {
			t.Errorf("there is no command %q any more", path)
		}
	}
	for _, path := range paths {
		runs, ok := canaryRuns[path]
		if !ok {
			t.Errorf("the command %q has no row here", path)
		}
		for i, run := range runs {
			t.Run(fmt.Sprintf("%s/%d", path, i), func(t *testing.T) {
				t.Parallel()
				fair := newCanary(t)
				fair.run(t, path, run, true)
				if len(fair.world.aws.Counts()) == 0 {
					return // AWS was not asked, so its weather changes nothing
				}
				for weather, set := range canaryWeather {
					t.Run(weather, func(t *testing.T) {
						c := newCanary(t)
						set(c.world, c.keys)
						c.env = append(c.env, "AWS_MAX_ATTEMPTS=1") // it would be the same again
						c.run(t, path, run, false)
					})
				}
			})
		}
	}
}

// canary is a world, and the secrets in it.
type canary struct {
	world   *world
	keys    fakeaws.Key
	token   string
	dir     string
	env     []string
	secrets map[string]string // name of each
	inputs  []string          // files that hold secrets because the test put them there
	cache   string            // the folder of the cache
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	c := &canary{world: w, keys: w.keys["session"], dir: t.TempDir()}
	if c.token, err = w.mint("demo", "session", time.Minute, ""); err != nil {
		t.Fatal(err)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(c.token, "k8s-aws-v1."))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := url.Parse(string(decoded))
	if err != nil {
		t.Fatal(err)
	}
	const webSecret, containerSecret, mfaSecret = "WebIdentityWebIdentityWebIdentity", "ContainerTokenContainerToken", "29384756102938475610"
	const processSecret, halfSecret = "ProcessSecretProcessSecret", "HalfSecretHalfSecretHalfSecret"
	c.secrets = map[string]string{
		"secret access key":     c.keys.SecretAccessKey,
		"session token":         c.keys.SessionToken,
		"escaped session token": url.QueryEscape(c.keys.SessionToken),
		"signature":             signed.Query().Get("X-Amz-Signature"),
		"credential_process":    processSecret,
		"half a key":            halfSecret,
	}
	c.secrets["web identity token"], c.secrets["container authorization token"], c.secrets["code of an MFA device"] = webSecret, containerSecret, mfaSecret
	sso, err := c.logIn("sso", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := c.logIn("sso-ended", func(token *fakeaws.SSOToken) error {
		token.ExpiresAt = time.Now().Add(-time.Hour)
		return w.aws.EndSSOSession(token.AccessToken)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]fakeaws.SSOToken{"": sso, "ended ": ended} {
		c.secrets[name+"SSO access token"], c.secrets[name+"SSO refresh token"], c.secrets[name+"SSO client secret"] = token.AccessToken, token.RefreshToken, token.ClientSecret
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(rw, `{"code":"AccessDenied","message":"not %s"}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(refusing.Close)
	webFile := filepath.Join(c.dir, "web-identity")
	if err := os.WriteFile(webFile, []byte(webSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, secret := range c.secrets {
		if len(secret) < 20 {
			t.Fatalf("the %s is too short to look for: %q", name, secret)
		}
	}
	config := "[profile vendor]\ncredential_process = echo " + processSecret + "\n" +
		"[profile half]\naws_secret_access_key = " + halfSecret + "\n"
	for _, name := range []string{"sso", "sso-ended"} {
		config += "[profile " + name + "]\nsso_session = " + name + "\nsso_account_id = " + testAccount + "\nsso_role_name = Ops\n" +
			"[sso-session " + name + "]\nsso_region = " + testRegion + "\nsso_start_url = " + ssoStartURL + "\n"
	}
	config += "[profile web]\nrole_arn = arn:aws:iam::111122223333:role/dev\nweb_identity_token_file = " + webFile + "\n" +
		"[profile container]\nrole_arn = arn:aws:iam::111122223333:role/dev\ncredential_source = EcsContainer\n"
	c.inputs = append(c.inputs, webFile, filepath.Join(c.dir, "config"))
	configFile := filepath.Join(c.dir, "config")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	vars, err := w.environ(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	vars["AWS_CONFIG_FILE"] = configFile
	vars["AWS_CONTAINER_CREDENTIALS_FULL_URI"], vars["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = refusing.URL, containerSecret
	c.cache = filepath.Join(c.dir, "cache")
	vars["EKSKEY_CACHE_DIR"] = c.cache
	vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"], vars["AWS_SESSION_TOKEN"] = c.keys.AccessKeyID, c.keys.SecretAccessKey, c.keys.SessionToken
	c.env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + c.dir, "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}
	for name, value := range vars {
		c.env = append(c.env, name+"="+value)
	}
	return c
}

// logIn leaves the file that `aws sso login` does, after a change to the token.
func (c *canary) logIn(session string, change func(*fakeaws.SSOToken) error) (fakeaws.SSOToken, error) {
	token, err := c.world.aws.LogInSSO(ssoStartURL, "ann")
	if err == nil && change != nil {
		err = change(&token)
	}
	if err != nil {
		return token, err
	}
	name, content := token.CacheFile(session)
	path := filepath.Join(c.dir, "home", ".aws", "sso", "cache", name)
	c.inputs = append(c.inputs, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return token, err
	}
	return token, os.WriteFile(path, content, 0o600)
}

func (c *canary) run(t *testing.T, path string, run canaryRun, fair bool) {
	t.Helper()
	if run.first != "" {
		first := exec.CommandContext(t.Context(), "ekskey", strings.Fields(run.first)...)
		first.Dir, first.Env = c.dir, c.env
		if err := first.Run(); fair && err != nil {
			t.Errorf("%s: %v", run.first, err)
		}
	}
	words := strings.Fields(path + " --log-level debug " + strings.NewReplacer("TOKEN", c.token, "|", "\u00e9").Replace(run.args))
	cmd := exec.CommandContext(t.Context(), "ekskey", words...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(run.stdin, "TOKEN", c.token))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil && stdout.Len() > 0 {
		t.Errorf("it failed, and stdout is not empty")
	}
	for i, secret := range c.world.secretsIssued() {
		c.secrets[fmt.Sprintf("secret %d of an assumed role", i)] = secret
	}
	if run.mayPrintToken {
		if fair && (err != nil || !strings.Contains(stdout.String(), "k8s-aws-v1.")) {
			t.Errorf("no token, so this run shows nothing: %v %s", err, &stderr)
		}
		stdout.Reset()
	}
	c.search(t, "stdout", stdout.Bytes())
	c.search(t, "stderr", stderr.Bytes())
	err = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains(c.inputs, path) {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.HasPrefix(path, c.cache+string(filepath.Separator)) {
			c.searchCache(t, path, data)
			return err
		}
		c.search(t, path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// searchCache looks for what may not even be in the cache, which keeps tokens and
// the secrets of assumed roles: the secrets they were got with.
func (c *canary) searchCache(t *testing.T, path string, data []byte) {
	t.Helper()
	for name, secret := range c.secrets {
		if !strings.HasSuffix(name, "of an assumed role") && bytes.Contains(data, []byte(secret)) {
			t.Errorf("the %s is in %s", name, path)
		}
	}
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("%s: mode %v, error %v", path, info.Mode(), err)
	}
}

func (c *canary) search(t *testing.T, where string, data []byte) {
	t.Helper()
	for name, secret := range c.secrets {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the %s is in %s:\n%s", name, where, data)
		}
	}
	// A token, or a part of one that could be told from its encoding.
	if wholeToken.Match(data) {
		t.Errorf("a token is in %s:\n%s", where, data)
	}
	for shift := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + "X-Amz-Signature="))
		if bytes.Contains(data, []byte(encoded[4:len(encoded)-4])) {
			t.Errorf("a part of a token is in %s:\n%s", where, data)
		}
	}
}

var wholeToken = regexp.MustCompile(`k8s-aws-v1\.[A-Za-z0-9_-]{20}`)

func (w *world) secretsIssued() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.issued)
}
