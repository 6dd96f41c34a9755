package kubeclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
)

func TestConfigErrors(t *testing.T) {
	noAWS(t)
	good := func() Config {
		return Config{
			Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(testKey, testSecret, ""),
			Endpoint: "https://127.0.0.1:1", CAData: []byte("x"),
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		field  string
	}{
		{"a CA that is none", func(*Config) {}, "CAData"},
		{"no CA", func(c *Config) { c.CAData = nil }, "Endpoint"},
		{"no endpoint", func(c *Config) { c.Endpoint = "" }, "Endpoint"},
		{"an endpoint without TLS", func(c *Config) { c.Endpoint = "http://127.0.0.1:1" }, "Endpoint"},
		{"an endpoint with a user", func(c *Config) { c.Endpoint = "https://a:b@127.0.0.1:1" }, "Endpoint"},
		{"an endpoint with a path", func(c *Config) { c.Endpoint = "https://127.0.0.1:1/x" }, "Endpoint"},
		{"an endpoint without a cluster", func(c *Config) { c.Cluster = "" }, "Cluster"},
		{"a cluster's name that cannot be", func(c *Config) { c.Cluster = "a b" }, "Cluster"},
		{"a region that cannot be", func(c *Config) { c.Region = "nowhere" }, "region"},
		{"no region", func(c *Config) { c.Region, c.Endpoint, c.CAData = "", "", nil }, "Region"},
		{"roles twice", func(c *Config) { c.RoleARNs, c.Roles = []string{"x"}, []Role{{ARN: "y"}} }, "Roles"},
		{"a role that is none", func(c *Config) { c.RoleARNs = []string{"arn:aws:iam::111122223333:user/x"} }, "role"},
		{"a profile and credentials", func(c *Config) { c.Profile = "x" }, "Profile"},
		{"a negative age", func(c *Config) { c.TokenMaxAge = -1 }, "TokenMaxAge"},
		{"in no cluster", func(c *Config) { *c = Config{} }, "Cluster"},
		{"credentials for no cluster", func(c *Config) { *c = Config{Credentials: c.Credentials} }, "Cluster"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := good()
			c.change(&conf)
			_, err := New(t.Context(), conf)
			var wrong *ConfigError
			if !errors.As(err, &wrong) || wrong.Field != c.field {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNewRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*world, *Config)
		is    func(error) bool
		text  string
	}{
		{"no such cluster", func(_ *world, c *Config) { c.Cluster = "other" }, as[*ClusterNotFoundError], "there is no cluster other in us-east-1"},
		{"EKS says no", func(w *world, _ *Config) {
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Code: "AccessDenied"})
		}, as[*DescribeError], "AccessDenied"},
		{"an answer that is none", func(w *world, _ *Config) {
			w.aws.SetFault(fakeaws.DescribeCluster, raw(`{}`))
		}, as[*DescribeError], "contains no cluster"},
		{"another cluster's answer", func(w *world, _ *Config) {
			w.aws.SetFault(fakeaws.DescribeCluster, raw(`{"cluster":{"name":"prod"}}`))
		}, as[*DescribeError], `is about cluster "prod"`},
		{"another region's answer", func(w *world, _ *Config) {
			w.aws.SetFault(fakeaws.DescribeCluster, raw(`{"cluster":{"name":"demo","arn":"arn:aws:eks:us-west-2:111122223333:cluster/demo"}}`))
		}, as[*DescribeError], "us-west-2"},
		{"an endpoint without TLS", func(w *world, _ *Config) { w.moveTo("http://127.0.0.1:1", w.k8s.CA) }, as[*DescribeError], "https"},
		{"a CA that is none", func(w *world, _ *Config) { w.moveTo("https://127.0.0.1:1", []byte("x")) }, as[*DescribeError], "PEM"},
		{"a cluster that is being created", func(w *world, _ *Config) {
			_ = w.aws.AddCluster(fakeaws.Cluster{Account: account, Region: region, Name: cluster, Status: "CREATING"})
		}, as[*ClusterNotReadyError], "CREATING"},
		{"a cluster that is only registered", func(w *world, _ *Config) {
			_ = w.aws.AddCluster(fakeaws.Cluster{Account: account, Region: region, Name: cluster, Connector: &fakeaws.Connector{Provider: "OTHER"}})
		}, as[*ClusterNotReadyError], "registered"},
		{"a local cluster whose id is another's name", func(w *world, _ *Config) {
			_ = w.aws.AddCluster(fakeaws.Cluster{
				Account: account, Region: region, Name: cluster, Endpoint: "https://127.0.0.1:1", CAData: "eA==", ID: "prod", OutpostARNs: []string{"x"},
			})
		}, as[*DescribeError], `id "prod"`},
		{"a role that refuses", func(w *world, c *Config) {
			c.RoleARNs = []string{w.role("guarded", "another-id")}
		}, as[*RoleRefusedError], "role/guarded"},
		{"no credentials", func(_ *world, c *Config) { c.Credentials = nil }, as[*CredentialsError], "credentials"},
		{"a wrong key", func(w *world, c *Config) {
			c.Credentials = token.StaticKeys(w.key.AccessKeyID, "wrong", "")
		}, as[*DescribeError], "Signature"},
		{"credentials that fail", func(_ *world, c *Config) {
			c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("the vault is locked")
			})
		}, as[*CredentialsError], "the vault is locked"},
		{"AWS cannot be reached", func(w *world, _ *Config) { w.t.Setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1") }, as[*UnreachableError], "AWS EKS"},
		{"AWS shows another certificate", func(w *world, _ *Config) { w.t.Setenv("AWS_CA_BUNDLE", "") }, func(err error) bool {
			var away *UnreachableError
			return errors.As(err, &away) && away.Cause == CauseTLS
		}, "AWS EKS"},
		{"a CA bundle that is not there", func(w *world, _ *Config) { w.t.Setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem") }, as[*ConfigError], "/nowhere/ca.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			conf := w.config()
			c.spoil(w, &conf)
			_, err := New(t.Context(), conf)
			if err == nil || !c.is(err) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%T %v", err, err)
			}
		})
	}
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func raw(body string) fakeaws.Fault {
	return fakeaws.Fault{Raw: &fakeaws.RawAnswer{Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(body)}}
}

