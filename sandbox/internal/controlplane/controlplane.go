// Package controlplane says how etcd and kube-apiserver are run on loopback
// for one sandbox: their certificates, flags and readiness.
package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/authorizer"

	"github.com/ekskey/ekskey/sandbox/internal/build"
	"github.com/ekskey/ekskey/sandbox/internal/pki"
	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// serviceCIDR is what EKS gives clusters whose VPC is not in 10.0.0.0/8.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_KubernetesNetworkConfigRequest.html
const serviceCIDR = "10.100.0.0/16"

// Config says what to run. All fields but WebhookTTL and AuthorizerKubeconfig are
// required.
type Config struct {
	Layout   state.Layout
	Programs build.Programs
	// Port is the API server's; EtcdPort and PeerPort are etcd's.
	Port, EtcdPort, PeerPort int
	// WebhookKubeconfig tells the API server where the token webhook is.
	WebhookKubeconfig string
	// WebhookVersion of TokenReview: v1 or v1beta1.
	WebhookVersion string
	// WebhookTTL is how long the API server keeps an answer; zero means its own
	// default of two minutes, negative means not at all.
	WebhookTTL time.Duration
	// AuthorizerKubeconfig tells the API server where the authorizer of access
	// policies is; empty means that there is none.
	AuthorizerKubeconfig string
}

// ControlPlane is an etcd and a kube-apiserver yet to run. Make one with [New].
type ControlPlane struct {
	cfg       Config
	authority *pki.Authority
	ca        []byte
	admin     pki.Pair
}

// New makes the certificates and writes them and the API server's
// configuration below the state directory.
func New(cfg Config, now time.Time) (*ControlPlane, error) {
	// EKS too calls the authority of a cluster "kubernetes".
	ca, err := pki.NewAuthority("kubernetes", now)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{cfg: cfg, authority: ca, ca: ca.PEM()}
	if c.admin, err = ca.Client("sandbox-admin", "system:masters"); err != nil {
		return nil, err
	}
	serving, err := ca.Server("kube-apiserver", []string{
		"127.0.0.1", "localhost", "10.100.0.1", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, false)
	if err != nil {
		return nil, err
	}
	// etcd has an authority of its own: a client of the API server is none of
	// etcd's, and another user of this machine is neither.
	etcdCA, err := pki.NewAuthority("etcd", now)
	if err != nil {
		return nil, err
	}
	member, err := etcdCA.Server("etcd", []string{"127.0.0.1"}, true)
	if err != nil {
		return nil, err
	}
	etcdClient, err := etcdCA.Client("kube-apiserver")
	if err != nil {
		return nil, err
	}
	accounts, err := pki.SigningKey()
	if err != nil {
		return nil, err
	}
	authorization := []byte(nodeAndRBAC)
	if cfg.AuthorizerKubeconfig != "" {
		if authorization, err = (authorizer.Configuration{Kubeconfig: cfg.AuthorizerKubeconfig}).YAML(); err != nil {
			return nil, err
		}
	}
	controller, err := ca.Client("system:serviceaccount:kube-system:clusterrole-aggregation-controller")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"aggregation.kubeconfig": c.kubeconfig("clusterrole-aggregation", controller),
		"ca.pem":                 c.ca, "authentication.yaml": []byte(authentication), "authorization.yaml": authorization,
		"apiserver.pem": serving.Cert, "apiserver.key": serving.Key,
		"etcd-ca.pem": etcdCA.PEM(), "etcd.pem": member.Cert, "etcd.key": member.Key,
		"etcd-client.pem": etcdClient.Cert, "etcd-client.key": etcdClient.Key,
		"accounts.pem": accounts.Cert, "accounts.key": accounts.Key,
	}
	if err := os.MkdirAll(cfg.Layout.Path("control-plane"), 0o700); err != nil {
		return nil, fmt.Errorf("making the control plane's directory: %w", err)
	}
	for name, data := range files {
		if err := state.WriteFile(c.path(name), data); err != nil {
			return nil, err
		}
	}
	return c, state.WriteFile(cfg.Layout.AdminKubeconfig(), c.kubeconfig("sandbox-admin", c.admin))
}

// authentication lets nobody in without credentials but those who ask whether
// the server is well.
const authentication = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
`

// nodeAndRBAC is what --authorization-mode=Node,RBAC says.
const nodeAndRBAC = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Node
  name: node
- type: RBAC
  name: rbac
`

// CA is the certificate that clients of the API server must trust, PEM.
func (c *ControlPlane) CA() []byte { return c.ca }

// Admin is a client certificate of group system:masters. Its key is a secret.
func (c *ControlPlane) Admin() pki.Pair { return c.admin }

// Certificate makes a client certificate for a user. Its key is a secret.
func (c *ControlPlane) Certificate(user string, groups ...string) (pki.Pair, error) {
	return c.authority.Client(user, groups...)
}

