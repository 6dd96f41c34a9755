package execplugin

import (
	"path"
	"slices"
	"strings"
	"unicode"

	iam "github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// Words are ekskey's arguments for a meaning. version is that of ExecCredential.
func (m Meaning) Words(version string) []string {
	args := []string{"token"}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	// Joined, so that who reads the words need not know which flags take a value.
	set := func(flag string, on bool) {
		if on {
			args = append(args, "--"+flag+"=true")
		}
	}
	if m.ByID {
		add("cluster-id", m.Cluster)
	} else {
		add("cluster", m.Cluster)
	}
	add("region", m.Region)
	add("profile", m.Profile)
	for _, h := range m.Roles {
		add("role-arn", h.ARN)
		add("external-id", h.ExternalID)
		add("session-name", h.SessionName)
		add("mfa-serial", h.MFASerial)
		add("duration", h.Duration)
	}
	add("ca-bundle", m.CABundle)
	add("mfa-command", m.MFACommand)
	set("forward-session-name", m.ForwardSessionName)
	set("cache-all", m.CacheAll)
	set(awsOrderFlag, m.AWSOrder)
	add("exec-api-version", version)
	return args
}

// Known names the known program that a command runs, or returns "" and why
// not. A path beside the kubeconfig is somebody's wrapper, and on other systems
// a program for Windows has its own home directory and so its own credentials.
func Known(in Invocation, windows bool) (name, reason string) {
	in, err := unwrap(in)
	if err != nil {
		return "", err.Error()
	}
	slashed := in.Command
	if windows {
		slashed = strings.ReplaceAll(slashed, `\`, "/")
	}
	base := path.Base(slashed)
	if windows {
		base = ProgramName(base)
	}
	if _, ok := grammars[base]; !ok {
		return "", "it runs another program"
	}
	drive := windows && len(slashed) > 2 && slashed[1] == ':' && slashed[2] == '/'
	if strings.Contains(slashed, "/") && !strings.HasPrefix(slashed, "/") && !drive {
		return "", "its program is beside the kubeconfig"
	}
	return base, ""
}

// ToEkskey returns how ekskey, at command, is run for the same cluster as the same
// principal. Variables stay. The error is an *UnknownError.
func ToEkskey(in Invocation, command, version string) (Invocation, error) {
	m, err := Read(in, "")
	if err == nil {
		err = m.translatable()
	}
	if err != nil {
		return Invocation{}, err
	}
	in, _ = unwrap(in) // Read has done so
	m.AWSOrder = m.Program == AWS
	if !m.ProfileFlag {
		m.Profile = "" // it is in a variable
	}
	if slices.ContainsFunc(in.Env, func(v Var) bool { return v.Name == defaultRoleVar && v.Value != "" }) && m.ByID {
		if len(m.Roles) == 1 && m.Roles[0] == (Hop{ARN: valueOf(in.Env, defaultRoleVar)}) {
			m.Roles = nil // it is in a variable
		}
	}
	if valueOf(in.Env, "AWS_REGION") == m.Region && m.Region != "" || m.Program != AWS && valueOf(in.Env, "AWS_DEFAULT_REGION") == m.Region {
		m.Region = "" // it is in a variable that ekskey reads alike
	}
	return Invocation{Command: command, Args: m.Words(version), Env: in.Env}, nil
}

func valueOf(env []Var, name string) (value string) {
	for _, v := range env {
		if v.Name == name {
			value = v.Value
		}
	}
	return value
}

// FromEkskey returns how the program is run whose words ekskey has: the authenticator
// where the cluster is named by --cluster-id, in which case ekskey honours its
// DEFAULT_ROLE too, and the AWS CLI otherwise. The error is an *UnknownError.
func FromEkskey(in Invocation, ours string) (Invocation, error) {
	m, err := Read(in, ours)
	if err != nil {
		return Invocation{}, err
	}
	in, _ = unwrap(in) // Read has done so
	w, err := ourGrammar.read(in.Args)
	likeAWS := err != nil || w.command == getToken // the CLI's own words
	named := map[string]bool{}
	for _, o := range w.options {
		named[o.name] = o.value != "false"
	}
	if !likeAWS && !m.ByID && valueOf(in.Env, "AWS_DEFAULT_PROFILE") != "" {
		m.BeyondEnv = firstOf(m.BeyondEnv, "its variable AWS_DEFAULT_PROFILE may decide whom it acts as")
	}
	if err := m.translatable(); err != nil {
		return Invocation{}, err
	}
	if len(m.Roles) > 1 {
		return Invocation{}, unknown("it assumes several roles")
	}
	if m.ByID && named[awsOrderFlag] {
		return Invocation{}, unknown(Authenticator + " looks for credentials in another order")
	}
	var role Hop
	if named["role-arn"] {
		role = m.Roles[0]
	}
	to, lacks := AWS, []string{"external-id", "mfa-serial", "duration", "mfa-command", "forward-session-name"}
	if m.ByID {
		to, lacks = Authenticator, []string{"mfa-serial", "duration", "mfa-command", "profile", "ca-bundle"}
	}
	for _, name := range lacks {
		if named[name] {
			return Invocation{}, unknown(to + " has no --" + name)
		}
	}
	var args []string
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	region := ""
	if named["region"] || likeAWS {
		region = m.Region
	}
	if m.ByID {
		args = []string{"token", "--cluster-id", m.Cluster}
		add("region", region)
		add("role", role.ARN)
		add("external-id", role.ExternalID)
		add("session-name", role.SessionName)
		switch {
		case m.ForwardSessionName:
			args = append(args, "--forward-session-name")
		case role.ARN != "" && role.SessionName == "":
			add("session-name", ourSession)
		}
		return Invocation{Command: to, Args: args, Env: in.Env}, nil
	}
	if likeAWS && len(m.Roles) == 1 {
		role = m.Roles[0]
	}
	if role.ARN != "" && role.SessionName != AWSSession {
		return Invocation{}, unknown("aws calls a role's session " + AWSSession + ", this one has another name, and usernames may be made of it")
	}
	if !likeAWS && !named[awsOrderFlag] && !m.ProfileFlag {
		return Invocation{}, unknown("aws looks for credentials in another order, unless a --profile is named")
	}
	add("region", region)
	if m.ProfileFlag {
		add("profile", m.Profile)
	}
	add("ca-bundle", m.CABundle)
	args = append(args, "eks", "get-token", "--cluster-name", m.Cluster, "--output", "json")
	add("role-arn", role.ARN)
	return Invocation{Command: to, Args: args, Env: in.Env}, nil
}

// translatable refuses what one program may take and the other not.
func (m Meaning) translatable() error {
	if reason := firstOf(m.Beyond, m.BeyondEnv); reason != "" {
		return unknown(reason)
	}
	if token.ValidCluster(m.Cluster) != nil {
		return unknown("its cluster has no name that a token can be made for")
	}
	values := []string{m.Region, m.Profile, m.CABundle}
	for _, h := range m.Roles {
		values = append(values, h.ExternalID, h.SessionName)
		if p, err := iam.ParsePrincipal(h.ARN); err != nil || p.Kind != iam.KindRole {
			return unknown("its role is not the ARN of a role")
		}
	}
	for _, value := range values {
		if strings.ContainsFunc(value, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 || r == unicode.ReplacementChar
		}) {
			return unknown("it has a control character")
		}
	}
	return nil
}
