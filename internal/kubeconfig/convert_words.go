package kubeconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// commandLine is what a plugin's command line says: its command, and the values of its
// options under the names that ekskey has for them. A switch is "true".
type commandLine struct {
	command string
	options map[string]string
}

// grammar is how a program reads its command line.
type grammar struct {
	// values and switches give ekskey's name for each option that is understood.
	// An empty one says that the option changes nothing of a token.
	values   map[string]string
	switches map[string]string
	letters  map[string]string // one-letter options with a value
	aws      bool              // it is the AWS CLI, with a parser of its own
}

// awsGrammar has what `aws eks get-token` takes. Options that decide something
// which ekskey would decide otherwise are missing: --query, --endpoint-url,
// --no-verify-ssl, --no-sign-request, --debug, --version.
//
// Source: https://docs.aws.amazon.com/cli/latest/reference/eks/get-token.html
var awsGrammar = grammar{
	aws: true,
	values: map[string]string{
		"cluster-name": "cluster", "cluster-id": "cluster-id", "role-arn": "role-arn",
		"region": "region", "profile": "profile", "ca-bundle": "ca-bundle", "output": "output",
		"color": "", "cli-read-timeout": "", "cli-connect-timeout": "", "cli-binary-format": "", "cli-error-format": "",
	},
	switches: map[string]string{"no-paginate": "", "no-cli-pager": "", "no-cli-auto-prompt": ""},
}

// awsOthers are the options of the AWS CLI that are left out above: they count
// when a word is an option's beginning.
var awsOthers = []string{"query", "endpoint-url", "no-verify-ssl", "no-sign-request", "debug", "version", "v2-debug", "cli-auto-prompt"}

// authenticatorGrammar has what `aws-iam-authenticator token` takes. --token-only
// is missing, since no client can read what it prints, and --config, since a file
// that decides is another's to read.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator/tree/v0.6.31/cmd/aws-iam-authenticator
var authenticatorGrammar = grammar{
	values: map[string]string{
		"cluster-id": "cluster-id", "role": "role-arn", "external-id": "external-id", "session-name": "session-name",
		"region": "region", "log-format": "", "log-verbosity": "",
	},
	switches: map[string]string{"forward-session-name": "forward-session-name", "cache": ""},
	letters:  map[string]string{"i": "cluster-id", "r": "role-arn", "e": "external-id", "s": "session-name", "l": "", "v": ""},
}

// ourGrammar has what kubeconfigs say to ekskey.
var ourGrammar = grammar{
	values: map[string]string{
		"cluster": "cluster", "cluster-name": "cluster", "cluster-id": "cluster-id", "role-arn": "role-arn", "role": "role-arn",
		"external-id": "external-id", "session-name": "session-name", "mfa-serial": "mfa-serial", "duration": "duration",
		"mfa-command": "mfa-command", "region": "region", "profile": "profile", "ca-bundle": "ca-bundle", "output": "output",
		"exec-api-version": "",
	},
	switches: map[string]string{"forward-session-name": "forward-session-name", awsOrderFlag: awsOrderFlag, "cache-all": "", "no-cache": ""},
	letters:  map[string]string{"i": "cluster-id", "r": "role-arn", "e": "external-id", "s": "session-name", "o": "output"},
}

// read takes a command line apart. The reason says what of it is not understood,
// and is empty if all is. No word of it but an option's name is ever repeated.
func (g grammar) read(args []string) (w commandLine, reason string) {
	w.options = map[string]string{}
	var command []string
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			command = append(command, args[i])
			continue
		}
		typed, value, joined := strings.Cut(args[i], "=")
		ours, isSwitch, ok := g.lookup(typed)
		switch {
		case !ok:
			return w, unknownOption(typed)
		case isSwitch && !joined:
			value = "true"
		case isSwitch && (g.aws || value != "true" && value != "false"):
			return w, typed + " has a value that is not understood"
		case isSwitch:
		case !joined:
			if i++; i == len(args) {
				return w, typed + " has no value"
			}
			value = args[i]
		}
		switch _, again := w.options[ours]; {
		case value == "":
			return w, typed + " has an empty value"
		case strings.HasPrefix(value, "-"):
			return w, typed + " has a value that begins with -"
		case g.aws && strings.Contains(value, "://"):
			return w, typed + " has a value that the AWS CLI reads from elsewhere"
		case ours == "":
		case again && ours == "role-arn":
			return w, "it assumes several roles"
		case again:
			return w, typed + " is said twice"
		default:
			w.options[ours] = value
		}
	}
	w.command = strings.Join(command, " ")
	return w, ""
}

// lookup finds an option as it was typed, dashes included.
func (g grammar) lookup(typed string) (ours string, isSwitch, ok bool) {
	name, long := strings.CutPrefix(typed, "--")
	if !long {
		ours, ok = g.letters[strings.TrimPrefix(typed, "-")]
		return ours, false, ok
	}
	if g.aws {
		name = g.complete(name)
	}
	if ours, ok = g.values[name]; ok {
		return ours, false, true
	}
	ours, ok = g.switches[name]
	return ours, true, ok
}

// complete returns the one option of the AWS CLI that begins like this, as its
// parser does: `aws eks update-kubeconfig` itself writes --role for --role-arn.
// It looks among the global options first. A beginning of several is nothing.
func (g grammar) complete(beginning string) string {
	own := []string{"cluster-name", "cluster-id", "role-arn"}
	global := slices.Concat(slices.Collect(maps.Keys(g.values)), slices.Collect(maps.Keys(g.switches)), awsOthers)
	global = slices.DeleteFunc(global, func(n string) bool { return slices.Contains(own, n) })
	for _, names := range [][]string{global, own} {
		if slices.Contains(names, beginning) {
			return beginning
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, beginning) })
		if len(names) == 1 {
			return names[0]
		}
		if len(names) > 1 {
			return ""
		}
	}
	return ""
}

// unknownOption names an option only if it looks like one. Something else may be
// a secret in the wrong place.
func unknownOption(typed string) string {
	if !strings.HasPrefix(typed, "--") && len(typed) > 2 {
		typed = typed[:2] // what follows may be its value
	}
	if len(typed) <= 32 && strings.Trim(typed, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
		return fmt.Sprintf("%s cannot be carried over", typed)
	}
	return "it has an option that cannot be carried over"
}
