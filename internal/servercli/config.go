package servercli

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessmap"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/yamlnode"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// Defaults of the configuration: those of aws-iam-authenticator if it has them.
const (
	defaultAddress       = "127.0.0.1"
	defaultPort          = 21362
	defaultStateDir      = "/var/aws-iam-authenticator"
	defaultPartition     = "aws"
	defaultShutdownDelay = time.Second
	defaultHostname      = "localhost"
	// defaultHealthAddress is where aws-iam-authenticator's manifests probe.
	defaultHealthAddress = ":21363"
)

// maxConfig is the maximum size of a configuration, in bytes.
const maxConfig = 4 << 20

// config is the server's configuration file. Keys are not case-sensitive.
type config struct {
	path      string
	text      []byte // of the file, for what follows it; nil if there is no file
	clusterID string
	override  func(*reader, *config) // flags that go before the file, or nil
	server    serverConfig
}

type serverConfig struct {
	node *yaml.Node // for the mapping sections

	address, hostname      string
	healthAddress          string // empty means the default, "none" none
	port                   int
	stateDir               string
	generateKubeconfig     string
	kubeconfigPregenerated bool
	partition              string
	scrubbedAccounts       []string

	backends               []string // as configured; nil means those that have a source
	dialect                mapping.Dialect
	ties                   mapping.Ties // of the file and the dynamic file
	awsAuthFile            string
	awsAuthConfigMap       bool   // the cluster's own ConfigMap, in place of a file
	kubeconfig, master     string // for it; both empty mean the pod's service account
	entries                entriesConfig
	authorizer             authorizerConfig
	ec2                    ec2Config
	dynamicFile            string
	dynamicFileByID        bool
	dynamicBackendModePath string
	maxStale               map[string]time.Duration
	creator                string
	creatorWhileBroken     bool

	audiences        []string
	clientCAFile     string
	maxTokenAge      time.Duration
	deniedAccessKeys []string
	allowedAccounts  []string
	deniedAccounts   []string
	reservedPrefixes map[string][]string
	shutdownDelay    time.Duration
	audit            string // a file, "stdout", or empty for none
	pprofAddress     string // empty for none
	sts              stsConfig
}

type stsConfig struct {
	dialAddress, caFile, proxy string
	regions, allowedRegions    []string
	extraHosts                 []identity.STSEndpoint
	timeout                    time.Duration
}

// parseConfig parses a configuration. It fails with *configError, which names the file
// and the line, or with *mapping.LoadError.
func parseConfig(path string, text []byte) (*config, error) {
	return parseConfigWith(path, text, nil)
}