// URL is where the API server answers.
func (c *ControlPlane) URL() string { return "https://127.0.0.1:" + strconv.Itoa(c.cfg.Port) }

// Etcd says how to run etcd.
func (c *ControlPlane) Etcd() process.Spec {
	client := "https://127.0.0.1:" + strconv.Itoa(c.cfg.EtcdPort)
	peer := "https://127.0.0.1:" + strconv.Itoa(c.cfg.PeerPort)
	return c.spec("etcd", c.cfg.Programs.Etcd,
		"--name=sandbox",
		"--data-dir="+c.cfg.Layout.Path("etcd"),
		"--unsafe-no-fsync", // what is thrown away need not be on disk
		"--log-level=warn",
		"--listen-client-urls="+client,
		"--advertise-client-urls="+client,
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=sandbox="+peer,
		"--client-cert-auth", "--trusted-ca-file="+c.path("etcd-ca.pem"),
		"--cert-file="+c.path("etcd.pem"), "--key-file="+c.path("etcd.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file="+c.path("etcd-ca.pem"),
		"--peer-cert-file="+c.path("etcd.pem"), "--peer-key-file="+c.path("etcd.key"),
	)
}

// APIServer says how to run kube-apiserver. It may be started before etcd is
// ready: it waits for it.
func (c *ControlPlane) APIServer() process.Spec {
	args := []string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.cfg.Port),
		"--tls-cert-file=" + c.path("apiserver.pem"),
		"--tls-private-key-file=" + c.path("apiserver.key"),
		"--etcd-servers=https://127.0.0.1:" + strconv.Itoa(c.cfg.EtcdPort),
		"--etcd-cafile=" + c.path("etcd-ca.pem"),
		"--etcd-certfile=" + c.path("etcd-client.pem"),
		"--etcd-keyfile=" + c.path("etcd-client.key"),
		"--client-ca-file=" + c.path("ca.pem"),
		"--authentication-config=" + c.path("authentication.yaml"),
		"--authentication-token-webhook-config-file=" + c.cfg.WebhookKubeconfig,
		"--authentication-token-webhook-version=" + c.cfg.WebhookVersion,
		"--authorization-config=" + c.path("authorization.yaml"),
		"--enable-admission-plugins=NodeRestriction",
		// Nothing here makes service accounts for new namespaces.
		"--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=" + c.URL(),
		"--service-account-key-file=" + c.path("accounts.pem"),
		"--service-account-signing-key-file=" + c.path("accounts.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--endpoint-reconciler-type=none", // loopback may not be an endpoint
		"--allow-privileged",
		"--profiling=false",
	}
	if ttl := c.cfg.WebhookTTL; ttl != 0 {
		args = append(args, "--authentication-token-webhook-cache-ttl="+max(ttl, 0).String())
	}
	return c.spec("kube-apiserver", c.cfg.Programs.APIServer, args...)
}

// Aggregation says how to run the controller that fills aggregated ClusterRoles. It may be
// started before the API server is ready.
func (c *ControlPlane) Aggregation() process.Spec {
	return c.spec("clusterrole-aggregation", c.cfg.Programs.Aggregation, "--kubeconfig="+c.path("aggregation.kubeconfig"))
}

// Client is an HTTP client that trusts the API server and, with asAdmin, shows
// the administrator's certificate.
func (c *ControlPlane) Client(asAdmin bool) (*http.Client, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.ca)
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if asAdmin {
		cert, err := c.admin.TLS()
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 10 * time.Second}, nil
}

// WaitReady returns once the API server says that it is ready. It fails when
// ctx ends.
func (c *ControlPlane) WaitReady(ctx context.Context) error {
	client, err := c.Client(false)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("checking whether kube-apiserver is ready: %w", err)
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for kube-apiserver: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *ControlPlane) path(name string) string { return c.cfg.Layout.Path("control-plane", name) }

func (c *ControlPlane) spec(name, path string, args ...string) process.Spec {
	// Not the user's environment: ETCD_* and others would change what runs.
	var env []string
	for _, key := range []string{"PATH", "TMPDIR", "TEMP", "TMP", "SystemRoot"} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return process.Spec{
		Name: name, Path: path, Args: args, Env: env,
		Log: c.cfg.Layout.Log(name), PIDFile: c.cfg.Layout.PIDFile(name), Grace: 2 * time.Second,
	}
}

func (c *ControlPlane) kubeconfig(user string, pair pki.Pair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return []byte(strings.NewReplacer(
		"URL", c.URL(), "CADATA", b64(c.ca), "CERTDATA", b64(pair.Cert), "KEYDATA", b64(pair.Key), "USER", user,
	).Replace(`apiVersion: v1
kind: Config
clusters:
- name: sandbox
  cluster:
    server: URL
    certificate-authority-data: CADATA
users:
- name: USER
  user:
    client-certificate-data: CERTDATA
    client-key-data: KEYDATA
contexts:
- name: USER
  context:
    cluster: sandbox
    user: USER
current-context: USER
`))
}
