package awsconf_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// alone runs the calling test in a process of its own, since Go reads the proxy
// variables once a process. It reports whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	const marker = "EKSKEY_TEST_ALONE"
	if os.Getenv(marker) == t.Name() {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("alone: %v\n%s", err, out)
	}
	return false
}

// internet is a proxy through which every host leads to one fake AWS, with
// certificates of an own CA.
type internet struct {
	aws    *fakeaws.Server
	caFile string

	mu    sync.Mutex
	hosts []string // that the proxy was asked for
}

func newInternet(t *testing.T, plain http.Handler) *internet {
	t.Helper()
	n := &internet{aws: fakeaws.New(fakeaws.Config{})}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	ca := template("test CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	n.caFile = t.TempDir() + "/ca.pem"
	if err := os.WriteFile(n.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(n.aws)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := template(hello.ServerName)
		leaf.DNSNames = []string{hello.ServerName}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}}
	web.StartTLS()
	t.Cleanup(web.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.hosts = append(n.hosts, r.Host)
		n.mu.Unlock()
		if r.Method == http.MethodConnect {
			tunnel(w, web.Listener.Addr().String())
		} else if plain != nil {
			plain.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	t.Setenv("https_proxy", "")
	t.Setenv("http_proxy", "")
	t.Setenv("no_proxy", "")
	return n
}

// tunnel joins a client that asked for CONNECT to an address.
func tunnel(w http.ResponseWriter, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, "", http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = server.Close()
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(server, bufio.NewReader(buffered)); _ = server.Close() }()
	go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
}

// last is the host asked for last.
func (n *internet) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.hosts) == 0 {
		return ""
	}
	return n.hosts[len(n.hosts)-1]
}

// TestThroughProxy: in each partition, with each variant, calls go through the
// proxy and the CA bundle to the very host that tokens are minted for.
func TestThroughProxy(t *testing.T) {
	if !alone(t) {
		return
	}
	var node fakeaws.Key
	net := newInternet(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The container endpoint of ECS: a fixed link-local address.
		_, _ = io.WriteString(w, strings.NewReplacer("ID", node.AccessKeyID, "SECRET", node.SecretAccessKey, "TOKEN", node.SessionToken).
			Replace(`{"AccessKeyId":"ID","SecretAccessKey":"SECRET","Token":"TOKEN","Expiration":"2099-01-01T00:00:00Z"}`))
	}))
	accounts := map[string]string{
		"aws": "111111111111", "aws-cn": "222222222222", "aws-us-gov": "333333333333", "aws-iso": "444444444444",
		"aws-iso-b": "555555555555", "aws-iso-e": "666666666666", "aws-iso-f": "777777777777", "aws-eusc": "888888888888",
	}
	regions := map[string]string{
		"aws": "eu-central-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-iso": "us-iso-east-1",
		"aws-iso-b": "us-isob-east-1", "aws-iso-e": "eu-isoe-west-1", "aws-iso-f": "us-isof-south-1", "aws-eusc": "eusc-de-east-1",
	}
	if got := len(identity.Partitions()); got != len(accounts) {
		t.Errorf("there are %d partitions, and %d are tried", got, len(accounts))
	}
	for partition, account := range accounts {
		if err := net.aws.AddAccount(account, partition); err != nil {
			t.Fatal(err)
		}
		key, err := net.aws.AddUser(fakeaws.User{Account: account, Name: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []identity.STSVariant{{}, {FIPS: true}, {DualStack: true}, {FIPS: true, DualStack: true}} {
			endpoint, err := identity.STSEndpointOf(regions[partition], v)
			if err != nil {
				t.Errorf("%s %+v: %v", partition, v, err)
				continue
			}
			t.Run(endpoint.Host, func(t *testing.T) {
				clean(t)
				setKeys(t, key)
				t.Setenv("AWS_CA_BUNDLE", net.caFile)
				t.Setenv("AWS_REGION", regions[partition])
				t.Setenv("AWS_MAX_ATTEMPTS", "1")
				if v.FIPS {
					t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
				}
				if v.DualStack {
					t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
				}
				if got := whoAmI(t, load(t, awsconf.Config{})); got != "arn:"+partition+":iam::"+account+":user/alice" {
					t.Errorf("it is %s", got)
				}
				if got := net.last(); got != endpoint.Host+":443" {
					t.Errorf("the call went to %s, a token would be for %s", got, endpoint.Host)
				}
			})
		}
	}
	t.Run("without a region", func(t *testing.T) {
		clean(t)
		key, err := net.aws.AddUser(fakeaws.User{Account: accounts["aws"], Name: "carol"})
		if err != nil {
			t.Fatal(err)
		}
		setKeys(t, key)
		t.Setenv("AWS_CA_BUNDLE", net.caFile)
		whoAmI(t, load(t, awsconf.Config{}))
		if got := net.last(); got != "sts.us-east-1.amazonaws.com:443" { // the region that the global host is signed for
			t.Errorf("the call went to %s", got)
		}
	})
	t.Run("without the CA", func(t *testing.T) {
		clean(t)
		setKeys(t, fakeaws.Key{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "s"})
		t.Setenv("AWS_REGION", "eu-central-1")
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		_, err := load(t, awsconf.Config{}).STS().GetCallerIdentity(t.Context(), nil)
		if text := awserr.Explain(err).Error(); !strings.Contains(text, "x509: ") {
			t.Errorf("%s", text)
		}
	})
	t.Run("ECS", func(t *testing.T) {
		clean(t)
		role, err := net.aws.AddRole(fakeaws.Role{Account: accounts["aws"], Name: "task"})
		if err != nil {
			t.Fatal(err)
		}
		if node, err = net.aws.AddSession(fakeaws.Session{RoleARN: role, Name: "ecs"}); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/id")
		t.Setenv("AWS_CA_BUNDLE", net.caFile)
		t.Setenv("AWS_REGION", "eu-central-1")
		if _, err := load(t, awsconf.Config{}).Credentials().Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := net.last(); got != "169.254.170.2" {
			t.Errorf("it was asked of %s", got)
		}
	})
}
