// Package execplugin knows the exec plugins that mint EKS tokens, by the words with
// which a kubeconfig runs them: `aws eks get-token`, aws-iam-authenticator and its old
// name, and ekskey. It reads what the words mean, writes ekskey's, and translates. All
// commands read them by one grammar.
package execplugin

import (
	"path"
	"slices"
	"strings"
	"time"
)

// The programs, by the names of their files.
const (
	Ekskey        = "ekskey"
	AWS           = "aws"
	Authenticator = "aws-iam-authenticator"
	Heptio        = "heptio-authenticator-aws" // its name until 2018
)

// AWSSession is what `aws eks get-token` calls the sessions of --role-arn.
// Kubernetes usernames may be made of it, so it is said where ekskey takes over.
//
// Source: https://github.com/aws/aws-cli/blob/develop/awscli/customizations/eks/get_token.py
const AWSSession = "EKSGetTokenAuth"

// ourSession is what ekskey calls the sessions of roles where nothing else does.
const ourSession = "ekskey"

// awsOrderFlag has ekskey look for credentials in the AWS CLI's order: a role of the
// profile goes before a web identity of the environment.
const awsOrderFlag = "aws-cli-order"

// What aws-iam-authenticator reads besides AWS_*.
const (
	clusterIDVar   = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"
	defaultRoleVar = "DEFAULT_ROLE"
)

// Var is one variable that a plugin gets beside those of its parent.
type Var struct {
	Name  string
	Value string
}

// Invocation is how a kubeconfig runs a plugin.
type Invocation struct {
	Command string
	Args    []string
	Env     []Var
}

// Hop is one role of a chain, assumed with the credentials of the one before.
type Hop struct {
	ARN         string
	ExternalID  string
	SessionName string
	MFASerial   string
	Duration    string `json:",omitempty"` // as time.Duration prints it
}

// Meaning is for which cluster a plugin mints tokens, and as whom, as far as its words
// tell.
type Meaning struct {
	Program string // Ekskey, AWS, Authenticator or Heptio
	Cluster string // name, or a local cluster's id
	ByID    bool   // it is named by --cluster-id, with which DEFAULT_ROLE counts
	Region  string // empty where the plugin takes it from its surroundings
	Profile string // empty for the default one, or whatever the surroundings say
	// ProfileFlag says that the profile is named by a flag, and so goes before keys in
	// the environment.
	ProfileFlag        bool
	Roles              []Hop // assumed in order
	ForwardSessionName bool
	// AWSOrder says that credentials are looked for in the AWS CLI's order. With
	// a profile by flag the order is the same for all.
	AWSOrder bool

	CABundle   string
	MFACommand string
	CacheAll   bool

	// Beyond is what of the words ekskey's own cannot say, although it does not
	// decide whom the token is for, as a reason why they cannot be carried over.
	Beyond string
	// BeyondEnv is such a reason of its variables.
	BeyondEnv string
}

// UnknownError says why it is not known what a plugin does.
type UnknownError struct{ Reason string }

func (e *UnknownError) Error() string { return e.Reason }

func unknown(reason string) error { return &UnknownError{reason} }

// SamePrincipal reports whether two plugins authenticate as one principal.
func (m Meaning) SamePrincipal(o Meaning) bool {
	return m.Profile == o.Profile && slices.Equal(m.Roles, o.Roles) && m.ForwardSessionName == o.ForwardSessionName && m.AWSOrder == o.AWSOrder
}

// Same reports whether two plugins authenticate as one principal to one cluster. A
// plugin without a region takes it from its surroundings.
func (m Meaning) Same(o Meaning) bool {
	return m.Cluster == o.Cluster && m.SamePrincipal(o) && (m.Region == o.Region || m.Region == "" || o.Region == "")
}

// Who says in words as whom a plugin authenticates.
func (m Meaning) Who() string {
	text := "the environment's credentials"
	if m.Profile != "" {
		text = "profile " + m.Profile
	}
	if m.AWSOrder {
		text += " in the AWS CLI's order"
	}
	for _, h := range m.Roles {
		text += " and role " + h.ARN
	}
	return text
}

// Differs says how the principal of m differs from that of o, and nothing where both
// are the same.
func (m Meaning) Differs(o Meaning) string {
	switch {
	case m.Who() != o.Who():
		return "it authenticates with " + m.Who() + ", not with " + o.Who()
	case !m.SamePrincipal(o):
		return "it assumes its role with another session name, external id, MFA device or duration"
	}
	return ""
}