// role adds a role that the user may assume with an external id.
func (w *world) role(name, externalID string) string {
	w.t.Helper()
	arn, err := w.aws.AddRole(fakeaws.Role{Account: account, Name: name, TrustPolicy: `{"Version":"2012-10-17","Statement":[{` +
		`"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole",` +
		`"Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}]}`})
	if err != nil {
		w.t.Fatal(err)
	}
	return arn
}

func TestRoleChain(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Roles = []Role{{ARN: w.role("hop", "one"), ExternalID: "one"}, {ARN: w.role("last", "two"), ExternalID: "two", SessionName: "me"}}
	client := w.open(c)
	if err := list(clientset(t, client.RESTConfig())); err != nil {
		t.Fatal(err)
	}
	tok, err := client.Token(t.Context())
	if err != nil || !strings.HasPrefix(tok.AccessKeyID, "ASIA") {
		t.Errorf("%v %v", tok, err)
	}
	if n := w.aws.Counts(); n[fakeaws.AssumeRole] != 2 || n[fakeaws.DescribeCluster] != 1 {
		t.Errorf("%v", n)
	}
}

// A role that is taken away while a client is open: what it has is used to its
// end, and then the error says why.
func TestRoleIsTakenAway(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Roles = []Role{{ARN: w.role("ops", "one"), ExternalID: "one"}}
	c.Endpoint, c.CAData = "https://"+w.k8s.Address, w.k8s.CA
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	client := w.open(c)
	set := clientset(t, client.RESTConfig())
	if err := list(set); err != nil {
		t.Fatal(err)
	}
	w.aws.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Code: "AccessDenied"})
	if err := list(set); err != nil {
		t.Errorf("the token is good, and: %v", err)
	}
	w.api.revoke()
	for range 3 {
		if err := list(set); !as[*RoleRefusedError](err) && !strings.Contains(fmt.Sprint(err), "nauthorized") {
			t.Errorf("%v", err)
		}
	}
	if n := w.aws.Counts()[fakeaws.AssumeRole]; n != 2 {
		t.Errorf("AssumeRole was called %d times", n)
	}
}

