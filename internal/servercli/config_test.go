package servercli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
)

const full = `# as aws-iam-authenticator's users have it
ClusterID: demo
defaultRole: arn:aws:iam::111122223333:role/x
server:
  address: 127.0.0.1
  hostname: api.internal
  PORT: 0
  stateDir: /var/lib/ekskey
  generateKubeconfig: /etc/kubernetes/ekskey.kubeconfig
  partition: aws
  scrubbedAccounts: [012345678901]
  backendMode: MountedFile,DynamicFile
  mapRoles:
  - rolearn: arn:aws:iam::111122223333:role/admin
    username: admin
    groups: [system:masters]
  mapUsers: []
  mapAccounts: ["111122223333"]
  awsAuthFile: aws-auth.yaml
  creator: arn:aws:iam::111122223333:user/creator
  audiences: [a, b]
  maxTokenAge: 20s
  deniedAccessKeyIDs: [AKIAIOSFODNN7EXAMPLE]
  allowedAccounts: ["111122223333"]
  deniedAccounts: ["444455556666"]
  reservedPrefixes:
    aws-auth: ["system:"]
  reservedPrefixConfig:
  - backendMode: DynamicFile
    usernamePrefixReserveList: ["aws:"]
  dynamicFilePath: dynamic.json
  dynamicFileUserIDStrict: true
  dynamicBackendModePath: mode.json
  maxStale: {aws-auth: 10m}
  creatorWhileBroken: true
  dialect: eks
  shutdownDelay: 0s
  sts:
    dialAddress: 127.0.0.1:8443
    caFile: ca.pem
    regions: [eu-west-9]
    timeout: 2s
    extraHosts:
    - host: 127.0.0.1:8443
      region: us-east-1
`

func TestParseConfig(t *testing.T) {
	c, err := parseConfig("server.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &config{path: "server.yaml", clusterID: "demo", server: serverConfig{
		address: "127.0.0.1", hostname: "api.internal", port: 0, stateDir: "/var/lib/ekskey",
		generateKubeconfig: "/etc/kubernetes/ekskey.kubeconfig", partition: "aws",
		scrubbedAccounts: []string{"012345678901"}, awsAuthFile: "aws-auth.yaml",
		creator: "arn:aws:iam::111122223333:user/creator", audiences: []string{"a", "b"}, maxTokenAge: 20 * time.Second,
		deniedAccessKeys: []string{"AKIAIOSFODNN7EXAMPLE"}, allowedAccounts: []string{"111122223333"},
		deniedAccounts: []string{"444455556666"}, reservedPrefixes: map[string][]string{"aws-auth": {"system:"}, "dynamic-file": {"aws:"}},
		backends: []string{"file", "dynamic-file"}, dialect: mapping.EKS, ties: mapping.TieIsError, dynamicFile: "dynamic.json",
		dynamicFileByID: true, dynamicBackendModePath: "mode.json", maxStale: map[string]time.Duration{"aws-auth": 10 * time.Minute},
		creatorWhileBroken: true,
		sts: stsConfig{
			dialAddress: "127.0.0.1:8443", caFile: "ca.pem", regions: []string{"eu-west-9"}, timeout: 2 * time.Second,
			extraHosts: []identity.STSEndpoint{{Host: "127.0.0.1:8443", Region: "us-east-1", Partition: "aws"}},
		},
	}}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(config{}, serverConfig{}, stsConfig{}, entriesConfig{}, authorizerConfig{}, ec2Config{}), cmpopts.IgnoreTypes(&yaml.Node{})); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	c, err := parseConfig("server.yaml", []byte("clusterID: demo\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.listenAddress() != "127.0.0.1:21362" || c.server.partition != "aws" || c.server.stateDir == "" || c.needsClientCA() {
		t.Errorf("%+v", c)
	}
}