// ProgramName is the name of a command's file as on any system, without .exe or .cmd,
// in lower case.
func ProgramName(command string) string {
	base := strings.ToLower(path.Base(strings.ReplaceAll(command, `\`, "/")))
	return strings.TrimSuffix(strings.TrimSuffix(base, ".exe"), ".cmd")
}

// Read says what an invocation means. The command ours is ekskey under another name.
// All but the plugins that are known, and any word or variable that is not, is an
// *UnknownError, since it may decide who signs. No word but an option's name is
// repeated in it.
func Read(in Invocation, ours string) (Meaning, error) {
	in, err := unwrap(in)
	if err != nil {
		return Meaning{}, err
	}
	m := Meaning{Program: ProgramName(in.Command)}
	if ours != "" && in.Command == ours {
		m.Program = Ekskey
	}
	g, ok := grammars[m.Program]
	if !ok {
		return m, unknown("it runs another program")
	}
	w, err := g.read(in.Args)
	if err != nil && m.Program == Ekskey {
		// It takes the AWS CLI's own words as well.
		if likeAWS, other := grammars[AWS].read(in.Args); other == nil && likeAWS.command == getToken {
			w, err = likeAWS, nil
		}
	}
	if err != nil {
		return m, err
	}
	if w.command != g.command && !(m.Program == Ekskey && w.command == getToken) {
		return m, unknown("it runs another command than " + g.command)
	}
	if err := m.fill(w); err != nil {
		return m, err
	}
	return m, m.readEnv(in.Env)
}

// unwrap takes `env NAME=VALUE … program …` apart. What takes away a variable that
// counts is not understood.
func unwrap(in Invocation) (Invocation, error) {
	if ProgramName(in.Command) != "env" {
		return in, nil
	}
	out := Invocation{Env: slices.Clone(in.Env)}
	for i := 0; i < len(in.Args); i++ {
		word := in.Args[i]
		name, value, assigns := strings.Cut(word, "=")
		switch {
		case word == "--":
		case word == "-u" || word == "--unset" || strings.HasPrefix(word, "--unset="):
			gone := value
			if !assigns {
				if i++; i == len(in.Args) {
					return in, unknown("env has no program to run")
				}
				gone = in.Args[i]
			}
			if decides(gone) {
				return in, unknown("env takes away a variable that may decide whom it acts as")
			}
		case strings.HasPrefix(word, "-"):
			return in, unknown("env has an option that is not understood")
		case assigns:
			out.Env = append(slices.DeleteFunc(out.Env, func(v Var) bool { return v.Name == name }), Var{name, value})
		default:
			out.Command, out.Args = word, in.Args[i+1:]
			return out, nil
		}
	}
	return in, unknown("env has no program to run")
}

// fill takes the options over, by our rule: with one role its flags come in any order,
// with several each belongs to the role before it, without a role they do nothing.
func (m *Meaning) fill(w commandLine) error {
	var early Hop
	hop := &early
	set := map[string]bool{}
	for _, o := range w.options {
		if set[o.name] && !perRole(o.name) {
			return unknown(o.typed + " is said twice")
		}
		set[o.name] = true
		switch o.name {
		case "cluster":
			m.Cluster = o.value
		case "cluster-id":
			if m.Cluster != "" {
				return unknown("it names two clusters")
			}
			m.Cluster, m.ByID = o.value, true
		case "region":
			m.Region = o.value
		case "profile":
			m.Profile, m.ProfileFlag = o.value, true
		case "role-arn":
			if len(m.Roles) > 0 && m.Program != Ekskey {
				return unknown("it assumes several roles")
			}
			m.Roles = append(m.Roles, Hop{ARN: o.value})
			hop = &m.Roles[len(m.Roles)-1]
		case "external-id":
			hop.ExternalID = o.value
		case "session-name":
			hop.SessionName = o.value
		case "mfa-serial":
			hop.MFASerial = o.value
		case "duration":
			hop.Duration = canonicalDuration(o.value)
		case "forward-session-name":
			m.ForwardSessionName = o.value == "true"
		case awsOrderFlag:
			m.AWSOrder = o.value == "true"
		case "mfa-command":
			m.MFACommand = o.value
		case "cache-all":
			m.CacheAll = o.value == "true"
		case "ca-bundle":
			m.CABundle = o.value
		case "output":
			if o.value != "json" {
				m.beyond("its --output is not json")
			}
		case beyond:
			m.beyond(o.typed + " cannot be carried over")
		}
	}
	if set["cluster"] && set["cluster-id"] {
		return unknown("it names two clusters")
	}
	if len(m.Roles) == 1 {
		h := &m.Roles[0]
		h.ExternalID = firstOf(h.ExternalID, early.ExternalID)
		h.SessionName = firstOf(h.SessionName, early.SessionName)
		h.MFASerial = firstOf(h.MFASerial, early.MFASerial)
		h.Duration = firstOf(h.Duration, early.Duration)
	}
	if m.ForwardSessionName && (early.SessionName != "" || slices.ContainsFunc(m.Roles, func(h Hop) bool { return h.SessionName != "" })) {
		return unknown("--session-name and --forward-session-name exclude each other")
	}
	if w.command == getToken {
		m.ByID = false // with DEFAULT_ROLE the AWS CLI has nothing to do
		m.AWSOrder = true
		// Its sessions are called so, whoever runs it, and usernames may hang on it.
		for i := range m.Roles {
			if m.Roles[i].SessionName == "" && !m.ForwardSessionName {
				m.Roles[i].SessionName = AWSSession
			}
		}
	}
	m.AWSOrder = m.AWSOrder && !m.ProfileFlag
	return nil
}

// canonicalDuration writes a duration in the one way that Go does: 60m and 1h are 1h0m0s.
func canonicalDuration(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return d.String()
	}
	return text
}

// Unwrapped is an invocation without the env command in front of it, whose variables are
// among its own. What is not understood stays as it is.
func Unwrapped(in Invocation) Invocation {
	out, err := unwrap(in)
	if err != nil {
		return in
	}
	return out
}

func perRole(option string) bool {
	return slices.Contains([]string{"role-arn", "external-id", "session-name", "mfa-serial", "duration", "", beyond}, option)
}

func (m *Meaning) beyond(reason string) { m.Beyond = firstOf(m.Beyond, reason) }

// harmless are the AWS variables that do not decide who signs
// (https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html).
var harmless = []string{
	"AWS_CA_BUNDLE", "AWS_DEFAULT_OUTPUT", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_MAX_ATTEMPTS", "AWS_PAGER",
	"AWS_REGION", "AWS_RETRY_MODE", "AWS_SDK_LOAD_CONFIG", "AWS_STS_REGIONAL_ENDPOINTS",
	"AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
}

// IsProfileVar names what `aws eks update-kubeconfig --profile` writes, and
// its older form. Ours is a flag, so that it is seen in one place.
func IsProfileVar(name string) bool { return name == "AWS_PROFILE" || name == "AWS_DEFAULT_PROFILE" }

// decides reports whether a variable may decide who signs.
func decides(name string) bool {
	upper := strings.ToUpper(name)
	return upper == "HOME" || upper == "USERPROFILE" || name == defaultRoleVar || strings.HasPrefix(upper, "AWS_") && !slices.Contains(harmless, name)
}

func (m *Meaning) readEnv(env []Var) error {
	values := map[string]string{}
	for _, v := range env {
		values[v.Name] = v.Value
		upper := strings.ToUpper(v.Name)
		shown := "its variable " + upper
		if strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
			shown = "one of its variables"
		}
		switch {
		case IsProfileVar(v.Name):
			// An empty one, or two, mean another thing to each program.
			if v.Value == "" || v.Name == "AWS_DEFAULT_PROFILE" && (m.Program == AWS || m.AWSOrder) {
				m.BeyondEnv = firstOf(m.BeyondEnv, shown+" may decide whom it acts as")
			}
		case strings.HasPrefix(v.Name, "AWS_ENDPOINT_URL"):
			m.BeyondEnv = firstOf(m.BeyondEnv, shown+" may decide whom it acts as")
		case upper == "HOME", upper == "USERPROFILE":
			return unknown(shown + " decides where credentials are looked for")
		case strings.HasPrefix(upper, "AWS_") && !slices.Contains(harmless, v.Name):
			return unknown(shown + " may decide whom it acts as")
		}
	}
	// The AWS CLI looks at the older name first, all others at the newer.
	first, second := values["AWS_PROFILE"], values["AWS_DEFAULT_PROFILE"]
	if m.Program == AWS {
		first, second = second, first
	}
	m.Profile = firstOf(m.Profile, first, second)
	if m.Program == Authenticator || m.Program == Heptio {
		if m.Cluster == "" {
			m.Cluster, m.ByID = values[clusterIDVar], true
		}
	}
	if role := values[defaultRoleVar]; role != "" && m.ByID && len(m.Roles) == 0 {
		m.Roles = []Hop{{ARN: role}}
	}
	if m.Region == "" {
		switch newer, older := values["AWS_REGION"], values["AWS_DEFAULT_REGION"]; {
		case newer == "" || older == "" || newer == older:
			m.Region = firstOf(newer, older)
		case m.Program == AWS:
			// Version 1 of the AWS CLI reads the older one alone.
			m.BeyondEnv = firstOf(m.BeyondEnv, "its two variables for the region differ")
		default:
			m.Region = newer
		}
	}
	if m.Cluster == "" {
		return unknown("it names no cluster")
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