// What has a body is sent again as well.
func TestCreateAfterRevocation(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	skip := time.Duration(0)
	c.Now = func() time.Time { return time.Now().Add(skip) }
	client := w.open(c)
	pods := clientset(t, client.RESTConfig()).CoreV1().Pods("default")
	if _, err := client.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pod, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
		if err != nil || pod.Name != "new" {
			t.Fatal(err)
		}
		w.api.revoke()
		skip += 2 * time.Second
	}
	if w.api.refusals.Load() != 1 || w.api.tokens() != 2 {
		t.Errorf("%d refusals, %d tokens", w.api.refusals.Load(), w.api.tokens())
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	const static = "wJalrXUtnFEMI/STATIC/EXAMPLEKEY"
	c.Credentials = visible{static}
	c.Endpoint, c.CAData = "https://"+w.k8s.Address, w.k8s.CA
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := w.open(c)
	set := clientset(t, client.RESTConfig())
	if err := list(set); err != nil {
		t.Fatal(err)
	}
	tok, err := client.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.k8s.HTTP.Close()
	failed := list(set)
	holder := struct{ inner any }{client}
	for _, v := range []any{client, c, &c, failed, holder, client.RESTConfig(), tok} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			log.Write(text)
		}
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	}
	for _, secret := range []string{static, tok.Value(), tok.Value()[40:80], fmt.Sprintf("%x", static)} {
		if strings.Contains(log.String(), secret) {
			i := strings.Index(log.String(), secret)
			t.Errorf("found %.12s… in what was printed, after %q", secret, log.String()[max(0, i-200):i])
		}
	}
}

// The SDK quotes what a credential_process printed, and that may be a key after a
// line that is no JSON.
func TestCredentialProcessIsNotQuoted(t *testing.T) {
	w := newWorld(t)
	const secret = "wJalrXUtnFEMI/PROCESS/EXAMPLEKEY"
	file := filepath.Join(t.TempDir(), "config")
	text := "[default]\ncredential_process = echo there is a newer version; echo '{\"SecretAccessKey\": \"" + secret + "\"}'\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	for _, conf := range []Config{w.static(), w.config()} {
		loaded, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region))
		if err != nil {
			t.Fatal(err)
		}
		conf.Credentials = loaded.Credentials
		var log bytes.Buffer
		conf.Log = slog.New(slog.NewTextHandler(&log, nil))
		client, err := New(t.Context(), conf)
		if err == nil {
			err = list(clientset(t, client.RESTConfig()))
			client.Close()
		}
		if !as[*CredentialsError](err) || !strings.Contains(err.Error(), "credential_process") {
			t.Errorf("%T %v", err, err)
		}
		if all := fmt.Sprintf("%v %+v %#v", err, err, err) + log.String(); strings.Contains(all, secret) {
			t.Error("the key is shown")
		}
	}
}

// visible is a provider that would print its key.
type visible struct{ Secret string }

func (v visible) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: testKey, SecretAccessKey: v.Secret}, nil
}

// No Client that is closed from the first, even where nobody need be asked.
func TestNewWithAnEndedContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []Config{w.config(), w.static()} {
		if client, err := New(ctx, c); client != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v %v", client, err)
		}
	}
}

func TestNewGivesUp(t *testing.T) {
	w := newWorld(t)
	w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Latency: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := New(ctx, w.config()); !errors.Is(err, context.DeadlineExceeded) || as[*CredentialsError](err) || as[*UnreachableError](err) {
		t.Errorf("%T %v", err, err)
	}
}