// parseConfigWith lets override change what the file says, before it is checked.
func parseConfigWith(path string, text []byte, override func(*reader, *config)) (*config, error) {
	c := &config{path: path, override: override, server: serverConfig{
		address: defaultAddress, port: defaultPort, hostname: defaultHostname, stateDir: defaultStateDir,
		partition: defaultPartition, shutdownDelay: defaultShutdownDelay, ties: mapping.TieIsError,
	}}
	r := &reader{path: path}
	root := r.document(text)
	if root == nil {
		return nil, r.err()
	}
	r.object(root, "", map[string]func(*yaml.Node){
		"clusterid": r.text(&c.clusterID),
		// The role that aws-iam-authenticator's client assumes; servers ignore it.
		"defaultrole": func(*yaml.Node) {},
		"server":      func(n *yaml.Node) { c.server.node = n; c.server.read(r, n) },
	})
	if override != nil {
		override(r, c)
	}
	c.check(r, root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *serverConfig) read(r *reader, n *yaml.Node) {
	fields := map[string]func(*yaml.Node){
		"address":                     r.text(&s.address),
		"hostname":                    r.text(&s.hostname),
		"healthaddress":               r.text(&s.healthAddress),
		"port":                        r.port(&s.port),
		"statedir":                    r.text(&s.stateDir),
		"generatekubeconfig":          r.text(&s.generateKubeconfig),
		"kubeconfigpregenerated":      r.boolean(&s.kubeconfigPregenerated),
		"partition":                   r.text(&s.partition),
		"scrubbedaccounts":            r.accounts(&s.scrubbedAccounts),
		"backendmode":                 r.backendMode(&s.backends, &s.awsAuthConfigMap),
		"backends":                    r.backends(&s.backends),
		"dialect":                     r.dialect(&s.dialect),
		"awsauthconfigmap":            r.boolean(&s.awsAuthConfigMap),
		"kubeconfig":                  r.text(&s.kubeconfig),
		"master":                      r.text(&s.master),
		"awsauthfile":                 r.text(&s.awsAuthFile),
		"accessentries":               func(n *yaml.Node) { s.entries.read(r, n) },
		"authorizer":                  func(n *yaml.Node) { s.authorizer.read(r, n) },
		"authenticationmode":          r.authenticationMode(&s.entries.mode),
		"dynamicfilepath":             r.text(&s.dynamicFile),
		"dynamicfileuseridstrict":     r.boolean(&s.dynamicFileByID),
		"dynamicbackendmodepath":      r.text(&s.dynamicBackendModePath),
		"maxstale":                    r.durations(&s.maxStale, backendNames...),
		"creator":                     r.text(&s.creator),
		"creatorwhilebroken":          r.boolean(&s.creatorWhileBroken),
		"audiences":                   r.list(&s.audiences),
		"clientcafile":                r.text(&s.clientCAFile),
		"maxtokenage":                 r.duration(&s.maxTokenAge, time.Second, token.Lifetime),
		"deniedaccesskeyids":          r.accessKeys(&s.deniedAccessKeys),
		"allowedaccounts":             r.someAccounts(&s.allowedAccounts),
		"deniedaccounts":              r.accounts(&s.deniedAccounts),
		"reservedprefixes":            r.lists(&s.reservedPrefixes, backendNames...),
		"reservedprefixconfig":        r.reservedPrefixConfig(&s.reservedPrefixes),
		"ec2":                         func(n *yaml.Node) { s.ec2.read(r, n) },
		"ec2describeinstancesrolearn": r.roleARN(&s.ec2.roleARN),
		"ec2describeinstancesqps":     r.count(&s.ec2.qps),
		"ec2describeinstancesburst":   r.count(&s.ec2.burst),
		"sourcearn":                   r.anyARN(&s.ec2.sourceARN),
		"shutdowndelay":               r.duration(&s.shutdownDelay, 0, time.Minute),
		"audit":                       r.text(&s.audit),
		"pprofaddress":                r.loopback(&s.pprofAddress),
		"sts":                         func(n *yaml.Node) { s.sts.read(r, n) },
	}
	for _, section := range mapping.SectionNames() {
		fields[yamlnode.FoldASCII(section)] = func(*yaml.Node) {} // package mapping reads them
	}
	r.object(n, "server.", fields)
}

func (s *stsConfig) read(r *reader, n *yaml.Node) {
	r.object(n, "server.sts.", map[string]func(*yaml.Node){
		"dialaddress":    r.hostPort(&s.dialAddress),
		"cafile":         r.text(&s.caFile),
		"proxy":          r.text(&s.proxy),
		"regions":        r.list(&s.regions),
		"allowedregions": r.list(&s.allowedRegions),
		"timeout":        r.duration(&s.timeout, 100*time.Millisecond, verify.DefaultTimeout),
		"extrahosts": func(n *yaml.Node) {
			r.each(n, func(item *yaml.Node) {
				var e identity.STSEndpoint
				r.object(item, "server.sts.extraHosts.", map[string]func(*yaml.Node){
					"host": r.text(&e.Host), "region": r.text(&e.Region),
				})
				p, err := identity.PartitionOfRegion(e.Region)
				if err != nil {
					r.fail(item, "server.sts.extraHosts: region: "+err.Error())
				}
				if e.Host == "" {
					r.fail(item, "server.sts.extraHosts: host is missing")
				}
				e.Partition = p.ID
				s.extraHosts = append(s.extraHosts, e)
			})
		},
	})
}

const (
	backendFile        = "file"
	backendAWSAuth     = "aws-auth"
	backendDynamicFile = "dynamic-file"

	backendAccessEntries = accessmap.Name
)

var backendNames = []string{backendFile, backendAccessEntries, backendAWSAuth, backendDynamicFile}

// order is the order in which backends are asked, without the creator.
func (s *serverConfig) order() []string {
	if s.backends != nil {
		return s.backends
	}
	out := []string{backendFile}
	if s.entries.there() {
		out = append(out, backendAccessEntries)
	}
	if s.hasAWSAuth() {
		out = append(out, backendAWSAuth)
	}
	if s.dynamicFile != "" {
		out = append(out, backendDynamicFile)
	}
	return out
}

// check holds the values against each other.
func (c *config) check(r *reader, root *yaml.Node) {
	if c.clusterID == "" {
		r.fail(root, "clusterID is missing: the name that tokens must be signed for")
	} else if err := token.ValidCluster(c.clusterID); err != nil {
		r.fail(root, "clusterID: "+err.Error())
	}
	node := c.server.node
	if node == nil {
		node = root
	}
	if _, err := identity.LookupPartition(c.server.partition); err != nil {
		r.fail(node, "server.partition: "+err.Error())
	}
	if c.needsClientCA() && c.server.clientCAFile == "" {
		r.fail(node, fmt.Sprintf("server.address %s is not a loopback address, so server.clientCAFile is needed: whoever can reach the webhook can spend the STS quota of this account", c.server.address))
	}
	if net.ParseIP(c.server.address) == nil {
		r.fail(node, fmt.Sprintf("server.address %q is not an IP address", c.server.address))
	}
	if h := c.server.healthAddress; h != "" && h != "none" {
		if _, _, err := net.SplitHostPort(h); err != nil {
			r.fail(node, fmt.Sprintf("server.healthAddress %q is not host:port, nor none", h))
		}
	}
	if c.server.authorizer.kubeconfig != "" && !c.server.entries.there() {
		r.fail(node, "server.authorizer needs server.accessEntries: the authorizer decides by the access policies of access entries")
	}
	if c.server.awsAuthFile != "" && c.server.awsAuthConfigMap {
		r.fail(node, "server.awsAuthFile and server.awsAuthConfigMap exclude each other")
	}
	order := c.server.order()
	if at, auth := slices.Index(order, backendAccessEntries), slices.Index(order, backendAWSAuth); at >= 0 && auth >= 0 && auth < at {
		r.fail(node, "server.backends: access-entries must be before aws-auth: of a principal in both, the access entry alone counts")
	}
	for _, name := range c.server.backends {
		if err := c.server.hasSource(name); err != nil {
			r.fail(node, "server.backends: "+err.Error())
		}
	}
}

func (s *serverConfig) hasAWSAuth() bool { return s.awsAuthFile != "" || s.awsAuthConfigMap }

// hasSource fails for a backend whose source is not configured.
func (s *serverConfig) hasSource(name string) error {
	switch {
	case name == backendAccessEntries && !s.entries.there():
		return errors.New("access-entries needs server.accessEntries")
	case name == backendAWSAuth && !s.hasAWSAuth():
		return errors.New("aws-auth needs server.awsAuthFile or server.awsAuthConfigMap")
	case name == backendDynamicFile && s.dynamicFile == "":
		return errors.New("dynamic-file needs server.dynamicFilePath")
	}
	return nil
}

// keep takes from another configuration what a running server does not change.
func (c *config) keep(old *config) {
	s, t := &c.server, &old.server
	c.clusterID = old.clusterID
	s.address, s.hostname, s.port, s.healthAddress = t.address, t.hostname, t.port, t.healthAddress
	s.stateDir, s.generateKubeconfig, s.kubeconfigPregenerated = t.stateDir, t.generateKubeconfig, t.kubeconfigPregenerated
	s.partition, s.scrubbedAccounts, s.audiences = t.partition, t.scrubbedAccounts, t.audiences
	s.authorizer, s.ec2 = t.authorizer, t.ec2
	s.dynamicBackendModePath, s.clientCAFile, s.shutdownDelay, s.sts = t.dynamicBackendModePath, t.clientCAFile, t.shutdownDelay, t.sts
	s.audit, s.pprofAddress = t.audit, t.pprofAddress
}

// restartKeys returns the keys that differ between two configurations and that a
// running server does not change.
func restartKeys(a, b *config) []string {
	s, t := &a.server, &b.server
	var out []string
	for _, k := range []struct {
		name string
		a, b any
	}{
		{"clusterID", a.clusterID, b.clusterID},
		{"server.address", s.address, t.address},
		{"server.hostname", s.hostname, t.hostname},
		{"server.healthAddress", s.healthAddress, t.healthAddress},
		{"server.port", s.port, t.port},
		{"server.stateDir", s.stateDir, t.stateDir},
		{"server.generateKubeconfig", s.generateKubeconfig, t.generateKubeconfig},
		{"server.kubeconfigPregenerated", s.kubeconfigPregenerated, t.kubeconfigPregenerated},
		{"server.authorizer", s.authorizer, t.authorizer},
		{"server.ec2", s.ec2, t.ec2},
		{"server.partition", s.partition, t.partition},
		{"server.scrubbedAccounts", s.scrubbedAccounts, t.scrubbedAccounts},
		{"server.dynamicBackendModePath", s.dynamicBackendModePath, t.dynamicBackendModePath},
		{"server.audiences", s.audiences, t.audiences},
		{"server.clientCAFile", s.clientCAFile, t.clientCAFile},
		{"server.shutdownDelay", s.shutdownDelay, t.shutdownDelay},
		{"server.audit", s.audit, t.audit},
		{"server.pprofAddress", s.pprofAddress, t.pprofAddress},
		{"server.sts", s.sts, t.sts},
	} {
		if !reflect.DeepEqual(k.a, k.b) {
			out = append(out, k.name)
		}
	}
	return out
}

// needsClientCA reports whether other machines can reach the listener.
func (c *config) needsClientCA() bool {
	ip := net.ParseIP(c.server.address)
	return ip != nil && !ip.IsLoopback()
}

func (c *config) listenAddress() string {
	return net.JoinHostPort(c.server.address, strconv.Itoa(c.server.port))
}
