package kubeconfig

import (
	"slices"
	"strings"
)

// Hop is one role of a chain, assumed with the credentials of the one before.
type Hop struct {
	ARN         string
	ExternalID  string
	SessionName string
	MFASerial   string
	Duration    string `json:",omitempty"` // as on the command line
}

// identity is whom a plugin's token speaks for, as far as its words tell.
type identity struct {
	cluster string
	region  string
	profile string
	chain   []Hop
	forward string // --forward-session-name
	// awsOrder says that credentials are looked for in the AWS CLI's order, where a
	// role of the profile goes before a web identity of the environment. With
	// --profile the order is the same for all.
	awsOrder bool
}

// same reports whether two plugins authenticate as one principal to one
// cluster. A plugin without a region takes it from its surroundings.
func (id identity) same(o identity) bool {
	return id.cluster == o.cluster && id.profile == o.profile && slices.Equal(id.chain, o.chain) && id.forward == o.forward &&
		id.awsOrder == o.awsOrder &&
		(id.region == o.region || id.region == "" || o.region == "")
}

// identityOf reads the plugins known to mint EKS tokens: ours, under its name
// or the given command, `aws eks get-token`, and aws-iam-authenticator. It says
// false for all others and for any word or variable it does not know, since
// that may decide who signs.
func identityOf(e *Exec, ours string) (identity, bool) {
	if e == nil {
		return identity{}, false
	}
	base := baseName(e.Command)
	mine := base == "ekskey" || ours != "" && e.Command == ours
	var id identity
	var ok bool
	words, flags, wellFormed := splitArgs(e.Args)
	switch command := strings.Join(words, " "); {
	case !wellFormed:
	case command == "token" && (mine || base == "aws-iam-authenticator" || base == "heptio-authenticator-aws"),
		command == "eks get-token" && (mine || base == "aws"):
		id, ok = readFlags(flags)
	}
	if !ok || id.cluster == "" {
		return identity{}, false
	}
	id.awsOrder = (id.awsOrder || len(words) == 2) && id.profile == ""
	if len(words) == 2 && id.forward == "" {
		// The sessions of `eks get-token` are called so, whoever runs it, and usernames
		// may hang on it.
		for i := range id.chain {
			id.chain[i].SessionName = firstOf(id.chain[i].SessionName, awsSession)
		}
	}
	return readEnv(id, e.Env)
}

type flagValue struct{ name, value string }

// splitArgs splits a command line all of whose flags take a value.
func splitArgs(args []string) (words []string, flags []flagValue, ok bool) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			words = append(words, args[i])
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, value, joined := strings.Cut(name, "=")
		if !joined {
			i++
			if i == len(args) {
				return nil, nil, false
			}
			value = args[i]
		}
		flags = append(flags, flagValue{name, value})
	}
	return words, flags, true
}

// readFlags follows our rule: with one role its flags come in any order, with
// several each belongs to the role before it, without a role they do nothing.
func readFlags(flags []flagValue) (identity, bool) {
	var id identity
	var early Hop
	hop := &early
	for _, f := range flags {
		switch f.name {
		case "cluster", "cluster-name", "cluster-id", "i":
			id.cluster = f.value
		case "region":
			id.region = f.value
		case "profile":
			id.profile = f.value
		case "role-arn", "role", "r":
			id.chain = append(id.chain, Hop{ARN: f.value})
			hop = &id.chain[len(id.chain)-1]
		case "external-id", "e":
			hop.ExternalID = f.value
		case "session-name", "s":
			hop.SessionName = f.value
		case "mfa-serial":
			hop.MFASerial = f.value
		case "duration":
			hop.Duration = f.value
		case "forward-session-name":
			id.forward = f.value
		case awsOrderFlag:
			id.awsOrder = f.value != "false"
		case "exec-api-version", "output", "mfa-command", "cache-all", "ca-bundle":
		default:
			return identity{}, false
		}
	}
	if len(id.chain) == 1 {
		h := &id.chain[0]
		h.ExternalID = firstOf(h.ExternalID, early.ExternalID)
		h.SessionName = firstOf(h.SessionName, early.SessionName)
		h.MFASerial = firstOf(h.MFASerial, early.MFASerial)
		h.Duration = firstOf(h.Duration, early.Duration)
	}
	return id, true
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// harmless are the AWS variables that do not decide who signs
// (https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html).
var harmless = []string{
	"AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_MAX_ATTEMPTS", "AWS_PAGER",
	"AWS_REGION", "AWS_RETRY_MODE", "AWS_SDK_LOAD_CONFIG", "AWS_STS_REGIONAL_ENDPOINTS",
	"AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
}

// isProfileVar names what `aws eks update-kubeconfig --profile` writes, and
// its older form. Ours is a flag, so that it is seen in one place.
func isProfileVar(name string) bool { return name == "AWS_PROFILE" || name == "AWS_DEFAULT_PROFILE" }

func readEnv(id identity, env []EnvVar) (identity, bool) {
	fromEnv := ""
	for _, v := range env {
		switch {
		case v.Name == "AWS_PROFILE", v.Name == "AWS_DEFAULT_PROFILE" && fromEnv == "":
			fromEnv = v.Value
		case isProfileVar(v.Name):
		case slices.Contains(harmless, v.Name), strings.HasPrefix(v.Name, "AWS_ENDPOINT_URL"):
		case strings.HasPrefix(strings.ToUpper(v.Name), "AWS_"), v.Name == "HOME", strings.EqualFold(v.Name, "USERPROFILE"):
			return identity{}, false
		}
	}
	id.profile = firstOf(id.profile, fromEnv)
	return id, true
}
