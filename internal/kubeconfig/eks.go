package kubeconfig

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ekskey/ekskey/internal/execplugin"
)

// What we write into the exec entry: the group and, where none is asked for, the
// version that clients insist on which never tell theirs, and the words shown
// where the command is missing
// (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#ExecConfig).
const (
	execGroup      = "client.authentication.k8s.io/"
	execAPIVersion = execGroup + execVersionArg
	execVersionArg = "v1"
	installHint    = "ekskey is not at the path in this kubeconfig; install it (https://github.com/ekskey/ekskey) and run ekskey kubeconfig update again"
)

// Options describe one EKS cluster and how to authenticate to it.
type Options struct {
	ClusterARN  string // names the cluster entry, the user entry and the context
	ClusterName string // what a token is made for; a local cluster's id
	Region      string // may be empty
	Endpoint    string // https URL, as EKS gave it
	CAData      []byte // base64 as EKS gave it, may be empty

	Profile   string // may be empty
	RoleChain []Hop  // assumed in order, may be empty
	// Command is the program that mints tokens: an absolute path of any system,
	// as the file may be for another one, or a name that kubectl finds on PATH.
	Command string
	// ExecVersion is the version of ExecCredential that the program is asked for
	// and that clients are told, v1 or v1beta1. Empty is v1.
	ExecVersion string
	// ForwardSessionName, MFACommand and CacheAll are the program's flags of these
	// names.
	ForwardSessionName bool
	MFACommand         string
	CacheAll           bool
	// AWSOrder has the program look for credentials in the AWS CLI's order.
	AWSOrder bool
	// KeepPrincipal is the Change's.
	KeepPrincipal bool

	Alias        string // of the context; empty is ClusterARN
	UserAlias    string // of the user entry; empty is a name of our own, see ForEKS
	ClusterAlias string // of the cluster entry; empty is ClusterARN
	Namespace    string // empty leaves what the context has
	SetCurrent   bool

	Server        string // https URL instead of Endpoint, may be empty
	TLSServerName string // empty leaves what the cluster entry has
	ProxyURL      string // empty leaves what the cluster entry has
}

// ForEKS returns the change that makes the entries for a cluster.
//
// The user entry's name begins with the cluster ARN. Where neither role nor profile
// is given, "~ekskey" follows: `aws eks update-kubeconfig` gives its own user entry
// the ARN as a name and overwrites what is there, so that an entry of ours called so
// would act as whatever role is given to that. Otherwise what a person wants to see
// follows, the last role and the profile, and a digest of the whole chain with
// external ids and session names. So two contexts with two roles never share one
// user, which is how a second alias turns the first one into an admin.
//
// A certificate authority that is no PEM is a warning and is written as given,
// but one that is not base64 is refused: kubectl could then read nothing of the
// file. The errors are *OptionError.
func ForEKS(o Options) (Change, error) {
	if err := o.Check(); err != nil {
		return Change{}, err
	}
	if err := o.checkCluster(); err != nil {
		return Change{}, err
	}
	c := Change{
		Cluster: Cluster{
			Name:          firstOf(o.ClusterAlias, o.ClusterARN),
			Server:        firstOf(o.Server, o.Endpoint),
			CAData:        string(o.CAData),
			TLSServerName: o.TLSServerName,
			ProxyURL:      o.ProxyURL,
		},
		User:          User{Name: firstOf(o.UserAlias, o.userName()), Exec: o.exec()},
		SetCurrent:    o.SetCurrent,
		KeepPrincipal: o.KeepPrincipal,
		UserChosen:    o.UserAlias != "",
		ClusterChosen: o.ClusterAlias != "" && o.ClusterAlias != o.ClusterARN,
	}
	c.Context = Context{
		Name:      firstOf(o.Alias, o.ClusterARN),
		Cluster:   c.Cluster.Name,
		User:      c.User.Name,
		Namespace: o.Namespace,
		MadeFor:   o.ClusterARN,
	}
	if w := caWarning(o.CAData); w != "" {
		c.Warnings = append(c.Warnings, w)
	}
	return c, c.check()
}

// Check finds what is mistyped in what a person gives, before EKS is asked for
// the rest. The errors are *OptionError.
func (o Options) Check() error {
	if err := checkText("command", o.Command); err != nil {
		return err
	}
	if !isCommand(o.Command) {
		return &OptionError{Option: "command", Reason: fmt.Sprintf("%q is neither an absolute path nor a name without a path", o.Command)}
	}
	if o.ExecVersion != "" && o.ExecVersion != execVersionArg && o.ExecVersion != "v1beta1" {
		return &OptionError{Option: "exec API version", Reason: fmt.Sprintf("%q is neither v1 nor v1beta1", o.ExecVersion)}
	}
	for _, h := range o.RoleChain {
		if h.ARN == "" {
			return &OptionError{Option: "role ARN", Reason: "is empty"}
		}
	}
	if o.Server != "" {
		if err := checkServer(o.Server); err != nil {
			return err
		}
	}
	if o.Namespace != "" && !isLabel(o.Namespace) {
		return &OptionError{Option: "namespace", Reason: fmt.Sprintf("%q is not up to %d of a-z, 0-9 and -, with - neither first nor last", o.Namespace, maxLabel)}
	}
	if strings.ContainsAny(o.TLSServerName, "/ @") {
		return &OptionError{Option: "tls-server-name", Reason: fmt.Sprintf("%q is not the name of a host", o.TLSServerName)}
	}
	if o.ProxyURL != "" {
		// The schemes of client-go (k8s.io/client-go/tools/clientcmd, parseProxyURL).
		u, err := url.Parse(o.ProxyURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
			return &OptionError{Option: "proxy-url", Reason: "is not an http, https or socks5 URL"}
		}
	}
	return nil
}

