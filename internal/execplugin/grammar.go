package execplugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const getToken = "eks get-token" // #nosec G101 -- the words of a command

// commandLine is what a plugin's command line says: its command, and its options under
// the names that ekskey has for them, in order. A switch is "true".
type commandLine struct {
	command string
	options []option
}

type option struct{ name, typed, value string }

// beyond stands for an option that ekskey has no word for and that does not decide
// whom a token is for.
const beyond = "-"

// grammar is how a program reads its command line.
type grammar struct {
	command string
	// values and switches give ekskey's name for each option that is understood.
	// An empty one says that the option changes nothing of a token.
	values   map[string]string
	switches map[string]string
	letters  map[string]string // one-letter options with a value
	aws      bool              // it is the AWS CLI, with a parser of its own
}

var grammars = map[string]grammar{AWS: awsGrammar, Authenticator: authenticatorGrammar, Heptio: authenticatorGrammar, Ekskey: ourGrammar}

// awsGrammar has what `aws eks get-token` takes, but for what keeps it from minting:
// --no-sign-request, --version, --cli-auto-prompt.
//
// Source: https://docs.aws.amazon.com/cli/latest/reference/eks/get-token.html
var awsGrammar = grammar{
	command: getToken,
	aws:     true,
	values: map[string]string{
		"cluster-name": "cluster", "cluster-id": "cluster-id", "role-arn": "role-arn",
		"region": "region", "profile": "profile", "ca-bundle": "ca-bundle", "output": "output",
		"color": "", "cli-read-timeout": "", "cli-connect-timeout": "", "cli-binary-format": "", "cli-error-format": "",
		"query": beyond, "endpoint-url": beyond,
	},
	switches: map[string]string{
		"no-paginate": "", "no-cli-pager": "", "no-cli-auto-prompt": "",
		"debug": beyond, "v2-debug": beyond, "no-verify-ssl": beyond,
	},
}

// awsOthers are the options of the AWS CLI that are left out above: they count
// when a word is an option's beginning.
var awsOthers = []string{"no-sign-request", "version", "cli-auto-prompt"}

// authenticatorGrammar has what `aws-iam-authenticator token` takes. --token-only
// is missing, since no client can read what it prints, and --config, since a file
// that decides is another's to read.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator/tree/v0.6.31/cmd/aws-iam-authenticator
var authenticatorGrammar = grammar{
	command: "token",
	values: map[string]string{
		"cluster-id": "cluster-id", "role": "role-arn", "external-id": "external-id", "session-name": "session-name",
		"region": "region", "log-format": "", "log-verbosity": "",
	},
	switches: map[string]string{"forward-session-name": "forward-session-name", "cache": ""},
	letters:  map[string]string{"i": "cluster-id", "r": "role-arn", "e": "external-id", "s": "session-name", "l": "", "v": ""},
}

// ourGrammar has what kubeconfigs say to ekskey.
var ourGrammar = grammar{
	command: "token",
	values: map[string]string{
		"cluster": "cluster", "cluster-name": "cluster", "cluster-id": "cluster-id", "role-arn": "role-arn", "role": "role-arn",
		"external-id": "external-id", "session-name": "session-name", "mfa-serial": "mfa-serial", "duration": "duration",
		"mfa-command": "mfa-command", "region": "region", "profile": "profile", "ca-bundle": "ca-bundle", "output": "output",
		"exec-api-version": "", "log-level": "", "endpoint-url": beyond,
	},
	switches: map[string]string{
		"forward-session-name": "forward-session-name", awsOrderFlag: awsOrderFlag, "cache-all": "cache-all",
		"no-cache": "", "refresh": "",
	},
	letters: map[string]string{"i": "cluster-id", "r": "role-arn", "e": "external-id", "s": "session-name", "o": "output"},
}

// read takes a command line apart. The error says what of it is not understood. No
// word of it but an option's name is ever repeated.
func (g grammar) read(args []string) (commandLine, error) {
	var w commandLine
	var command []string
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			command = append(command, args[i])
			continue
		}
		typed, value, joined := strings.Cut(args[i], "=")
		name, isSwitch, ok := g.lookup(typed)
		switch {
		case !ok:
			return w, unknown(unknownOption(typed))
		case isSwitch && !joined:
			value = "true"
		case isSwitch && (g.aws || value != "true" && value != "false"):
			return w, unknown(typed + " has a value that is not understood")
		case isSwitch:
		case !joined:
			if i++; i == len(args) {
				return w, unknown(typed + " has no value")
			}
			value = args[i]
		}
		switch {
		case value == "":
			return w, unknown(typed + " has an empty value")
		case strings.HasPrefix(value, "-"):
			return w, unknown(typed + " has a value that begins with -")
		case g.aws && name != beyond && strings.Contains(value, "://"):
			return w, unknown(typed + " has a value that the AWS CLI reads from a URL")
		}
		w.options = append(w.options, option{name, typed, value})
	}
	w.command = strings.Join(command, " ")
	return w, nil
}

// lookup finds an option as it was typed, dashes included.
func (g grammar) lookup(typed string) (name string, isSwitch, ok bool) {
	long, isLong := strings.CutPrefix(typed, "--")
	if !isLong {
		name, ok = g.letters[strings.TrimPrefix(typed, "-")]
		return name, false, ok
	}
	if g.aws {
		long = g.complete(long)
	}
	if name, ok = g.values[long]; ok {
		return name, false, true
	}
	name, ok = g.switches[long]
	return name, true, ok
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
