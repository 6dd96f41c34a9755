// Package environ says what environment makes AWS's and Kubernetes' tools use a
// running sandbox, and writes it for shells.
package environ

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// Var is one environment variable to set.
type Var struct{ Name, Value string }

// Environment is what to set and what to unset. PATH is not among the
// variables: Bin goes in front of it.
type Environment struct {
	Set   []Var
	Unset []string
	Bin   string
}

// UnknownIdentityError says that the sandbox has no identity of this name.
type UnknownIdentityError struct {
	Name  string
	Known []string
}

func (e *UnknownIdentityError) Error() string {
	return fmt.Sprintf("the sandbox has no identity %q", e.Name)
}

// Hint says what to do about it.
func (e *UnknownIdentityError) Hint() string {
	return "it has " + strings.Join(e.Known, ", ")
}

// Of gives the environment in which the tools act as the identity named as. It
// fails with *UnknownIdentityError. It holds that identity's keys.
func Of(r state.Record, l state.Layout, as string) (Environment, error) {
	id, err := find(r, as)
	if err != nil {
		return Environment{}, err
	}
	e := Environment{
		Bin: filepath.Dir(r.Ekskey),
		Set: []Var{
			{"AWS_ENDPOINT_URL_STS", r.AWS},
			{"AWS_ENDPOINT_URL_EKS", r.AWS},
			{"AWS_ENDPOINT_URL_IAM", r.AWS},
			{"AWS_CA_BUNDLE", l.CABundle()},
			{"AWS_REGION", r.Region},
			{"AWS_DEFAULT_REGION", r.Region}, // all that AWS CLI v1 reads
			{"AWS_EC2_METADATA_DISABLED", "true"},
			{"AWS_CONFIG_FILE", l.AWSConfig()},
			{"AWS_SHARED_CREDENTIALS_FILE", l.AWSCredentials()},
			{"KUBECONFIG", l.Kubeconfig()},
			{"KUBECACHEDIR", l.Path("cache", "kubectl")}, // else in ~/.kube
			{"EKSKEY_CACHE_DIR", l.Path("cache", "ekskey")},
			{state.EnvDir, l.Root},
		},
		// Whatever else would lead the tools to other credentials or hosts.
		Unset: []string{
			"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN",
			"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ENDPOINT_URL",
			"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
		},
	}
	if id.AccessKeyID != "" {
		e.Set = append(e.Set, Var{"AWS_ACCESS_KEY_ID", id.AccessKeyID}, Var{"AWS_SECRET_ACCESS_KEY", id.SecretAccessKey})
		e.Unset = append(e.Unset, "AWS_PROFILE")
	} else {
		e.Set = append(e.Set, Var{"AWS_PROFILE", id.Name})
		e.Unset = append(e.Unset, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	}
	return e, nil
}

func find(r state.Record, name string) (state.Identity, error) {
	unknown := &UnknownIdentityError{Name: name}
	for _, id := range r.Identities {
		if id.Name == name {
			return id, nil
		}
		unknown.Known = append(unknown.Known, id.Name)
	}
	return state.Identity{}, unknown
}

// Apply gives a process's environment, as of os.Environ, changed accordingly.
func (e Environment) Apply(environ []string) []string {
	drop := map[string]bool{"PATH": true}
	for _, v := range e.Set {
		drop[v.Name] = true
	}
	for _, name := range e.Unset {
		drop[name] = true
	}
	path := e.Bin
	var out []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		if name == "PATH" && value != "" {
			path += string(os.PathListSeparator) + value
		}
		if !drop[name] {
			out = append(out, kv)
		}
	}
	out = append(out, "PATH="+path)
	for _, v := range e.Set {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// Shells are the names that Script takes.
var Shells = []string{"bash", "zsh", "sh", "fish", "powershell"}

// Script writes the environment as commands of a shell, one of Shells. No
// value, whatever it holds, can become a command.
func (e Environment) Script(shell string) (string, error) {
	var b strings.Builder
	switch shell {
	case "bash", "zsh", "sh":
		quote := quoter(`'\''`, "")
		fmt.Fprintf(&b, "unset %s\n", strings.Join(e.Unset, " "))
		fmt.Fprintf(&b, "export PATH=%s:\"$PATH\"\n", quote(e.Bin))
		for _, v := range e.Set {
			fmt.Fprintf(&b, "export %s=%s\n", v.Name, quote(v.Value))
		}
	case "fish":
		quote := quoter(`\'`, `\\`)
		for _, name := range e.Unset {
			fmt.Fprintf(&b, "set -e %s\n", name)
		}
		fmt.Fprintf(&b, "set -gx PATH %s $PATH\n", quote(e.Bin))
		for _, v := range e.Set {
			fmt.Fprintf(&b, "set -gx %s %s\n", v.Name, quote(v.Value))
		}
	case "powershell":
		quote := quoter(`''`, "")
		for _, name := range e.Unset {
			fmt.Fprintf(&b, "Remove-Item Env:%s -ErrorAction SilentlyContinue\n", name)
		}
		fmt.Fprintf(&b, "$env:PATH = %s + [IO.Path]::PathSeparator + $env:PATH\n", quote(e.Bin))
		for _, v := range e.Set {
			fmt.Fprintf(&b, "$env:%s = %s\n", v.Name, quote(v.Value))
		}
	default:
		return "", fmt.Errorf("no shell %q is known, only %s", shell, strings.Join(Shells, ", "))
	}
	return b.String(), nil
}

// quoter puts text between single quotes, as a shell that writes a quote and a
// backslash so understands it; empty means that a backslash is only itself.
func quoter(quote, backslash string) func(string) string {
	pairs := []string{"'", quote}
	if backslash != "" {
		pairs = append(pairs, `\`, backslash)
	}
	r := strings.NewReplacer(pairs...)
	return func(s string) string { return "'" + r.Replace(s) + "'" }
}

// JSON writes the environment as one object: set, unset and path.
func (e Environment) JSON() ([]byte, error) {
	set := map[string]string{}
	for _, v := range e.Set {
		set[v.Name] = v.Value
	}
	b, err := json.MarshalIndent(map[string]any{"set": set, "unset": e.Unset, "path": e.Bin}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the environment: %w", err)
	}
	return append(b, '\n'), nil
}