// checkServer refuses what is not https: a token is a password for a quarter of
// an hour. The message has no password in it.
func checkServer(server string) error {
	if strings.Contains(server, "@") {
		return &OptionError{Option: "server", Reason: "has a user or a password in it"}
	}
	if strings.ContainsAny(server, "?#") {
		return &OptionError{Option: "server", Reason: "has a query or a fragment, which clients do not send"}
	}
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return &OptionError{Option: "server", Reason: fmt.Sprintf("%q is not an https URL", server)}
	case u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return &OptionError{Option: "server", Reason: fmt.Sprintf("%q has no such port", server)}
		}
	}
	return nil
}

// maxLabel is how many bytes a namespace may have, as any DNS label (RFC 1123, section 2.1;
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names).
const maxLabel = 63

func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		inside := c == '-' && i > 0 && i < len(s)-1
		if !inside && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxLabel
}

// isCommand refuses a relative path: it would be relative to the directory of the
// kubeconfig, of which there may be several
// (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#configuration).
func isCommand(command string) bool {
	isAbs := filepath.IsAbs(command) || path.IsAbs(command) || strings.HasPrefix(command, `\\`) ||
		len(command) > 3 && command[1] == ':' && (command[2] == '\\' || command[2] == '/')
	return isAbs || command != "" && command != "." && command != ".." && !strings.ContainsAny(command, `/\:`)
}

// checkCluster checks what EKS answered.
func (o Options) checkCluster() error {
	for _, need := range []namedValue{{"cluster ARN", o.ClusterARN}, {"cluster name", o.ClusterName}} {
		if need.value == "" {
			return &OptionError{Option: need.name, Reason: "is empty"}
		}
	}
	if o.Server == "" {
		if err := checkServer(o.Endpoint); err != nil {
			return err
		}
	}
	if _, err := base64.StdEncoding.DecodeString(string(o.CAData)); err != nil {
		return &OptionError{Option: "certificate authority", Reason: "is not base64"}
	}
	return nil
}

// caWarning says what is odd about a bundle. Several certificates are not.
func caWarning(data []byte) string {
	if len(data) == 0 {
		return "the cluster has no certificate authority; if its entry has one, or insecure-skip-tls-verify, that stays"
	}
	rest, _ := base64.StdEncoding.DecodeString(string(data))
	found := false
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
			return "the certificate authority has a part that is no certificate"
		}
		found = true
	}
	if !found {
		return "the certificate authority is not a PEM certificate"
	}
	return ""
}

func (o Options) exec() *Exec {
	version := firstOf(o.ExecVersion, execVersionArg)
	m := execplugin.Meaning{
		Cluster: o.ClusterName, Region: o.Region, Profile: o.Profile, Roles: o.RoleChain,
		ForwardSessionName: o.ForwardSessionName, MFACommand: o.MFACommand, CacheAll: o.CacheAll, AWSOrder: o.AWSOrder && o.Profile == "",
	}
	return &Exec{
		APIVersion:      execGroup + version,
		Command:         o.Command,
		Args:            m.Words(version),
		InstallHint:     installHint,
		InteractiveMode: "IfAvailable",
	}
}

// userName is unique to cluster, role chain and profile. The digest is over
// JSON, whose quoting keeps two chains from being spelled alike; its 12 digits
// may collide, which File.Apply then sees by the entry's own words.
func (o Options) userName() string {
	name := o.ClusterARN
	order := o.AWSOrder && o.Profile == ""
	switch {
	case o.Profile == "" && len(o.RoleChain) == 0 && order:
		return name + "~ekskey~aws-cli-order"
	case o.Profile == "" && len(o.RoleChain) == 0:
		return name + "~ekskey"
	}
	if n := len(o.RoleChain); n > 0 {
		arn := o.RoleChain[n-1].ARN
		name += "~role=" + readable(arn[strings.LastIndexAny(arn, "/:")+1:])
	}
	if o.Profile != "" {
		name += "~profile=" + readable(o.Profile)
	}
	text, err := json.Marshal(struct {
		Profile string
		Chain   []Hop
		Forward bool `json:",omitempty"`
		Order   bool `json:",omitempty"`
	}{o.Profile, o.RoleChain, o.ForwardSessionName, order})
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(text)
	return name + "~" + hex.EncodeToString(sum[:6])
}

// IsGeneratedUser reports whether an update gives the user of a cluster and a principal
// this name by itself.
func IsGeneratedUser(name, clusterARN string, m execplugin.Meaning) bool {
	own := Options{ClusterARN: clusterARN, Profile: m.Profile, RoleChain: m.Roles, ForwardSessionName: m.ForwardSessionName, AWSOrder: m.AWSOrder}.userName()
	return name == own || strings.HasPrefix(name, own+"~")
}

// readable keeps what needs no quoting in a shell or in YAML.
func readable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.+=@-", r) {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), 64)]
}