// One mistake a row; each message names the file, the line and the key.
func TestParseConfigRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "server.yaml: is empty"},
		{"no YAML", "clusterID: [", "server.yaml: is not YAML"},
		{"a list", "- a\n", "server.yaml:1: a mapping with clusterID and server was expected"},
		{"two documents", "clusterID: a\n---\nclusterID: b\n", "more than one YAML document"},
		{"no cluster", "server: {}\n", "server.yaml:1: clusterID is missing"},
		{"a cluster with a space", "clusterID: a b\n", "clusterID: "},
		{"an unknown key", "clusterID: a\nsrever: {}\n", "server.yaml:2: unknown key srever"},
		{"an unknown key below", "clusterID: a\nserver:\n  prot: 1\n", "server.yaml:3: unknown key server.prot"},
		{"an unknown key further below", "clusterID: a\nserver:\n  sts:\n    dial: x:1\n", "server.yaml:4: unknown key server.sts.dial"},
		{"a key twice", "clusterID: a\nserver:\n  port: 1\n  Port: 2\n", "server.yaml:4: duplicate key server.Port, first on line 3"},
		{"no port", "clusterID: a\nserver:\n  port: 70000\n", `server.yaml:3: "70000" is not a port`},
		{"no IP address", "clusterID: a\nserver:\n  address: localhost\n", `server.address "localhost" is not an IP address`},
		{"open to all", "clusterID: a\nserver:\n  address: 0.0.0.0\n", "server.clientCAFile is needed"},
		{"open to the network", "clusterID: a\nserver:\n  address: 10.0.0.1\n", "server.clientCAFile is needed"},
		{"no partition", "clusterID: a\nserver:\n  partition: aws-moon\n", `"aws-moon" is not an AWS partition`},
		{"too old", "clusterID: a\nserver:\n  maxTokenAge: 16m\n", "server.yaml:3: 16m is not between 1s and 15m0s"},
		{"no duration", "clusterID: a\nserver:\n  maxTokenAge: 20\n", `"20" is not a duration`},
		{"nobody allowed", "clusterID: a\nserver:\n  allowedAccounts: []\n", "server.yaml:3: the list is empty"},
		{"nobody allowed, by a comment", "clusterID: a\nserver:\n  allowedAccounts:\n  # - \"111122223333\"\n", "the list is empty"},
		{"a key id in lower case", "clusterID: a\nserver:\n  deniedAccessKeyIDs: [akiaiosfodnn7example]\n", "this is not an access key id"},
		{"a key id with a space", "clusterID: a\nserver:\n  deniedAccessKeyIDs: [\"AKIAIOSFODNN7EXAMPLE \"]\n", "this is not an access key id"},
		{"longer than kube-apiserver waits", "clusterID: a\nserver:\n  sts:\n    timeout: 25s\n", "is not between"},
		{"no account", "clusterID: a\nserver:\n  deniedAccounts: [12]\n", `"12" is not an AWS account`},
		{"no region", "clusterID: a\nserver:\n  sts:\n    extraHosts: [{host: h, region: evil.com}]\n", `"evil.com" is not an AWS region`},
		{"no host", "clusterID: a\nserver:\n  sts:\n    extraHosts: [{region: us-east-1}]\n", "host is missing"},
		{"no host:port", "clusterID: a\nserver:\n  sts:\n    dialAddress: host\n", "not have the form host:port"},
		{"another backend", "clusterID: a\nserver:\n  backendMode: [MountedFile, CRD]\n", "CRD is not supported"},
		{"a file and the ConfigMap", "clusterID: a\nserver:\n  awsAuthFile: a\n  awsAuthConfigMap: true\n", "server.awsAuthFile and server.awsAuthConfigMap exclude each other"},
		{"no arn of a source", "clusterID: a\nserver:\n  sourceARN: x\n", "server.yaml:3: server.sourceARN: arn \"x\""},
		{"no role for EC2", "clusterID: a\nserver:\n  ec2DescribeInstancesRoleARN: arn:aws:iam::111122223333:user/x\n", "server.yaml:3: server.ec2DescribeInstancesRoleARN is not the ARN of a role"},
		{"a negative rate", "clusterID: a\nserver:\n  ec2DescribeInstancesQps: -1\n", "is not a number of at least 0"},
		{"entries of two sources", "clusterID: a\nserver:\n  accessEntries: {file: a, clusterName: b, region: us-east-1}\n", "server.yaml:3: server.accessEntries needs one of file and clusterName"},
		{"a mode that is none", "clusterID: a\nserver:\n  authenticationMode: api\n", "server.yaml:3: server.authenticationMode \"api\" is not API"},
		{"an authorizer without entries", "clusterID: a\nserver:\n  authorizer: {kubeconfig: /x}\n", "server.authorizer needs server.accessEntries"},
		{"aws-auth before entries", "clusterID: a\nserver:\n  backends: [aws-auth, access-entries]\n  awsAuthFile: a\n  accessEntries: {file: a}\n", "access-entries must be before aws-auth"},
		{"all at once", "clusterID: a\nserver:\n  prot: 1\n  stateDri: x\n  port: x\n", "server.yaml:3: unknown key server.prot; server.yaml:4: unknown key server.stateDri; server.yaml:5: \"x\" is not a port"},
		{"profiles for all", "clusterID: a\nserver:\n  pprofAddress: :6060\n", `":6060" is not a loopback address`},
		{"profiles for the network", "clusterID: a\nserver:\n  pprofAddress: 10.0.0.1:6060\n", "is not a loopback address"},
		{"profiles at a name", "clusterID: a\nserver:\n  pprofAddress: localhost:6060\n", "is not a loopback address"},
		{"profiles without a port", "clusterID: a\nserver:\n  pprofAddress: 127.0.0.1\n", "is not a loopback address"},
		{"an unknown backend", "clusterID: a\nserver:\n  backends: [file, crd2]\n", `"crd2" is not a backend`},
		{"a backend twice", "clusterID: a\nserver:\n  backends: [file, file]\n", "a backend is listed twice"},
		{"no backends", "clusterID: a\nserver:\n  backends: []\n", "the list of backends is empty"},
		{"a backend without a source", "clusterID: a\nserver:\n  backends: [file, aws-auth]\n", "aws-auth needs server.awsAuthFile"},
		{"a mode without a source", "clusterID: a\nserver:\n  backendMode: DynamicFile\n", "dynamic-file needs server.dynamicFilePath"},
		{"the order twice", "clusterID: a\nserver:\n  backends: [file]\n  backendMode: MountedFile\n", "say the same; keep one"},
		{"an unknown dialect", "clusterID: a\nserver:\n  dialect: gke\n", `server.dialect "gke" is neither`},
		{"stale for days", "clusterID: a\nserver:\n  maxStale: 48h\n", "48h is not between"},
		{"stale of an unknown backend", "clusterID: a\nserver:\n  maxStale: {crd: 1h}\n", "unknown key server.maxStale.crd"},
		{"prefixes of an unknown mode", "clusterID: a\nserver:\n  reservedPrefixConfig: [{backendMode: X, usernamePrefixReserveList: [a]}]\n", "backendMode \"X\" is none of"},
		{"a list where a value belongs", "clusterID: a\nserver:\n  port: [1]\n", "server.yaml:3: a single value was expected"},
		{"a value where a list belongs", "clusterID: a\nserver:\n  audiences: x\n", "server.yaml:3: a list was expected"},
		{"an alias", "clusterID: a\nserver:\n  hostname: &h x\n  stateDir: *h\n", "aliases are not followed"},
		{"a value where a mapping belongs", "clusterID: a\nserver: 5\n", "server.yaml:2: a mapping was expected at server"},
	} {
		_, err := parseConfig("server.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("clusterID: a\nserver: null\n"))
	f.Add([]byte("? [a]: b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig("server.yaml", text)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if c != nil && (c.clusterID == "" || c.needsClientCA() && c.server.clientCAFile == "") {
			t.Fatalf("let through: %+v", c)
		}
	})
}
